"""Queries a second: rates from counters, kept, and drawn."""

from __future__ import annotations

import pytest

from appliance.api.contrib import Metric
from appliance_web.traffic import SAMPLE_S, SHOWN, Traffic
from appliance_web.views import traffic as view
from appliance_web.views.member import RANGES

S = 1_000_000_000


class Counters:
    def __init__(self):
        self.ntp, self.dns = 0.0, 0.0
        self.there = True

    def metrics(self):
        if not self.there:
            return []
        return [
            Metric("ntp_packets_received_total", "", "counter", lambda: [(("4",), self.ntp), (("3",), 0)], ("version",)),
            Metric("dns_requests_total", "", "counter", lambda: self.dns),
        ]  # fmt: skip


def test_a_rate_is_the_difference_of_two_looks():
    counters = Counters()
    traffic = Traffic(counters.metrics)
    assert traffic.sample(0) is None
    counters.ntp, counters.dns = 500.0, 20.0
    traffic.sample(10 * S)
    assert {c: list(v) for c, v in traffic.latest.items()} == {"ntp_per_s": [50.0], "dns_per_s": [2.0]}


def test_six_looks_make_one_row_of_their_mean():
    counters = Counters()
    traffic = Traffic(counters.metrics)
    traffic.sample(0)
    rows = []
    for number in range(1, 13):
        counters.ntp += 10 * number
        rows.append(traffic.sample(number * 10 * S))
    assert [row for row in rows if row] == [
        {"ntp_per_s": 3.5, "dns_per_s": 0.0},
        {"ntp_per_s": 9.5, "dns_per_s": 0.0},
    ]


def test_a_counter_that_began_anew_or_is_gone_has_no_rate():
    counters = Counters()
    counters.ntp = 100.0
    traffic = Traffic(counters.metrics)
    traffic.sample(0)
    counters.ntp = 5.0
    traffic.sample(10 * S)
    counters.there = False
    traffic.sample(20 * S)
    counters.there = True
    traffic.sample(30 * S)
    traffic.sample(40 * S)
    assert list(traffic.latest["ntp_per_s"]) == [None, None, None, 0.0]


def test_a_counter_that_raises_is_as_good_as_none():
    def broken():
        raise RuntimeError("no")

    traffic = Traffic(lambda: [Metric("dns_requests_total", "", "counter", broken)])
    traffic.sample(0)
    traffic.sample(S)
    assert list(traffic.latest["dns_per_s"]) == [None]


def test_memory_is_bounded():
    traffic = Traffic(Counters().metrics)
    for number in range(3 * SHOWN):
        traffic.sample(int(number * SAMPLE_S) * S)
    assert len(traffic.latest["ntp_per_s"]) == SHOWN


def test_the_line_is_drawn_and_said():
    value = {
        "to_ts": 7200.0,
        "points": [{"ts": 3600.0 + 60 * i, "n": 1, "dns_per_s": float(i)} for i in range(60)],
    }
    line = view.line(value, "dns_per_s", RANGES["1h"], "Queries")
    assert line.said == "29.5 a second on average, at most 59."
    assert 'class="line"' in line.chart


@pytest.mark.parametrize(
    "value", [None, {}, {"latest": None, "points": []}, {"latest": {"x": 1}, "points": [{"ts": "x"}]}]
)
def test_nothing_kept_is_nothing_drawn(value):
    assert view.line(value, "dns_per_s", RANGES["1h"], "Queries") is None
    assert view.spark(value, "dns_per_s", "DNS")[0] == "–"
