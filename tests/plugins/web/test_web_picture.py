"""What the charts of a server draw: columns, the scorer's lines, marks; the same for the drawing made here and for the script."""

from __future__ import annotations

import json
import types
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from appliance.api.contrib import Route
from appliance.api.model import Level
from appliance.api.plugin import PluginInfo, hookimpl
from appliance_web.charts import Flag, Thresholds, offset_chart
from appliance_web.charts.offset import drawn_values
from appliance_web.charts.scale import Arcsinh, Span
from appliance_web.journal import Entry
from appliance_web.views import picture
from appliance_web.views.axes import axes
from tests.plugins.web.fake_pool import HOSTILE
from tests.plugins.web.visiting import visited


def test_rows_of_two_monitors_are_two_series_oldest_first():
    rows = [
        {"ts": ts, "monitor": name, "offset_s": ts / 1e3, "score": 20}
        for ts in (3, 2, 1)
        for name in ("here", "there")
    ]
    here, there = picture.series_of_rows(rows)
    assert (here["monitor"], there["monitor"]) == ("here", "there")
    assert here["ts"] == [1, 2, 3]
    assert here["offset_s"] == [0.001, 0.002, 0.003]
    assert here["rtt_s"] == [None] * 3


def test_no_series_is_longer_than_a_phone_can_draw():
    (one,) = picture.series_of_rows({"ts": ts} for ts in range(5000))
    assert len(one["ts"]) == picture.MOST_POINTS
    assert one["ts"][-1] == 4999


def test_gaps_are_no_points_and_single_probes_have_no_spread():
    columns = {name: [1.0, None, 3.0] for name in picture.COLUMNS} | {"ts": [1, 2, 3], "n": [1, 0, 4]}
    first, second = picture.points(picture.series_of_columns({"monitor": "m", "columns": columns}))
    assert (first.ts, first.low_s) == (1, None)
    assert (second.ts, second.low_s, second.probes) == (3, 3.0, 4)


def test_marks_are_of_known_kinds_inside_the_window_in_order():
    turns = [
        {"ts": 5, "kind": "kiss", "text": "kiss code RATE"},
        {"ts": 1, "kind": "leap"},
        {"ts": 6, "kind": "x"},
        "?",
    ]
    entries = [
        Entry(7, "verdict", Level.FAILING, "a left the pool"),
        Entry(4, "verdict", Level.OK, "a entered the pool"),
        Entry(5, "plugin", Level.OK, "no"),
    ]
    found = picture.marks(turns, entries, 2, 8)
    assert [(m.ts, m.kind) for m in found] == [(4, "in"), (5, "kiss"), (7, "out")]
    assert picture.marks("nonsense", [], 0, 1) == []


def test_hostile_text_in_a_mark_is_text_in_the_drawing():
    drawn = offset_chart([], Span(0, 10), None, flags=[Flag(5, "out", HOSTILE)])
    assert "<script>" not in drawn
    assert "&lt;script&gt;" in drawn


def test_every_axis_holds_all_values_and_says_what_stands_at_its_ticks():
    lines = Thresholds(good_s=0.005, limit_s=0.1, enter_score=10)
    series = picture.series_of_rows(
        {"ts": i, "offset_s": offset_s, "rtt_s": 0.013, "score": 20}
        for i, offset_s in enumerate((0.0004, -0.0006, 0.3, None))
    )
    found = axes(series, drawn_values(picture.points(series)), lines)
    offset, rtt, score = found["offset"], found["rtt"], found["score"]
    assert (offset["low"], offset["high"], offset["knee"]) == (-0.5, 0.5, 0.001)
    assert {-0.1, -0.005, 0, 0.005, 0.1} <= set(offset["at"])
    assert offset["words"][offset["at"].index(0.005)] == "+5 ms"
    assert (rtt["high"], rtt["words"]) == (0.02, ["0", "10 ms", "20 ms"])
    assert (score["low"], score["high"], score["words"]) == (0, 21, ["0", "10", "20"])
    scores = picture.series_of_rows({"ts": i, "score": v} for i, v in enumerate((20, -51)))
    fallen = axes(scores, [], lines)["score"]
    assert (fallen["low"], fallen["words"]) == (-100, ["−100", "−50", "−20", "0", "10", "20"])
    for one in found.values():
        assert len(one["at"]) == len(one["words"])
        assert one["at"] == sorted(one["at"])


@given(
    st.lists(st.floats(-1e4, 1e4, allow_nan=False) | st.none(), max_size=30),
    st.tuples(st.floats(1e-6, 10), st.floats(1e-6, 10)) | st.none(),
)
def test_no_two_ticks_of_any_offset_axis_write_over_each_other(offsets, bands):
    lines = Thresholds(min(bands), max(bands), 10) if bands else None
    one = axes([], [v for v in offsets if v is not None], lines)["offset"]
    assert all(one["low"] <= v <= one["high"] for v in offsets if v is not None)
    drawn = Arcsinh(limit=one["high"], knee=one["knee"], height=240)
    places = [drawn.y(v) for v in one["at"]]
    assert all(above - below >= 14.9 for above, below in pairwise(places))


async def test_the_lines_are_the_scorers_and_the_reply_is_plain_json(tmp_path):
    """They move when the scorer moves; none is written into the page."""

    async def scoring(request):
        return {"good_s": 0.0123, "limit_s": 0.456, "enter_score": 7, "top": 20, "bottom": -100}

    scorer = types.ModuleType("scorer")
    scorer.plugin = PluginInfo(id="scorer", title="Scorer", api=1)
    scorer.routes = hookimpl(lambda ctx: [Route("GET", "/api/v1/scoring", scoring, "monitors:read", "lines")])
    async with visited(tmp_path, 7, plugins=("web", scorer)) as visitor:
        status, text, headers = await visitor.get("/api/v1/members/m00001/chart?range=1h")
        assert (status, headers["content-type"].partition(";")[0]) == (200, "application/json")
        found = json.loads(text)
        assert found["lines"] == {
            "good_s": 0.0123,
            "limit_s": 0.456,
            "enter_score": 7.0,
            "top": 20.0,
            "bottom": -100.0,
        }
        assert 55 <= len(found["series"][0]["ts"]) <= 60
        page = (await visitor.get("/members/m00001?range=1h"))[1]
        assert "bands at 12.3 ms and 456 ms" in page
        for query in ("from=9&to=3", "range=5y", "points=1501", "from=x"):
            assert (await visitor.get(f"/api/v1/members/m00001/chart?{query}"))[0] == 422
        assert (await visitor.get("/api/v1/members/nobody/chart"))[0] == 404
