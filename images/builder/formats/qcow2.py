"""qcow2, compressed: what QEMU, Proxmox and libvirt take as it is."""

from __future__ import annotations

from pathlib import Path

from images.builder.build import Build


def qcow2(build: Build, raw: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    # One at a time and in order, or the same image has its clusters in another order.
    build.tools.run(
        *("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", "-m", "1"),
        *("-o", "compression_type=zstd,cluster_size=65536", raw, target),
    )
