"""FAT file systems, made from a folder without mounting anything. Same folder, same bytes."""

from __future__ import annotations

import os
from pathlib import Path

from images.builder.tools import Tree

#: The volume's serial number: fixed, as labels are what finds it.
SERIAL = "7462b007"


def fat(folder: Path, target: Path, size_mib: int, tools: Tree, *, label: str, epoch: int) -> None:
    """A FAT32 image of `size_mib` MiB with the folder's files, all with the time `epoch`."""
    target.unlink(missing_ok=True)
    for path in folder.rglob("*"):
        os.utime(path, (epoch, epoch))
    stable = {"SOURCE_DATE_EPOCH": str(epoch), "MTOOLS_SKIP_CHECK": "1"}
    tools.run(
        *("mkfs.vfat", "-F", "32", "-S", "512", "--invariant", "-i", SERIAL, "-n", label),
        *("-C", target, str(size_mib * 1024)),
    )
    for path in sorted(folder.iterdir()):
        tools.run("mcopy", "-s", "-m", "-Q", "-i", target, path, "::/", environment=stable)
