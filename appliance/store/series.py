"""Reading one series for a chart: the right table for the window, at most so many points, gaps left as gaps."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any, Final

import sqlite_utils

from appliance.api.contrib import Retention, Rollup
from appliance.store.batch import quoted
from appliance.store.rollup import bucket_sql, position, rollup_table

#: A table this much coarser than asked is still taken: a year in 400 points is well drawn by 365 days.
COARSER: Final = 1.5
#: One point: its start, the rows behind it, and for each value how many of them had it, minimum, mean and maximum.
Row = tuple[Any, ...]
#: The point that a moment (put for "@") belongs to; both parameters come twice: from_ts, from_ts, step, step.
_START: Final = "? + CAST((@ - ?) / ? AS INTEGER) * ?"
#: Neighbours this many times farther apart than usual have a gap between them.
GAP: Final = 2.5


@dataclass(frozen=True, slots=True)
class Band:
    """One value over time; None where nothing was measured."""

    min: list[float | None] = field(default_factory=list)
    mean: list[float | None] = field(default_factory=list)
    max: list[float | None] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Series:
    """Columns of equal length, oldest first.

    Attributes:
        bucket_s: of the table that was read; 0 for raw rows.
        step_s: width of a point; 0 when each point is one raw row.
        ts: epoch seconds, the start of each point.
        n: rows behind each point; 0 marks a gap (one such point stands in each gap, all its values None).
        values: by name of the value.
    """

    bucket_s: int
    step_s: float
    ts: list[float]
    n: list[int]
    values: dict[str, Band]


def read_series(
    db: sqlite_utils.Database,
    retention: Retention,
    key: Sequence[Any],
    from_ts: float,
    to_ts: float,
    points: int = 400,
    values: Sequence[str] | None = None,
) -> Series:
    """Read `[from_ts, to_ts)` of one series in at most `points` points (marks in gaps come on top).

    Rows that are not rolled up yet are merged in, so the end of the chart is always fresh.

    Args:
        db: a reading connection (`await store.read(lambda db: read_series(db, ...))`).
        retention: as the plugin declared it.
        key: one value for each column of `retention.key`.
        from_ts: epoch seconds.
        to_ts: epoch seconds.
        points: at least 2.
        values: a choice of `retention.values`; all when None.

    Raises:
        ValueError: the key has the wrong length, or the window is empty.
    """
    if len(key) != len(retention.key):
        raise ValueError(f"the key of {retention.table} is {retention.key}, got {len(key)} values")
    if not (points >= 2 and math.isfinite(from_ts) and math.isfinite(to_ts) and from_ts < to_ts):
        raise ValueError("the window is empty")
    names = [name for name in retention.values if values is None or name in values]
    source = _Source(db, retention, tuple(key), names)
    rollup = source.choose(from_ts, (to_ts - from_ts) / points)
    if rollup is None:
        rows = source.raw(from_ts, to_ts, points + 1)
        if len(rows) <= points:
            return _columns(rows, names, bucket_s=0, step_s=0.0)
    # One point fewer than asked, since the window rarely begins where a point does.
    span = (to_ts - from_ts) / (points - 1)
    unit = rollup.bucket_s if rollup else 1
    step = math.ceil(span / unit) * unit
    rows = source.grouped(rollup, math.floor(from_ts / step) * step if rollup else from_ts, to_ts, step)
    return _columns(rows, names, bucket_s=rollup.bucket_s if rollup else 0, step_s=step)


class _Source:
    """One series in all its tables."""

    def __init__(
        self, db: sqlite_utils.Database, retention: Retention, key: tuple[Any, ...], names: list[str]
    ) -> None:
        self._conn: sqlite3.Connection = db.conn
        self._db = db
        self._retention = retention
        self._key = key
        self._names = names
        self._where = "".join(f"{quoted(name)} = ? AND " for name in retention.key)
        present = {
            str(row[0]) for row in self._conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        self._rollups = [rollup for rollup in retention.rollups if rollup_table(retention, rollup) in present]

    def choose(self, from_ts: float, step_s: float) -> Rollup | None:
        """The coarsest table that is fine enough; a coarser one when only that reaches back far enough. None is raw."""
        tables: list[Rollup | None] = [None, *self._rollups]
        wanted = max(
            i for i, rollup in enumerate(tables) if rollup is None or rollup.bucket_s <= step_s * COARSER
        )
        starts = [
            (start, rollup) for rollup in tables[wanted:] if (start := self._oldest(rollup)) is not None
        ]
        if not starts:
            return tables[wanted]
        reach, farthest = min(starts, key=lambda found: found[0])
        # A bucket begins before its first row: that is not a longer memory.
        unit = farthest.bucket_s if farthest else 1
        return next(rollup for start, rollup in starts if start <= from_ts or start // unit * unit <= reach)

    def raw(self, from_ts: float, to_ts: float, limit: int) -> list[Row]:
        figures = "".join(f", {v} IS NOT NULL, {v}, {v}, {v}" for v in map(quoted, self._names))
        sql = (
            f"SELECT ts, 1{figures} FROM {quoted(self._retention.table)} "  # noqa: S608 - names are checked
            f"WHERE {self._where}ts >= ? AND ts < ? ORDER BY ts LIMIT ?"
        )
        return self._conn.execute(sql, (*self._key, from_ts, to_ts, limit)).fetchall()

    def grouped(self, rollup: Rollup | None, from_ts: float, to_ts: float, step: int) -> list[Row]:
        """Points of `step` seconds: out of the roll-up, and out of the rows that no roll-up has taken in yet."""
        fresh = self._fresh(rollup, from_ts, to_ts, step)
        if rollup is None:
            return fresh
        figures = "".join(
            f", sum({n}), min({low}), sum({mean} * {n}) / sum({n}), max({high})"
            for n, low, mean, high in (
                [quoted(name + end) for end in ("_n", "_min", "_mean", "_max")] for name in self._names
            )
        )
        sql = (
            f"SELECT {_START} AS start, sum(n){figures} FROM {quoted(rollup_table(self._retention, rollup))} "  # noqa: S608 - checked
            f"WHERE {self._where}bucket >= ? AND bucket < ? GROUP BY start ORDER BY start"
        ).replace("@", "bucket")
        args = (from_ts, from_ts, step, step, *self._key, from_ts, to_ts)
        return _merged(self._conn.execute(sql, args).fetchall(), fresh)

    def _fresh(self, rollup: Rollup | None, from_ts: float, to_ts: float, step: int) -> list[Row]:
        """Points out of the raw rows; with a roll-up, of those only that it does not hold."""
        figures = "".join(
            f", count({v}), min({v}), avg({v}), max({v})" for v in (quoted(name) for name in self._names)
        )
        at, source, args = "ts", quoted(self._retention.table), (*self._key, from_ts, to_ts)
        where = f"{self._where}ts >= ? AND ts < ?"
        if rollup is not None:
            # Few rows wait at any time: the end of the table is read faster than all of the series in the window.
            source += " NOT INDEXED"
            at = bucket_sql(rollup.bucket_s)
            where += " AND rowid > ?"
            args += (position(self._db, self._retention, rollup),)
        sql = (
            f"SELECT {_START} AS start, count(*){figures} FROM {source} WHERE {where} GROUP BY start ORDER BY start"  # noqa: S608
        ).replace("@", at)
        return self._conn.execute(sql, (from_ts, from_ts, step, step, *args)).fetchall()

    def _oldest(self, rollup: Rollup | None) -> float | None:
        table, column = (
            (self._retention.table, "ts")
            if rollup is None
            else (rollup_table(self._retention, rollup), "bucket")
        )
        where = f"WHERE {self._where.removesuffix(' AND ')}" if self._where else ""
        sql = f"SELECT {column} FROM {quoted(table)} {where} ORDER BY {column} LIMIT 1"  # noqa: S608 - names are checked
        row = self._conn.execute(sql, self._key).fetchone()
        return None if row is None else row[0]


def _merged(rolled: list[Row], fresh: list[Row]) -> list[Row]:
    """Two lists of points in one, in order of time; points of the same start become one."""
    if not fresh:
        return rolled
    points = {row[0]: row for row in rolled}
    for row in fresh:
        known = points.get(row[0])
        points[row[0]] = row if known is None else _sum(known, row)
    return sorted(points.values())


def _sum(a: Row, b: Row) -> Row:
    merged: list[Any] = [a[0], a[1] + b[1]]
    for at in range(2, len(a), 4):
        (n, low, mean, high), (m, *figures) = a[at : at + 4], b[at : at + 4]
        if not m:
            merged += (n, low, mean, high)
        elif not n:
            merged += (m, *figures)
        else:
            merged += (
                n + m,
                min(low, figures[0]),
                (mean * n + figures[1] * m) / (n + m),
                max(high, figures[2]),
            )
    return tuple(merged)


def _columns(rows: Sequence[Row], names: Sequence[str], *, bucket_s: int, step_s: float) -> Series:
    series = Series(bucket_s, step_s, [], [], {name: Band() for name in names})
    gap_s = _usual_distance([row[0] for row in rows]) * GAP
    for row in rows:
        if series.ts and row[0] - series.ts[-1] > gap_s:
            _add(series, (series.ts[-1] + (step_s or gap_s / GAP), 0, *(None,) * (4 * len(names))))
        _add(series, row)
    return series


def _add(series: Series, row: Row) -> None:
    series.ts.append(row[0])
    series.n.append(row[1])
    for number, band in enumerate(series.values.values()):
        _, low, mean, high = row[2 + 4 * number : 6 + 4 * number]
        band.min.append(low)
        band.mean.append(mean)
        band.max.append(high)


def _usual_distance(ts: Sequence[float]) -> float:
    return median(after - before for before, after in pairwise(ts)) if len(ts) > 2 else math.inf
