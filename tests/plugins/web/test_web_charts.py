"""Charts are well-formed SVG whose marks stand where the values say."""

from __future__ import annotations

import gzip
import math
import random
import re
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance_web import charts
from appliance_web.charts.history import Point
from appliance_web.charts.pen import Pen
from appliance_web.charts.scale import (
    Arcsinh,
    Linear,
    RootFromTop,
    Span,
    offset_axis,
    offset_ticks,
    score_floor,
    time_ticks,
)
from appliance_web.views import axes

LIMITS = charts.Thresholds(good_s=0.025, limit_s=0.1, enter_score=10)
DAY = 86400.0
numbers = st.floats(-1e7, 1e7)


def parsed(markup):
    """The chart as a tree; a chart that is not XML fails."""
    return ET.fromstring(str(markup))


def places_of(commands):
    """Every place where a path's pen has been, told from the corner."""
    seen, begun, x, y = [], (0.0, 0.0), 0.0, 0.0
    for command, rest in re.findall(r"([a-zA-Z])([^a-zA-Z]*)", commands):
        steps = [float(step) for step in rest.split()]
        from_x, from_y = (x, y) if command.islower() else (0.0, 0.0)
        kind = command.lower()
        if kind == "z":
            x, y = begun
        elif kind == "h":
            x = from_x + steps[0]
        elif kind == "v":
            y = from_y + steps[0]
        else:
            x, y = from_x + steps[0], from_y + steps[1]
            begun = (x, y) if kind == "m" else begun
        seen.append((x, y))
    return seen


def begun(path):
    """In how many places a path begins."""
    return path.get("d").lower().count("m")


def words_of(svg):
    return svg.find("title").text, svg.find("desc").text


def test_a_chart_says_in_words_what_it_shows():
    points = [Point(ts=i * 600.0, offset_s=0.001 * i, rtt_s=0.01, score=20.0) for i in range(200)] + [
        Point(ts=120_500.0, error="timeout")
    ]
    title, text = words_of(parsed(charts.offset_chart(points, Span(0, 2 * DAY), LIMITS)))
    assert title == "Offset over time"
    assert (
        text == "Median +100 ms, from 0 ms to +199 ms, in 201 probes; 99 beyond 100 ms; 1 without an answer."
    )
    assert (
        words_of(parsed(charts.score_chart(points, Span(0, 2 * DAY), LIMITS)))[1]
        == "Score between 20.0 and 20.0; last 20.0."
    )
    assert (
        words_of(parsed(charts.rtt_chart(points, Span(0, 2 * DAY))))[1]
        == "Round trip between 10.0 ms and 10.0 ms."
    )


@pytest.mark.parametrize(
    "draw",
    [
        lambda p, s: charts.offset_chart(p, s, LIMITS),
        lambda p, s: charts.score_chart(p, s, None),
        charts.rtt_chart,
    ],
    ids=["offset", "score", "rtt"],
)
def test_a_chart_without_data_says_so(draw):
    assert words_of(parsed(draw([], Span(0, DAY))))[1].startswith("No ")


def test_every_probe_is_drawn_once_in_the_class_of_its_band():
    points = [
        Point(ts=i * 60.0, offset_s=value)
        for i, value in enumerate([0.0, 0.025, -0.025, 0.026, -0.1, 0.1001, -3.0, None])
    ]
    tree = parsed(charts.offset_chart(points, Span(0, 3600), LIMITS))
    drawn = {path.get("class"): begun(path) for path in tree.iter("path")}
    assert drawn == {"dot good": 3, "dot fair": 2, "dot bad": 2, "lost": 1}


def test_bands_stand_where_the_scorer_says():
    tree = parsed(charts.offset_chart([], Span(0, 3600), charts.Thresholds(0.010, 0.040, 5)))
    labels = {t.text for t in tree.iter("text")}
    assert {"+10 ms", "−10 ms", "+40 ms", "−40 ms"} <= labels
    assert "+25 ms" not in labels


