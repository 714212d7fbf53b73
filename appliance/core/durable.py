"""Files that are whole or not there, also after a power cut."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def put(file: Path, content: bytes, mode: int) -> None:
    """Write a file beside its place, and put it there by a rename; all of it is on the disk before this returns.

    Args:
        file: its folder is made (0700) when it is missing.
        content: all of it.
        mode: permissions, such as 0o600; a file system that knows none (FAT) is content without.

    Raises:
        OSError: it cannot be written; the old file is still there.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = file.with_name(f".{file.name}.new")
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        with os.fdopen(handle, "wb") as out:
            with contextlib.suppress(OSError):
                os.fchmod(handle, mode)
            out.write(content)
            out.flush()
            os.fsync(handle)
        fresh.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
    sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    """The names in `folder` are on the disk.

    Raises:
        OSError: the folder is not there, or its disk has failed.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
