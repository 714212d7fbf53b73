"""One series in all its tables: which of them to ask for a window, and its points out of roll-ups and raw rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import sqlite_utils

from appliance.api.contrib import Retention, Rollup
from appliance.store.batch import quoted
from appliance.store.rollup import SPREAD, bucket_sql, position, rollup_table
from appliance.store.spread import Quantiles, exact, of_summary, of_words, pack, words_of

#: A table this much coarser than asked is still taken: a year in 400 points is well drawn by 365 days.
COARSER: Final = 1.5
#: In place of a finer roll-up one this much coarser than asked is taken too, where it fills the window with `ENOUGH` buckets:
#: a picture of a year, though a thousand pixels wide, is 365 days, not 8,760 hours to be merged by eights.
MUCH_COARSER: Final = 4.5
ENOUGH: Final = 360
#: One point: its start, the rows behind it, and for each value how many of them had it, minimum, mean and maximum.
Row = tuple[Any, ...]
#: Quantiles of a value, one for each point; None where they are not known.
Spread = list[Quantiles | None]
#: The point that a moment (put for "@") belongs to; both parameters come twice: from_ts, from_ts, step, step.
_START: Final = "? + CAST((@ - ?) / ? AS INTEGER) * ?"


class Source:
    """One series in all its tables."""

    def __init__(
        self, db: sqlite_utils.Database, retention: Retention, key: tuple[Any, ...], names: list[str]
    ) -> None:
        self._conn: sqlite3.Connection = db.conn
        self._db = db
        self._retention = retention
        self._key = key
        self._names = names
        self._spread = [name for name in names if name in retention.spread]
        self._where = "".join(f"{quoted(name)} = ? AND " for name in retention.key)
        present = {
            str(row[0]) for row in self._conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        self._rollups = [rollup for rollup in retention.rollups if rollup_table(retention, rollup) in present]

    def choose(self, from_ts: float, to_ts: float, points: int) -> Rollup | None:
        """The coarsest table that is fine enough for so many points; a coarser one when only that reaches back far enough.

        None is the raw table.
        """
        tables: list[Rollup | None] = [None, *self._rollups]
        window_s, step_s = to_ts - from_ts, (to_ts - from_ts) / points
        coarsest_s = step_s * COARSER
        # Single rows are given up for nothing that is coarser than this.
        if any(rollup.bucket_s <= coarsest_s for rollup in self._rollups):
            coarsest_s = max(coarsest_s, min(step_s * MUCH_COARSER, window_s / ENOUGH))
        wanted = sum(rollup.bucket_s <= coarsest_s for rollup in self._rollups)
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

    def singles(self, rows: Sequence[Row]) -> dict[str, Spread]:
        """The quantiles of raw rows: of one value they are all that value."""
        return {
            name: [of_summary(n, low, high) for n, low, _, high in self._figures(rows, name)]
            for name in self._spread
        }

    def grouped(
        self, rollup: Rollup | None, from_ts: float, to_ts: float, step: int
    ) -> tuple[list[Row], dict[str, Spread]]:
        """Points of `step` seconds: out of the roll-up, and out of the rows that no roll-up has taken in yet."""
        fresh = self._fresh(rollup, from_ts, to_ts, step)
        waiting = {name: self._fresh_values(name, rollup, from_ts, to_ts, step) for name in self._spread}
        if rollup is None:
            return fresh, {
                name: [exact(found.get(row[0], ())) for row in fresh] for name, found in waiting.items()
            }
        figures = "".join(
            f", sum({n}), min({low}), sum({mean} * {n}) / sum({n}), max({high})"
            for n, low, mean, high in (
                [quoted(name + end) for end in ("_n", "_min", "_mean", "_max")] for name in self._names
            )
        )
        kept = "".join(f", {self._kept(rollup, name)}" for name in self._spread)
        # Buckets that are points already come in the order of the key: nothing has to be sorted.
        alike = step == rollup.bucket_s and from_ts % step == 0
        sql = (
            f"SELECT {'bucket' if alike else _START} AS start, sum(n){figures}{kept} "  # noqa: S608 - checked
            f"FROM {quoted(rollup_table(self._retention, rollup))} "
            f"WHERE {self._where}bucket >= ? AND bucket < ? GROUP BY start ORDER BY start"
        ).replace("@", "bucket")
        args = (*(() if alike else (from_ts, from_ts, step, step)), *self._key, from_ts, to_ts)
        rolled = self._conn.execute(sql, args).fetchall()
        end = 2 + 4 * len(self._names)
        rows = _merged([row[:end] for row in rolled], fresh)
        return rows, {
            name: self._estimated(name, rows, {row[0]: row[end + at] for row in rolled}, waiting[name])
            for at, name in enumerate(self._spread)
        }

    def _kept(self, rollup: Rollup, name: str) -> str:
        """SQL for the spreads of all buckets of a point, one behind the other; the table may be of before they were kept."""
        table = quoted(rollup_table(self._retention, rollup))
        present = {str(row[1]) for row in self._conn.execute(f"PRAGMA table_info({table})")}
        return f"group_concat(hex({quoted(name + SPREAD)}), '')" if name + SPREAD in present else "NULL"

    def _estimated(
        self,
        name: str,
        rows: Sequence[Row],
        kept: Mapping[float, str | None],
        waiting: Mapping[float, Sequence[float]],
    ) -> Spread:
        """Quantiles of points: exact where they can be known so, else out of what roll-ups kept and of the rows that wait.

        Args:
            name: of the value.
            rows: the points.
            kept: for the start of a point, words in hexadecimal.
            waiting: for the start of a point, the values that no roll-up holds yet.
        """
        found: Spread = []
        for row, (n, low, _, high) in zip(rows, self._figures(rows, name), strict=True):
            known = of_summary(n, low, high)
            if known is None and n:
                blob = bytes.fromhex(kept.get(row[0]) or "")
                if row[0] in waiting:
                    blob += pack(waiting[row[0]])
                known = of_words(words_of(blob), n, low, high)
            found.append(known)
        return found

    def _figures(self, rows: Sequence[Row], name: str) -> list[Row]:
        """Of each point and of one value how many there were, minimum, mean and maximum."""
        at = 2 + 4 * self._names.index(name)
        return [row[at : at + 4] for row in rows]

    def _fresh(self, rollup: Rollup | None, from_ts: float, to_ts: float, step: int) -> list[Row]:
        """Points out of the raw rows; with a roll-up, of those only that it does not hold."""
        figures = "".join(
            f", count({v}), min({v}), avg({v}), max({v})" for v in (quoted(name) for name in self._names)
        )
        at, rows, args = self._waiting(rollup, from_ts, to_ts)
        sql = f"SELECT {_START} AS start, count(*){figures} FROM {rows} GROUP BY start ORDER BY start"  # noqa: S608 - checked
        return self._conn.execute(sql.replace("@", at), (from_ts, from_ts, step, step, *args)).fetchall()

    def _fresh_values(
        self, name: str, rollup: Rollup | None, from_ts: float, to_ts: float, step: int
    ) -> dict[float, list[float]]:
        """The same rows' values of one name, in rising order, by the start of their point."""
        at, rows, args = self._waiting(rollup, from_ts, to_ts)
        value = quoted(name)
        sql = f"SELECT {_START} AS start, {value} FROM {rows} AND typeof({value}) IN ('real', 'integer') ORDER BY 1, 2"  # noqa: S608
        found = self._conn.execute(sql.replace("@", at), (from_ts, from_ts, step, step, *args))
        return {start: [row[1] for row in same] for start, same in groupby(found, key=itemgetter(0))}

    def _waiting(
        self, rollup: Rollup | None, from_ts: float, to_ts: float
    ) -> tuple[str, str, tuple[Any, ...]]:
        """The moment that counts for a row, raw rows as SQL (table and condition), and its parameters."""
        source, where = quoted(self._retention.table), f"{self._where}ts >= ? AND ts < ?"
        args = (*self._key, from_ts, to_ts)
        if rollup is None:
            return "ts", f"{source} WHERE {where}", args
        # Few rows wait at any time: the end of the table is read faster than all of the series in the window.
        rolled_to = position(self._db, self._retention, rollup)
        return (
            bucket_sql(rollup.bucket_s),
            f"{source} NOT INDEXED WHERE {where} AND rowid > ?",
            (*args, rolled_to),
        )

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