def test_without_a_scorer_no_band_is_invented():
    markup = str(charts.offset_chart([Point(ts=1.0, offset_s=0.2)], Span(0, 3600), None))
    assert "band" not in markup
    assert 'class="limit"' not in markup


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0, DAY),
            st.none() | numbers,
            st.none() | st.floats(0, 100),
            st.none() | st.floats(-200, 30),
        ),
        max_size=40,
    )
)
def test_any_values_make_well_formed_charts_inside_their_frame(rows):
    points = sorted((Point(ts, offset, rtt, score) for ts, offset, rtt, score in rows), key=lambda p: p.ts)
    for markup in (
        charts.offset_chart(points, Span(0, DAY), LIMITS), charts.score_chart(points, Span(0, DAY), LIMITS), charts.rtt_chart(points, Span(0, DAY)),
        charts.sparkline([p.offset_s for p in points], "x"), charts.strip(["ok", "none"] * 5, "x"), charts.share_bar(rows[0][0] if rows else 0.5, "x"),
    ):  # fmt: skip
        if not markup:
            continue
        tree = parsed(markup)
        height = float(tree.get("height"))
        for path in tree.iter("path"):
            assert "nan" not in path.get("d")
            assert "inf" not in path.get("d")
            assert all(-0.1 <= y <= height for _, y in places_of(path.get("d")))


def test_chart_text_is_escaped():
    spark = str(charts.sparkline([1.0, 2.0], "<script>&"))
    assert "<script>" not in spark
    assert "&lt;script&gt;&amp;" in spark


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_scales_keep_order_and_stay_inside(a, b):
    for axis in (Arcsinh(1000, 0.001, 200), Linear(-1e6, 1e6, 200), RootFromTop(-1e6, 1e6, 200)):
        assert 0 <= axis.y(a) <= 200
        if a < b:
            assert axis.y(a) >= axis.y(b)


@settings(max_examples=80)
@given(st.lists(st.floats(1e-7, 1e5), max_size=20), st.sampled_from([(), (0.025, 0.1), (0.01, 0.04)]))
def test_offset_axis_holds_everything_and_labels_do_not_touch(sizes, bands):
    axis = offset_axis(sizes, bands, 220)
    assert all(size <= axis.limit * 1.0001 for size in (*sizes, *bands))
    places = sorted(
        [*(axis.y(t) for t in offset_ticks(axis, bands)), *(axis.y(s * b) for b in bands for s in (1, -1))]
    )
    gaps = [b - a for a, b in pairwise(places)]
    bands_gap = min((abs(axis.y(a) - axis.y(b)) for a in bands for b in bands if a != b), default=99)
    assert all(gap >= min(13, bands_gap) - 0.2 for gap in gaps)


@settings(max_examples=80)
@given(st.floats(1.2e9, 2.2e9), st.floats(30, 3 * 365 * DAY))
def test_time_ticks_are_few_and_inside(start, length):
    span = Span(start, start + length)
    ticks = time_ticks(span)
    assert len(ticks) <= 8
    assert all(span.holds(t.ts) for t in ticks)
    assert len({t.ts for t in ticks}) == len(ticks)


def test_time_ticks_stand_on_round_utc_times():
    midnight = 1_800_057_600.0  # 2027-01-16
    assert all(t.ts % 3600 == 0 for t in time_ticks(Span(midnight - 5 * 3600, midnight)))


def test_a_hole_in_the_data_breaks_the_line():
    times = [0, 60, 120, 180, 3000, 3060]
    tree = parsed(charts.rtt_chart([Point(ts=float(t), rtt_s=0.01) for t in times], Span(0, 3600)))
    line = next(p for p in tree.iter("path") if p.get("class") == "line rtt")
    assert begun(line) == 2


pixels = st.integers(-5000, 15000).map(lambda n: n / 10)
acts = st.sampled_from(["move", "lines", "across", "down", "dots"])


