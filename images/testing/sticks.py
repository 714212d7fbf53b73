"""Sticks and virtual disks with files on them: a FAT file system in a file, that several machines may see one after the other."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path


def stick(file: Path, label: str, files: Mapping[str, str], *, mib: int = 64) -> Path:
    """Make one; its path."""
    file.unlink(missing_ok=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["mkfs.vfat", "-C", "-n", label, str(file), str(mib * 1024)], check=True, capture_output=True
    )
    for name, text in files.items():
        subprocess.run(["mcopy", "-i", str(file), "-", f"::/{name}"], input=text.encode(), check=True)
    return file


def on_stick(file: Path, name: str) -> bytes:
    """What is in a file of it."""
    return subprocess.run(
        ["mcopy", "-i", str(file), f"::/{name}", "-"], check=True, capture_output=True
    ).stdout
