"""Reading one series for a chart: the right table for the window, at most so many points, gaps left as gaps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import sqlite_utils

from appliance.api.contrib import Retention
from appliance.store.source import Row, Source, Spread
from appliance.store.spread import exact

#: Neighbours this many times farther apart than usual have a gap between them.
GAP: Final = 2.5
#: The quantiles of a point where they are not known.
_UNKNOWN: Final = (None, None, None)


@dataclass(frozen=True, slots=True)
class Band:
    """One value over time; None where nothing was measured.

    Attributes:
        p10, median, p90: the quantiles of each point, as `spread` defines them: exact out of single rows and of one or two
            values, within `spread.ERROR` out of roll-ups, None where a part was rolled up before its spread was kept. Empty
            lists when the retention does not name the value in `spread`.
    """

    min: list[float | None] = field(default_factory=list)
    mean: list[float | None] = field(default_factory=list)
    max: list[float | None] = field(default_factory=list)
    p10: list[float | None] = field(default_factory=list)
    median: list[float | None] = field(default_factory=list)
    p90: list[float | None] = field(default_factory=list)


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
    source = Source(db, retention, tuple(key), names)
    rollup = source.choose(from_ts, to_ts, points)
    if rollup is None:
        rows = source.raw(from_ts, to_ts, points + 1)
        if len(rows) <= points:
            return _columns(rows, names, source.singles(rows), bucket_s=0, step_s=0.0)
    # One point fewer than asked, since the window rarely begins where a point does.
    span = (to_ts - from_ts) / (points - 1)
    unit = rollup.bucket_s if rollup else 1
    step = math.ceil(span / unit) * unit
    begin = math.floor(from_ts / step) * step if rollup else from_ts
    rows, spreads = source.grouped(rollup, begin, to_ts, step)
    return _columns(rows, names, spreads, bucket_s=rollup.bucket_s if rollup else 0, step_s=step)


def _columns(
    rows: Sequence[Row],
    names: Sequence[str],
    spreads: Mapping[str, Spread],
    *,
    bucket_s: int,
    step_s: float,
) -> Series:
    ts = [row[0] for row in rows]
    gap_s = _usual_distance(ts) * GAP
    kept: list[Row] = list(rows)
    found = {name: [quantiles or _UNKNOWN for quantiles in spread] for name, spread in spreads.items()}
    for at in reversed([at for at in range(1, len(ts)) if ts[at] - ts[at - 1] > gap_s]):
        kept.insert(at, (ts[at - 1] + (step_s or gap_s / GAP), 0, *(None,) * (4 * len(names))))
        for quantiles in found.values():
            quantiles.insert(at, _UNKNOWN)
    starts, counts, *figures = _turned(kept, 2 + 4 * len(names))
    bands = {}
    for number, name in enumerate(names):
        _, low, mean, high = figures[4 * number : 4 * number + 4]
        bands[name] = Band(low, mean, high, *(_turned(found[name], 3) if name in found else ()))
    return Series(bucket_s, step_s, starts, counts, bands)


def _turned(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Columns out of rows of that width."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


def _usual_distance(ts: Sequence[float]) -> float:
    gaps = exact(sorted(after - before for before, after in pairwise(ts)))
    return gaps.median if gaps and len(ts) > 2 else math.inf
