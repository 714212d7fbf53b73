"""Time requests by outcome, version and family: rates from counters, kept, told and drawn."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.contrib import Metric
from appliance_web import packets
from appliance_web.views import packets as view
from appliance_web.views.member import RANGES
from tests.plugins.web.html_check import read
from tests.plugins.web.visiting import visited

S = 1_000_000_000


class Counters:
    """A time service's counters."""

    def __init__(self):
        self.received = {("4", "3", "ipv4"): 0.0, ("3", "3", "ipv6"): 0.0, ("7", "3", "ipv4"): 0.0}
        self.became = {("ok", "reply"): 0.0, ("rate", "kiss"): 0.0}

    def metrics(self):
        return [
            Metric("ntp_packets_received_total", "", "counter", lambda: list(self.received.items()), ("version", "mode", "family")),
            Metric("ntp_responses_total", "", "counter", lambda: list(self.became.items()), ("reason", "action")),
            Metric("dns_requests_total", "", "counter", lambda: 5),
        ]  # fmt: skip


def test_rates_are_told_apart_by_outcome_version_and_family():
    counters = Counters()
    taken = packets.Packets(counters.metrics)
    assert taken.sample(0) == {}
    counters.received[("4", "3", "ipv4")] = 600.0
    counters.received[("7", "3", "ipv4")] = 60.0
    counters.became[("ok", "reply")] = 660.0
    assert taken.sample(60 * S) == {"reply": 11.0, "v4": 10.0, "other": 1.0, "ipv4": 11.0}
    assert taken.sample(120 * S) == {"reply": 0.0, "v4": 0.0, "other": 0.0, "ipv4": 0.0}, (
        "what came once is followed"
    )


def test_a_service_that_began_anew_has_no_rates_once():
    counters = Counters()
    counters.became[("ok", "reply")] = 500.0
    taken = packets.Packets(counters.metrics)
    taken.sample(0)
    counters.became[("ok", "reply")] = 5.0
    assert taken.sample(60 * S) == {}
    counters.became[("ok", "reply")] = 65.0
    assert taken.sample(120 * S) == {"reply": 1.0}


def test_a_counter_that_raises_is_as_good_as_none():
    def broken():
        raise RuntimeError("no")

    taken = packets.Packets(
        lambda: [Metric("ntp_responses_total", "", "counter", broken, ("reason", "action"))]
    )
    taken.sample(0)
    assert taken.sample(S) == {}


def points(*values):
    return [{"ts": 60.0 * i, "n": 1, "per_s": v} for i, v in enumerate(values)]


def test_the_charts_share_a_scale_and_say_what_they_show():
    value = {
        "to_ts": 3600.0,
        "kinds": {
            "reply": points(9.0, 11.0), "ignore": points(0.0, 2.0), "v4": points(9.0, 9.0), "v3": points(1.0, 1.0), "ipv4": points(10.0, 10.0),
        },
    }  # fmt: skip
    found = view.packets(value, RANGES["1h"])
    assert found.said == "On average answered 10 a second; silence 1 a second."
    assert [(s.name, s.said) for s in found.versions] == [
        ("NTP version 3", "1 a second, 10.0 %"),
        ("NTP version 4", "9 a second, 90.0 %"),
    ]
    assert [s.name for s in found.families] == ["IPv4"]
    assert found.columns == ["answered", "silence"]
    assert found.rows == [(0.0, [9.0, 0.0]), (60.0, [11.0, 2.0])]
    assert all(">10<" in s.chart for s in found.versions), "one scale for all versions"
    assert 'class="line third"' in found.chart, "no line is told by its colour alone"


odd = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kinds", "reply", "ts", "per_s", "to_ts"]), inner, max_size=4)
    ),
)


@given(odd)
def test_no_answer_breaks_the_charts(value):
    view.packets(value, RANGES["6h"])


@pytest.mark.parametrize("kept", [False, True])
async def test_the_page_has_the_lines_once_there_are_some(tmp_path, kept):
    async with visited(tmp_path, None, plugins=("web", "ntp", "clock"), config=CONFIG) as visitor:
        await visitor.app.until_running("ntp")
        if kept:
            now = visitor.app.host.clock.wall_ns() / 1e9
            for i in range(5):
                for what, per_s in (("reply", 5.0), ("kiss", 1.0), ("v4", 6.0), ("ipv4", 6.0)):
                    row = {"ts": now - 60 * (5 - i), "what": what, "per_s": per_s}
                    visitor.app.host.store.append(packets.TABLE, row)
        status, text, _ = await visitor.get("/time?range=1h")
        found = read(text)
        assert (status, found.complaints) == (200, [])
        assert ("Lines: answered solid, told off dashed." in found.text) is kept
        assert ("Every minute it is kept how many requests came" in found.text) is not kept
        told = json.loads((await visitor.get("/api/v1/traffic/packets?range=1h"))[1])
        assert list(told["kinds"]) == (["reply", "kiss", "v4", "ipv4"] if kept else [])
        csv = (await visitor.get("/api/v1/traffic/packets.csv?range=1h"))[1].splitlines()
        assert csv[0] == "what,ts,n,per_s,per_s_min,per_s_max"
        assert len(csv) == (21 if kept else 1)


CONFIG = '[plugins.ntp]\nlisten = ["127.0.0.1:0"]\n[plugins.clock]\nsource = "local"\n'
