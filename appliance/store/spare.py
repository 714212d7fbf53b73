"""Room that is set aside for the next start: on a disk that is full to its last block a database cannot even be read.

Each start makes the index of SQLite's log anew (the `-shm` file, 32 KiB; the first who opens it cuts it to nothing). Whoever else writes on
that disk may have taken those blocks meanwhile. So a file beside the database holds some, and gives a slice of them back when one is needed.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

SPARE_BYTES: Final = 512 * 1024
#: Given back at once: twice the index. The rest is for further starts while the disk stays full.
SLICE_BYTES: Final = 64 * 1024
#: Set aside only where so much is free.
PLENTY_BYTES: Final = 16 * SPARE_BYTES


def spare(database: Path) -> Path:
    """The file that holds the room."""
    return database.with_name(database.name + "-spare")


def keep(database: Path, free_bytes: int) -> None:
    """Set the room aside, or what is missing of it, when `free_bytes` of the disk are plenty.

    Raises:
        OSError: it cannot be written.
    """
    file = spare(database)
    if free_bytes < PLENTY_BYTES or (file.exists() and file.stat().st_size == SPARE_BYTES):
        return
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as stream:  # noqa: PTH123 - a descriptor
        stream.write(bytes(SPARE_BYTES))


def give(database: Path) -> bool:
    """Give a slice back to the disk when it is full; whether there was one."""
    try:
        if shutil.disk_usage(database.parent).free >= SLICE_BYTES:
            return False
        size = spare(database).stat().st_size
        if size == 0:
            return False
        os.truncate(spare(database), max(0, size - SLICE_BYTES))
    except OSError:
        return False
    return True
