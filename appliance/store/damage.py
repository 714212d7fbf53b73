"""A damaged file is found at the start, moved aside and kept: an appliance must boot, and a person may want to look."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from appliance.store.connection import open_writer
from appliance.store.faults import DAMAGED, fault_of

log = logging.getLogger("appliance.store")

#: Files up to this size are read whole at each start (some 100 ms from an SD card); larger ones when there is a reason.
QUICK_CHECK_BYTES: Final = 8 << 20


def suspicion(path: Path) -> Path:
    """The mark left beside a database in which damage was met while it ran; it makes the next start look at all of it."""
    return path.with_name(path.name + ".suspect")


def find_damage(path: Path) -> str | None:
    """What is wrong inside the file, or None.

    A file that does not exist is well. Opening it recovers what a kill or power cut left in the log.

    Raises:
        sqlite3.Error: it cannot be opened for another reason (disk full, read-only).
    """
    if not path.exists() or path.stat().st_size == 0:
        return None
    thorough = suspicion(path).exists() or path.stat().st_size <= QUICK_CHECK_BYTES
    try:
        db = open_writer(path)
        try:
            if not thorough:
                return None
            found = [str(row[0]) for row in db.conn.execute("PRAGMA quick_check(1)")]
        finally:
            db.close()
    except sqlite3.DatabaseError as error:
        if fault_of(error) is not DAMAGED:
            raise
        return str(error)
    return None if found == ["ok"] else "; ".join(found)


def move_aside(path: Path, wall_ns: int) -> Path:
    """Rename the damaged file, its log and index; returns the new name of the file."""
    stamp = datetime.fromtimestamp(wall_ns / 1e9, UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.corrupt-{stamp}-{number}")
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    suspicion(path).unlink(missing_ok=True)
    return aside
