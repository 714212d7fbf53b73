"""What this machine says of itself: which image, which slot, which start."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from appliance.boot.keeping import running_slot
from appliance_updates.facts import Release, package_lines

IMAGE = "usr/lib/timeball/image.toml"
PACKAGES = ("usr/lib/sysimage/dpkg/status", "var/lib/dpkg/status")
BOOT_ID = "proc/sys/kernel/random/boot_id"


@dataclass(frozen=True, slots=True)
class Image:
    """The image that runs.

    Attributes:
        compatible: which bundles fit.
        release: what it is.
        slot: "A" or "B"; "" when the boot loader did not say.
    """

    compatible: str
    release: Release
    slot: str


def image(root: Path = Path("/")) -> Image | None:
    """The image below `root`; None on a plain Debian."""
    try:
        told = tomllib.loads((root / IMAGE).read_text(encoding="utf-8"))
        release = Release(str(told["version"]), int(told.get("built", 0)), str(told.get("commit", "")))
        return Image(str(told["compatible"]), release, running_slot(_text(root / "proc/cmdline")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def boot_id(root: Path = Path("/")) -> str:
    """Names this run of the kernel; "" where that cannot be known."""
    return _text(root / BOOT_ID).strip()


def packages(root: Path = Path("/")) -> dict[str, str]:
    """Debian packages that are installed, with their versions."""
    status = next((text for name in PACKAGES if (text := _text(root / name))), "")
    lines = []
    for block in status.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and line[0] != " ")
        if fields.get("Status", "").endswith(" installed"):
            lines.append(f"{fields.get('Package', '')} {fields.get('Version', '')}")
    return package_lines("\n".join(lines))


def device_bytes(path: Path) -> int:
    """Size of a block device or file, by its end.

    Raises:
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.lseek(descriptor, 0, os.SEEK_END)
    finally:
        os.close(descriptor)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
