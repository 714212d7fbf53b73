"""What survives a restart: standings in one small table, each probe in an append-only one."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from appliance.api.contrib import Migration, Retention, Rollup
from appliance.api.errors import StoreError
from appliance_monitor.standing import Standing, dumps, loads

if TYPE_CHECKING:
    import sqlite_utils

    from appliance.api.services import Store
    from appliance_monitor.board import Board

PROBES = "monitor__probes"

_PROBES_TABLE = """
CREATE TABLE monitor__probes (
  id INTEGER PRIMARY KEY, ts REAL NOT NULL, member TEXT NOT NULL, monitor TEXT NOT NULL,
  offset_s REAL, rtt_s REAL, stratum INTEGER, leap INTEGER, step REAL, score REAL, error TEXT, rule TEXT)
"""
_STANDING_TABLE = (
    "CREATE TABLE monitor__standing (member TEXT PRIMARY KEY, standing TEXT NOT NULL) WITHOUT ROWID"
)

MIGRATIONS = (
    Migration("probes", lambda db: db.execute(_PROBES_TABLE)),
    Migration("standing", lambda db: db.execute(_STANDING_TABLE)),
)
_COLUMNS = ("ts", "monitor", "offset_s", "rtt_s", "stratum", "leap", "step", "score", "error", "rule")
#: With more members than this the last probes come back with the next probes instead of from the disk.
_MOST_REMEMBERED = 2000


def retention(raw_days: float) -> Retention:
    """How long probes live: each one for `raw_days`, five-minute summaries a week, hourly ones 400 days, daily ones for ever.

    Of the offsets the summaries keep how they are spread: one wild probe moves a mean and no median. What `turns` asks of weeks
    of single probes stands in the index.
    """
    return Retention(
        PROBES,
        raw_days=raw_days,
        key=("member",),
        values=("offset_s", "rtt_s", "score"),
        rollups=(Rollup(300, 7), Rollup(3600, 400), Rollup(86400, None)),
        spread=("offset_s",),
        indexed=("error", "stratum", "leap"),
    )


def probe_row(member: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the monitor log as the table takes it."""
    return {"member": member, **{name: row[name] for name in _COLUMNS}}


async def restore(store: Store, board: Board) -> int:
    """Fill the board with what was kept; returns how many members are known. An unreadable database is an empty one."""
    try:
        standings = await store.read(_standings)
    except (StoreError, sqlite3.Error):
        return 0
    board.restore(standings)
    if len(standings) <= _MOST_REMEMBERED:
        try:
            for member, rows in (await store.read(_last_rows)).items():
                board.remember(member, rows)
        except (StoreError, sqlite3.Error):
            pass  # charts and lists fill again; nothing is decided from them
    return len(standings)


def _standings(db: sqlite_utils.Database) -> list[Standing]:
    rows = db.execute("SELECT standing FROM monitor__standing").fetchall()
    return [standing for (text,) in rows if (standing := loads(text)) is not None]


def _last_rows(db: sqlite_utils.Database, number: int = 20) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    sql = f"SELECT {', '.join(_COLUMNS)} FROM {PROBES} WHERE member = ? ORDER BY ts DESC LIMIT ?"  # noqa: S608 - our own words
    members = [member for (member,) in db.execute("SELECT member FROM monitor__standing").fetchall()]
    for member in members:
        rows = db.execute(sql, (member, number)).fetchall()
        found[member] = [{**dict(zip(_COLUMNS, row, strict=True)), "why": ""} for row in reversed(rows)]
    return found


async def keep(store: Store, board: Board) -> None:
    """Write the standings that changed; what cannot be written now stays marked for the next time."""
    changed = frozenset(board.dirty)
    if not changed:
        return
    texts = [(key, dumps(board.standings[key])) for key in changed if key in board.standings]
    gone = [(key,) for key in changed if key not in board.standings]
    board.dirty -= changed
    try:
        await store.write(lambda db: _write(db, texts, gone))
    except StoreError:
        board.dirty |= changed
    except asyncio.CancelledError:
        board.dirty |= changed  # nobody knows whether it was written: the last act of the run writes it again
        raise


def _write(db: sqlite_utils.Database, texts: Iterable[tuple[str, str]], gone: Iterable[tuple[str]]) -> None:
    db.conn.executemany("INSERT OR REPLACE INTO monitor__standing (member, standing) VALUES (?, ?)", texts)
    db.conn.executemany("DELETE FROM monitor__standing WHERE member = ?", gone)
