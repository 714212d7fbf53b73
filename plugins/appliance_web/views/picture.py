"""What the charts of a server draw, as one JSON-able value: columns, the scorer's lines, and marks of what happened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import Any

from appliance.api.model import Level
from appliance_web.charts import Thresholds, offset_legend
from appliance_web.charts.history import Point
from appliance_web.charts.offset import drawn_values, letter
from appliance_web.journal import Entry
from appliance_web.views.axes import axes
from appliance_web.views.standing import number, numbers

#: A picture is never drawn from more points than this for each series: what a slow phone draws in a blink.
MOST_POINTS = 1500
COLUMNS = (
    "ts", "n", "offset_s", "offset_min_s", "offset_max_s", "offset_p10_s", "offset_median_s", "offset_p90_s", "rtt_s", "score",
)  # fmt: skip
_FIGURES = COLUMNS[2:]
#: What a line of the offsets and the ends of its band are called, and the columns with their values.
_SINGLE = {"columns": ["offset_s"], "words": ["Offset"], "old": False}
_MEDIAN = {
    "columns": ["offset_median_s", "offset_p10_s", "offset_p90_s"], "words": ["Median offset", "10 %", "90 %"], "old": False,
}  # fmt: skip
_OLD = {
    "columns": ["old_mean_s", "old_lowest_s", "old_highest_s"], "words": ["Mean offset", "Lowest", "Highest"], "old": True,
}  # fmt: skip
#: Columns that a series has only where there are summaries of before medians were kept: what these have in its place.
OLD_COLUMNS = {"old_mean_s": "offset_s", "old_lowest_s": "offset_min_s", "old_highest_s": "offset_max_s"}
_QUANTILES = ("offset_p10_s", "offset_median_s", "offset_p90_s")
#: What a mark may be; anything else is left out.
KINDS = ("kiss", "leap", "stratum", "in", "out")


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at a moment.

    Attributes:
        ts: epoch seconds.
        kind: one of `KINDS`.
        text: what, in words; hostile text possible: escape it.
    """

    ts: float
    kind: str
    text: str


def series_of_columns(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """From the history of the API, asked for with columns."""
    found = value.get("columns")
    if not isinstance(found, Mapping):
        return []
    columns: dict[str, list[Any]] = {name: list(found.get(name) or ()) for name in ("ts", "n")}
    columns |= {name: numbers(found.get(name) or ()) for name in _FIGURES}
    for name in (
        _QUANTILES
    ):  # a monitor may not know them: of one probe they are its offset, of several nobody knows them
        columns[name] = columns[name] or [
            offset_s if n == 1 else None
            for n, offset_s in zip(columns["n"], columns["offset_s"], strict=True)
        ]
    return [{"monitor": str(value.get("monitor") or "local"), **columns}]


def series_of_rows(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """From single probes, newest first, as the monitor has them in memory: one series for each monitor."""
    by_monitor: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if number(row.get("ts")) is not None:
            by_monitor[str(row.get("monitor") or "local")].append(row)
    found = []
    for monitor, theirs in sorted(by_monitor.items()):
        oldest_first = sorted(theirs, key=lambda row: float(row["ts"]))[-MOST_POINTS:]
        columns: dict[str, list[Any]] = {
            name: [number(row.get(name)) for row in oldest_first] for name in COLUMNS
        }
        columns["n"] = [1] * len(oldest_first)
        columns |= dict.fromkeys(("offset_min_s", "offset_max_s", *_QUANTILES), columns["offset_s"])
        found.append({"monitor": monitor, **columns})
    return found


def marks(turns: Any, entries: Iterable[Entry], start: float, end: float) -> list[Mark]:
    """What happened in a window, oldest first: turns as the monitor tells them, and comings and goings from the journal."""
    found = [
        Mark(float(turn["ts"]), str(turn["kind"]), str(turn.get("text") or ""))
        for turn in (turns if isinstance(turns, list) else ())
        if isinstance(turn, Mapping) and number(turn.get("ts")) is not None and turn.get("kind") in KINDS
    ]
    found += [
        Mark(e.ts, "in" if e.level is Level.OK else "out", e.text) for e in entries if e.kind == "verdict"
    ]
    return sorted((m for m in found if start <= m.ts <= end), key=lambda m: m.ts)


def picture(
    start: float,
    end: float,
    series: Sequence[Mapping[str, Any]],
    lines: Thresholds | None,
    found: Sequence[Mark],
    shown: Sequence[Point],
    *,
    step_s: float = 0.0,
) -> dict[str, Any]:
    """Everything that the charts draw.

    Args:
        start: epoch seconds.
        end: epoch seconds.
        series: one for each monitor, as `series_of_columns` makes them.
        lines: the scorer's, or None when it cannot be asked.
        found: marks.
        shown: the points of all series.
        step_s: width of a point; 0 when each is a single probe.
    """
    old, new = (any(p.span_s and p.old is old for p in shown) for old in (True, False))
    drawn = [*([_MEDIAN] if new else ()), *([_OLD] if old else ())] or [_SINGLE]
    return {
        "from": start,
        "to": end,
        "step_s": step_s,
        "lines": None if lines is None else asdict(lines),
        "axes": axes(series, drawn_values(shown), lines),
        "legend": offset_legend(shown),
        "offsets": drawn,
        "series": [_with_old(one) for one in series] if _OLD in drawn else list(series),
        "marks": [{**asdict(mark), "letter": letter(mark.kind)} for mark in found],
    }


def _with_old(one: Mapping[str, Any]) -> dict[str, Any]:
    """A series with what there is in place of medians, where there are none."""
    medians = one["offset_median_s"]
    return {
        **one,
        **{
            name: [v if m is None else None for v, m in zip(one[source], medians, strict=True)]
            for name, source in OLD_COLUMNS.items()
        },
    }


def points(series: Sequence[Mapping[str, Any]]) -> list[Point]:
    """The same for the charts that are drawn here; gaps are no points."""
    found: list[Point] = []
    for one in series:
        rows = zip(map(float, one["ts"]), one["n"], *(one[name] for name in _FIGURES), strict=True)
        found += [
            Point(ts, offset_s, rtt_s, score)
            if n == 1
            else Point(ts, offset_s, rtt_s, score, None, low_s, high_s, int(n), p10_s, median_s, p90_s)
            for ts, n, offset_s, low_s, high_s, p10_s, median_s, p90_s, rtt_s, score in rows
            if n
        ]
    return sorted(found, key=attrgetter("ts"))
