"""A member's past for charts and files: columns from the store as points, and rows as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from appliance.api.foreign import csv_cell
from appliance.store.series import Series

RANGES_S = {"1h": 3600, "6h": 21_600, "1d": 86_400, "7d": 604_800, "30d": 2_592_000, "1y": 31_536_000}
COLUMNS = (
    "ts", "offset_s", "offset_min_s", "offset_max_s", "rtt_s", "rtt_min_s", "rtt_max_s", "score", "n", "offset_p10_s",
    "offset_median_s", "offset_p90_s",
)  # fmt: skip


def points(series: Series) -> list[dict[str, Any]]:
    """One object for each point, oldest first; `n` 0 marks a gap. The score of a summary is its lowest.

    Of a summary `offset_s` is the mean. The median and the ends of the middle eight tenths beside it are None where a part of
    the probes was summarised before they were kept.
    """
    offset, rtt, score = (series.values[name] for name in ("offset_s", "rtt_s", "score"))
    return [
        {
            "ts": series.ts[i],
            "n": series.n[i],
            "offset_s": offset.mean[i],
            "offset_min_s": offset.min[i],
            "offset_max_s": offset.max[i],
            "offset_p10_s": offset.p10[i],
            "offset_median_s": offset.median[i],
            "offset_p90_s": offset.p90[i],
            "rtt_s": rtt.mean[i],
            "rtt_min_s": rtt.min[i],
            "rtt_max_s": rtt.max[i],
            "score": score.min[i],
        }
        for i in range(len(series.ts))
    ]


def columns(series: Series) -> dict[str, list[Any]]:
    """The same as one list for each column, which is a third of the size; offsets to the nanosecond, times to the millisecond."""
    offset, rtt, score = (series.values[name] for name in ("offset_s", "rtt_s", "score"))
    return {
        "ts": [round(ts, 3) for ts in series.ts],
        "n": list(series.n),
        "offset_s": _rounded(offset.mean, 9),
        "offset_min_s": _rounded(offset.min, 9),
        "offset_max_s": _rounded(offset.max, 9),
        "offset_p10_s": _rounded(offset.p10, 9),
        "offset_median_s": _rounded(offset.median, 9),
        "offset_p90_s": _rounded(offset.p90, 9),
        "rtt_s": _rounded(rtt.mean, 7),
        "score": _rounded(score.min, 3),
    }


def _rounded(values: Iterable[float | None], digits: int) -> list[float | None]:
    """As `round` does but for the last bit of what lies in the middle, and in half its time."""
    scale = 10.0**digits
    return [None if value is None else round(value * scale) / scale for value in values]


def as_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] = COLUMNS) -> str:
    """Rows as CSV with a header; text that a spreadsheet would run as a formula is defused."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([csv_cell(row.get(name)) for name in columns])
    return out.getvalue()
