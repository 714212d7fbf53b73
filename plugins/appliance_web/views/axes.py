"""The vertical axes of a server's charts, for the script that draws them: the same rules as of the drawings made here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from appliance_web.charts import Thresholds
from appliance_web.charts.history import axis_label
from appliance_web.charts.scale import nice, offset_axis, offset_ticks, score_floor

#: Pixels between the ends of the script's offset chart, and the least between two of its ticks.
_HEIGHT, _ROOM = 240.0, 15.0


def axes(
    series: Sequence[Mapping[str, Any]], offsets: Sequence[float], lines: Thresholds | None
) -> dict[str, Any]:
    """Of each chart: where its axis ends (`low`, `high`), where its ticks are (`at`), and what is written there (`words`).

    The offset's axis has a `knee` too: linear up to it, logarithmic far above it.

    Args:
        series: one for each monitor, in columns of finite figures and None.
        offsets: all that are drawn.
        lines: the scorer's, or None when it cannot be asked.
    """
    return {
        "offset": _offset(offsets, lines),
        "rtt": _rtt(_values(series, "rtt_s")),
        "score": _score(_values(series, "score"), lines),
    }


def _values(series: Sequence[Mapping[str, Any]], column: str) -> list[float]:
    return [v for one in series for v in one[column] if v is not None]


def _offset(values: Sequence[float], lines: Thresholds | None) -> dict[str, Any]:
    bands = (lines.good_s, lines.limit_s) if lines else ()
    axis = offset_axis(values, bands, _HEIGHT)
    named: list[float] = []
    for band in bands:
        if all(abs(axis.y(band) - axis.y(other)) >= _ROOM for other in (0.0, *named)):
            named.append(band)
    at = sorted({*offset_ticks(axis, named, _ROOM), *named, *(-band for band in named)})
    return _axis(-axis.limit, axis.limit, at, map(axis_label, at)) | {"knee": axis.knee}


def _rtt(values: Sequence[float]) -> dict[str, Any]:
    top = nice(max(values, default=0.0) or 1e-6)
    at = [0.0, top / 2, top]
    return _axis(0.0, top, at, (axis_label(v).lstrip("+") for v in at))


def _score(values: Sequence[float], lines: Thresholds | None) -> dict[str, Any]:
    top, bottom = (lines.top, lines.bottom) if lines else (20.0, -100.0)
    bottom = score_floor(values, bottom)
    marked = {top, 0.0, -20.0, -50.0, bottom, *([lines.enter_score] if lines else ())}
    at = sorted(v for v in marked if bottom <= v <= top)
    return _axis(bottom, top + 1, at, (f"{v:g}".replace("-", "−") for v in at))


def _axis(low: float, high: float, at: Sequence[float], words: Iterable[str]) -> dict[str, Any]:
    return {"low": low, "high": high, "at": list(at), "words": list(words)}
