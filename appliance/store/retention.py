"""Deleting what is old, a little at a time, and not at all while the calendar cannot be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlite_utils

from appliance.api.contrib import Retention, Rollup
from appliance.store.batch import quoted
from appliance.store.rollup import position, rollup_table

SLICE_ROWS: Final = 1_000
SERIES_AT_ONCE: Final = 50
DAY_S: Final = 86_400.0
#: A row stamped later than this from now comes from a clock that was wrong.
FUTURE_S: Final = 3_600.0
#: When the calendar is this far ahead of where housekeeping last saw it, the clock may be wrong (or we were off for a week) ...
LEAP_S: Final = 7 * DAY_S
#: ... and nothing is deleted until it has stayed there for so long: a person or NTP has had time to set it right.
HOLD_S: Final = DAY_S


@dataclass(frozen=True, slots=True)
class Calendar:
    """Whether the wall clock may be used to call rows old.

    A small board without a battery starts with any date. A date in the past deletes nothing; a date in the future would
    delete everything, so a leap forward must be confirmed by staying for a day.

    Attributes:
        seen_s: the wall clock, epoch seconds, at the last look that was believed.
        since_mono_s: monotonic time at which a leap was first met, or None.
    """

    seen_s: float
    since_mono_s: float | None = None

    def look(self, wall_s: float, mono_s: float) -> tuple[Calendar, bool]:
        """The calendar after a look at the clocks, and whether to believe the date."""
        if wall_s - self.seen_s <= LEAP_S:
            return Calendar(wall_s), True
        since = mono_s if self.since_mono_s is None else self.since_mono_s
        if mono_s - since >= HOLD_S:
            return Calendar(wall_s), True
        return Calendar(self.seen_s, since), False


@dataclass(frozen=True, slots=True)
class Sweep:
    """Where a sweep through a raw table stands.

    Attributes:
        rowid: everything up to here was looked at.
        done: nothing more to delete for now; the next sweep begins at the bottom.
        deleted: rows that the last slice deleted.
    """

    rowid: int = 0
    done: bool = False
    deleted: int = 0


def sweep_raw(
    db: sqlite_utils.Database, retention: Retention, now_s: float, sweep: Sweep, limit: int = SLICE_ROWS
) -> Sweep:
    """Delete the old ones among the next `limit` rows, in the order of arrival; the caller holds the transaction.

    Rows arrive about in order, so the first slice with young rows ends the sweep. Never deleted: a row that is not rolled up
    yet, the newest row (its rowid would be given away again), a row that claims to come from the future.
    """
    table = quoted(retention.table)
    (newest,) = db.conn.execute(f"SELECT max(rowid) FROM {table}").fetchone()  # noqa: S608 - the name is checked
    end = min([(newest or 0) - 1, *(position(db, retention, rollup) for rollup in retention.rollups)])
    (high,) = db.conn.execute(
        f"SELECT max(r) FROM (SELECT rowid AS r FROM {table} WHERE rowid > ? AND rowid <= ? ORDER BY rowid LIMIT ?)",  # noqa: S608
        (sweep.rowid, end, limit),
    ).fetchone()
    if high is None:
        return Sweep(done=True)
    cut_s = now_s - retention.raw_days * DAY_S
    part = f"FROM {table} WHERE rowid > ? AND rowid <= ?"
    deleted = db.conn.execute(
        f"DELETE {part} AND (ts < ? OR ts IS NULL)", (sweep.rowid, high, cut_s)
    ).rowcount
    young = db.conn.execute(
        f"SELECT 1 {part} AND ts <= ? LIMIT 1", (sweep.rowid, high, now_s + FUTURE_S)
    ).fetchone()
    if young:
        return Sweep(done=True, deleted=deleted)
    return Sweep(rowid=int(high), deleted=deleted)


def series_after(
    db: sqlite_utils.Database, retention: Retention, rollup: Rollup, after: Sequence[Any] | None
) -> list[tuple[Any, ...]]:
    """The next few keys of a roll-up table behind `after`, by jumping from one to the next in its primary key."""
    if not retention.key:
        return [()] if after is None else []
    keys = ", ".join(map(quoted, retention.key))
    marks = ", ".join("?" * len(retention.key))
    table = quoted(rollup_table(retention, rollup))
    found: list[tuple[Any, ...]] = []
    last = after
    while len(found) < SERIES_AT_ONCE:
        behind = f"WHERE ({keys}) > ({marks})" if last is not None else ""
        sql = f"SELECT {keys} FROM {table} {behind} ORDER BY {keys} LIMIT 1"  # noqa: S608 - names are checked
        row = db.conn.execute(sql, last or ()).fetchone()
        if row is None:
            break
        last = tuple(row)
        found.append(last)
    return found


def sweep_rollup(
    db: sqlite_utils.Database,
    retention: Retention,
    rollup: Rollup,
    now_s: float,
    series: Sequence[tuple[Any, ...]],
) -> int:
    """Delete the old buckets of some series (all of the table when it has no key: `[()]`); the caller holds the transaction. Returns how many rows went."""
    if rollup.keep_days is None:
        return 0
    cut_s = now_s - rollup.keep_days * DAY_S
    where = "".join(f"{quoted(name)} = ? AND " for name in retention.key)
    sql = f"DELETE FROM {quoted(rollup_table(retention, rollup))} WHERE {where}bucket < ?"  # noqa: S608 - names are checked
    return sum(db.conn.execute(sql, (*key, cut_s)).rowcount for key in series)