@given(st.lists(st.tuples(acts, pixels, pixels), max_size=400))
def test_a_pen_draws_where_it_is_told_however_long_the_path(told):
    """Each place is written as a step from the last one; a browser that adds them up ends within a quarter of a pixel."""
    pen, wanted, x, y = Pen(), [], 0.0, 0.0
    for act, to_x, to_y in told:
        x, y = x if act == "down" else to_x, y if act == "across" else to_y
        wanted_by = {"move": (x, y), "across": (x,), "down": (y,)}
        getattr(pen, act)(*wanted_by.get(act, ([(x, y)],)))
        wanted += [(x, y)] * (2 if act == "dots" else 1)
    assert "e" not in pen.commands
    for seen, place in zip(places_of(pen.commands), wanted, strict=True):
        assert seen == pytest.approx(place, abs=0.25 + 1e-9)


def test_a_band_is_closed_and_what_follows_stands_in_its_own_place():
    pen = Pen()
    pen.band([(1, 2, 5), (3, 4, 6)])
    pen.move(10, 10)
    assert pen.commands == "m1 2l2 2l0 2l-2 -1zm9 8"
    assert places_of(pen.commands) == [(1, 2), (3, 4), (3, 6), (1, 5), (1, 2), (10, 10)]


def test_a_score_is_drawn_where_it_changes_and_to_its_end():
    points = [Point(ts=600.0 * i, score=value) for i, value in enumerate([20.0, 20.0, 5.0, 5.0, 5.0])]
    tree = parsed(charts.score_chart(points, Span(0, 2400), LIMITS))
    line = next(p for p in tree.iter("path") if p.get("class") == "line score")
    places = places_of(line.get("d"))
    assert [x for x, _ in places] == [0, 500, 500, 1000]
    assert places[0][1] == places[1][1] < places[2][1] == places[3][1]


def test_three_charts_of_a_day_travel_in_seven_kilobytes():
    """The page with them reaches a telephone in one go: a server sends ten packets before it hears back."""
    noise = random.Random(1)
    points = [
        Point(i * 216.0, mean, noise.gauss(0.03, 0.01), min(20.0, i / 5), low_s=mean - 0.1, high_s=mean + 0.1, probes=20, p10_s=mean - 0.002, median_s=mean, p90_s=mean + noise.random() / 100)
        for i, mean in enumerate(noise.gauss(0.001, 0.02) for _ in range(400))
    ]  # fmt: skip
    span = Span(0, DAY)
    drawn = charts.offset_chart(points, span, LIMITS), charts.score_chart(points, span, LIMITS), charts.rtt_chart(points, span)  # fmt: skip
    assert sum(len(gzip.compress(str(one).encode(), 6)) for one in drawn) <= 7_000


def test_a_strip_is_one_path_per_status():
    tree = parsed(charts.strip(["ok", "ok", "failing", "none", "degraded"] * 20, "the day"))
    assert {p.get("class") for p in tree.iter("path")} == {"ok", "failing", "none", "degraded"}
    assert sum(begun(p) for p in tree.iter("path")) == 100


def test_share_bars_stay_within_the_bar():
    widths = [e.get("width") for e in parsed(charts.share_bar(7.5, "x")).iter("rect")]
    assert widths == ["100%", "100.00%"]
    assert math.isclose(
        float(list(parsed(charts.share_bar(0.25, "x")).iter("rect"))[1].get("width").rstrip("%")), 25
    )


@pytest.mark.parametrize(
    ("lowest", "floor"),
    [(20.0, 0.0), (0.0, 0.0), (-0.1, -20.0), (-20.0, -20.0), (-31.0, -50.0), (-88.0, -100.0)],
)
def test_a_score_is_drawn_as_large_as_it_can_be(lowest, floor):
    """A server that never fell below zero needs no room for −100; picture and script end at the same value."""
    assert score_floor([20.0, lowest], -100.0) == floor
    found = axes.axes([{"rtt_s": [None], "score": [lowest]}], [], None)["score"]
    assert found["low"] == min(found["at"]) == floor


def test_a_score_axis_does_not_go_below_what_the_scorer_gives():
    assert score_floor([-5.0], -10.0) == -10.0
    assert score_floor([], -100.0) == 0.0
