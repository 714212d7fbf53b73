"""Reading one series for a chart: the right table for the window, at most so many points, gaps left as gaps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any, Final

import sqlite_utils

from appliance.api.contrib import Retention
from appliance.store.source import Row, Source, Spread
from appliance.store.spread import Quantiles

#: Neighbours this many times farther apart than usual have a gap between them.
GAP: Final = 2.5


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
    rollup = source.choose(from_ts, (to_ts - from_ts) / points)
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
    series = Series(bucket_s, step_s, [], [], {name: Band() for name in names})
    gap_s = _usual_distance([row[0] for row in rows]) * GAP
    gap = (0, *(None,) * (4 * len(names)))
    for number, row in enumerate(rows):
        if series.ts and row[0] - series.ts[-1] > gap_s:
            _add(series, (series.ts[-1] + (step_s or gap_s / GAP), *gap), dict.fromkeys(spreads))
        _add(series, row, {name: spread[number] for name, spread in spreads.items()})
    return series


def _add(series: Series, row: Row, quantiles: Mapping[str, Quantiles | None]) -> None:
    series.ts.append(row[0])
    series.n.append(row[1])
    for number, (name, band) in enumerate(series.values.items()):
        _, low, mean, high = row[2 + 4 * number : 6 + 4 * number]
        band.min.append(low)
        band.mean.append(mean)
        band.max.append(high)
        if name in quantiles:
            found = quantiles[name]
            band.p10.append(found.p10 if found else None)
            band.median.append(found.median if found else None)
            band.p90.append(found.p90 if found else None)


def _usual_distance(ts: Sequence[float]) -> float:
    return median(after - before for before, after in pairwise(ts)) if len(ts) > 2 else math.inf
