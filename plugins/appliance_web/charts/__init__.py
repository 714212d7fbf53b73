"""Charts drawn on the server: values in, SVG markup out. They need no script, print, and take their colours from the page.

A chart's height is in pixels and its width in per cent, so that it fits any screen while its text keeps its size: the
outer `<svg>` has no viewBox, and what needs a path lives in an inner one that stretches sideways only.
"""

from __future__ import annotations

from appliance_web.charts.history import Thresholds, rtt_chart, score_chart
from appliance_web.charts.marks import dot_plot, history, share_bar, sparkline, strip
from appliance_web.charts.offset import Flag, offset_chart, offset_legend

__all__ = [
    "Flag",
    "Thresholds",
    "dot_plot",
    "history",
    "offset_chart",
    "offset_legend",
    "rtt_chart",
    "score_chart",
    "share_bar",
    "sparkline",
    "strip",
]
