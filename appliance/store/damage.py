"""A damaged file is found at the start, moved aside and kept: an appliance must boot, and a person may want to look."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import sqlite_utils

from appliance.store.batch import quoted
from appliance.store.connection import open_reader
from appliance.store.faults import DAMAGED, fault_of

log = logging.getLogger("appliance.store")

#: Files up to this size are read whole at each start (some 100 ms from an SD card); larger ones when there is a reason.
QUICK_CHECK_BYTES: Final = 8 << 20
#: Only small tables are carried over: what people entered and the last state, not the history.
SALVAGE_ROWS: Final = 20_000


def suspicion(path: Path) -> Path:
    """The mark left beside a database in which damage was met while it ran; it makes the next start look at all of it."""
    return path.with_name(path.name + ".suspect")


def find_damage(db: sqlite_utils.Database, path: Path) -> str | None:
    """What is wrong inside the open file, or None; large files are read whole only when something was met before.

    Raises:
        sqlite3.Error: it cannot be read for another reason.
    """
    if path.stat().st_size > QUICK_CHECK_BYTES and not suspicion(path).exists():
        return None
    try:
        found = [str(row[0]) for row in db.conn.execute("PRAGMA quick_check(1)")]
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


def salvage(db: sqlite_utils.Database, aside: Path, plugin: str) -> int:
    """Carry what is still readable of a plugin's small tables over into the new database; returns how many rows.

    The caller holds the transaction, and has made the tables already. Rows that do not fit are left.
    """
    try:
        old = open_reader(aside, immutable=True)  # its log was taken in when it was looked at
    except sqlite3.Error as error:
        log.debug("nothing can be read from %s: %s", aside, error)
        return 0
    saved = 0
    try:
        for table in _tables(db, plugin):
            columns = [name for name in _columns(old, table) if name in set(_columns(db, table))]
            rows = list(_readable(old, table, columns)) if columns else []
            if len(rows) <= SALVAGE_ROWS:
                names, marks = ", ".join(map(quoted, columns)), ", ".join("?" * len(columns))
                sql = f"INSERT OR IGNORE INTO {quoted(table)} ({names}) VALUES ({marks})"  # noqa: S608 - quoted
                saved += sum(db.conn.execute(sql, row).rowcount for row in rows)
    finally:
        old.close()
    return saved


def _tables(db: sqlite_utils.Database, plugin: str) -> list[str]:
    rows = db.conn.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, ?) = ?",
        (len(plugin) + 2, f"{plugin}__"),
    )
    return [str(name) for (name,) in rows]


def _columns(db: sqlite_utils.Database, table: str) -> list[str]:
    try:
        return [str(row[1]) for row in db.conn.execute(f"PRAGMA table_info({quoted(table)})")]
    except sqlite3.DatabaseError:
        return []


def _readable(db: sqlite_utils.Database, table: str, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    """Rows up to the first damaged page."""
    try:
        sql = f"SELECT {', '.join(map(quoted, columns))} FROM {quoted(table)} LIMIT {SALVAGE_ROWS + 1}"  # noqa: S608 - quoted
        yield from db.conn.execute(sql)
    except sqlite3.DatabaseError as error:
        log.debug("%s can be read no further: %s", table, error)
