"""The clock's page: its words, its marks, and what it says when there is nothing to say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance_web.charts.lines import Curve, Mark, Spot, line_chart, lonely
from appliance_web.charts.scale import Span
from appliance_web.views import clock
from appliance_web.views.member import RANGES
from tests.plugins.web.fake_pool import HOSTILE
from tests.plugins.web.html_check import read
from tests.plugins.web.visiting import visited
from tests.support.wait import wait_for

NOW = 1.8e9
DAY = RANGES["1d"]
TOLD = {
    "synchronised": True, "source": "chrony", "stratum": 2, "root_distance_s": 0.0042, "root_delay_s": 0.006,
    "root_dispersion_s": 0.0012, "max_distance_s": 1.0, "why": "chronyd follows 192.0.2.1", "warnings": [], "leap": 0,
    "refid_text": "192.0.2.1", "reference_ts": NOW - 12, "correction_s": 1e-6, "kernel": {"tai_offset_s": 37, "frequency_ppm": 1.0},
    "chrony": {
        "tracking": {"last_offset_s": 1e-5, "rms_offset_s": 2e-5, "frequency_ppm": -12.5, "skew_ppm": 0.02},
        "sources": [
            {"name": HOSTILE, "address": "192.0.2.9", "state": "falseticker", "mode": "server", "reach": 255, "stratum": 1, "poll": 6,
             "since_sample_s": 9, "offset_s": 0.3, "error_s": 0.001, "deviation_s": 0.0002},
            {"name": "", "address": "192.0.2.1", "state": "selected", "mode": "server", "reach": 0b11110111, "stratum": 1, "poll": 6,
             "since_sample_s": 3, "offset_s": -4e-6, "error_s": 0.001},
            {"name": "", "address": "192.0.2.3", "state": "not selectable", "mode": "server", "reach": 0},
        ],
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("told", "shape", "text"),
    [
        (TOLD, "ok", "The time is right to 4.20 ms, at stratum 2."),
        (TOLD | {"warnings": ["odd"]}, "degraded", "The time is right to 4.20 ms"),
        (TOLD | {"synchronised": False}, "failing", "not to be trusted"),
        (TOLD | {"source": "local"}, "degraded", "nobody vouches"),
        (None, "failing", "Nobody watches the clock."),
    ],
)
def test_the_clock_in_one_sentence(told, shape, text):
    said = clock.sentence(told)
    assert said.shape == shape
    assert text in said.text


def test_sources_stand_in_order_with_their_reach_in_dots_and_words():
    followed, wrong, silent = clock.sources(TOLD, NOW)
    assert (followed.called, followed.word, followed.reached) == ("192.0.2.1", "followed", "7 of 8")
    assert followed.reach.count('class="hit"') == 7
    assert "7 of the last 8 polls" in followed.reach
    assert (wrong.word, wrong.shape, wrong.sub) == ("wrong time", "failing", "192.0.2.9")
    assert (silent.word, silent.offset, silent.last) == ("silent", "–", "never")


def test_the_newest_poll_stands_on_the_right():
    dots = clock.reach_dots(0b00000001).split("<circle")[1:]
    assert ['"hit"' in dot for dot in dots] == [False] * 7 + [True]


def test_the_parts_of_the_root_distance_add_up():
    delay, dispersion = clock.distance(TOLD)
    assert (delay.value, dispersion.value) == ("3.00 ms (71.4 %)", "1.20 ms (28.6 %)")
    assert clock.distance(TOLD | {"synchronised": False}) == []


def test_a_frequency_is_told_as_what_a_day_makes_of_it():
    assert clock.pace(-12.5, 0.02) == "12.500 ppm slow (1.08 s a day), known to ±0.02"


def test_facts_leave_out_what_nobody_knows():
    assert dict(clock.facts(TOLD, NOW))["TAI − UTC"] == "37 s"
    bare = dict(clock.facts({"synchronised": False, "source": "local", "chrony": None, "kernel": None}, NOW))
    assert set(bare) == {"Vouched for by", "Stratum"}


def history(**last):
    rows = [
        {"ts": NOW - 3600 + i * 60, "n": 2, "offset_s": 1e-6 * i, "offset_min_s": -1e-6, "offset_max_s": 2e-6 * i + 1e-6,
         "frequency_ppm": -12.5 + i * 0.01, "frequency_min_ppm": -12.6, "frequency_max_ppm": -11.0, "root_distance_s": 0.004,
         "synchronised": 1.0}
        for i in range(60)
    ]  # fmt: skip
    return {
        "from_ts": NOW - 86400,
        "to_ts": NOW,
        "points": [*rows[:-1], rows[-1] | last],
        "steps": [{"ts": NOW - 1800, "step_s": 0.5}],
    }


def test_the_past_is_drawn_and_said():
    past = clock.past(history(synchronised=0.0), DAY)
    assert past.offset_said.startswith("Median +30.0 µs, between ")
    assert "stepped by +0.50 s" not in past.offset_said
    assert "stepped by +500 ms" in past.offset
    assert past.unsynchronised == "Not synchronised for 1.7 % of this time."
    assert 'class="spread-area"' in past.offset


def test_what_nobody_measured_has_no_axes():
    told = history()
    told["points"] = [
        {"ts": row["ts"], "n": 1, "synchronised": 1.0, "frequency_ppm": 2.0} for row in told["points"]
    ]
    past = clock.past(told, DAY)
    assert (past.offset, past.offset_said) == ("", "Nobody measured it in this time.")
    assert "<svg" in past.frequency


@pytest.mark.parametrize("value", [None, {}, {"points": []}, {"points": [{"ts": NOW, "n": 0}]}])
def test_no_past_is_no_chart(value):
    assert clock.past(value, DAY) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["state", "reach", "poll", "name", "ts", "n"]), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(sorted(TOLD)), json_values))
def test_no_answer_breaks_the_page(odd):
    told = TOLD | odd
    clock.sentence(told)
    clock.facts(told, NOW)
    clock.distance(told)
    clock.sources(told, NOW)


spots = st.lists(
    st.builds(
        Spot,
        st.floats(0, 100),
        st.none() | st.floats(-1e6, 1e6),
        st.none() | st.floats(-1e6, 1e6),
        st.none() | st.floats(-1e6, 1e6),
    ),
    max_size=8,
)


@given(spots, st.booleans())
def test_any_values_make_a_chart(found, centred):
    drawn = line_chart(
        [Curve("a", found)], Span(0, 100), title="t", summary=HOSTILE, label=str, ident="i", centred=centred,
        marks=[Mark(5, HOSTILE)],
    )  # fmt: skip
    assert "<script" not in drawn
    assert "nan" not in drawn


def test_a_value_between_holes_is_a_dot():
    a, b, c = Spot(1, 1.0), Spot(2, None), Spot(3, 2.0)
    assert lonely([a, b, c]) == [a, c]
    assert lonely([a, Spot(2, 1.0), b]) == []


async def test_the_page_stands_without_a_clock_and_with_one(tmp_path):
    async with visited(tmp_path / "a", None) as visitor:
        status, text, _ = await visitor.get("/clock")
        assert (status, "Nobody watches the clock." in text) == (200, True)
    config = '[plugins.clock]\nsource = "local"\n'
    async with visited(tmp_path / "b", None, config=config, plugins=("web", "clock")) as visitor:
        await visitor.app.until_running("clock")

        async def drawn():
            return "Nobody measured it in this time." in (await visitor.get("/clock?range=1h"))[1]

        await wait_for(drawn, "the first reading to be told of")
        status, text, _ = await visitor.get("/clock?range=1h")
        assert status == 200
        assert read(text).complaints == []
        assert "nobody vouches for it" in text


def test_a_reference_clock_that_waits_for_a_receiver_is_no_row() -> None:
    idle = {
        "name": "",
        "address": "PPS",
        "mode": "reference clock",
        "reach": 0,
        "state": "not selectable",
        "idle": True,
    }
    told = TOLD | {"chrony": {"sources": [idle, *TOLD["chrony"]["sources"]]}}
    assert len(clock.sources(told, NOW)) == len(TOLD["chrony"]["sources"])


def test_a_receiver_is_shown_where_one_is_configured() -> None:
    assert clock.receiver(None) is None
    assert clock.receiver({"configured": False, "verdict": "", "problems": [], "facts": []}) is None
    shown = clock.receiver(
        {"configured": True, "verdict": HOSTILE, "problems": [HOSTILE], "facts": [["Pin", HOSTILE], ["odd"]]}
    )
    assert (shown.shape, shown.facts) == ("degraded", (("Pin", HOSTILE),))
