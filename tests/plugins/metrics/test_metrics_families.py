"""What plugins contribute becomes families; whatever a plugin gets wrong costs its own metric only."""

from __future__ import annotations

import logging
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_open_metrics
from prometheus_client.parser import text_string_to_metric_families

from appliance.api.contrib import Metric
from appliance.api.foreign import visible
from appliance_metrics.families import BadMetric, Collector, family_of
from appliance_metrics.text import Scribe

log = logging.getLogger("test.metrics")


class Exposed:
    """A registry with the given contributions."""

    def __init__(self, *metrics: Metric, plugin: str = "hello") -> None:
        self.contributed = [(plugin, m) for m in metrics]
        self.collector = Collector(log)

    def collect(self):
        return self.collector.collect(self.contributed)

    def text(self) -> str:
        return generate_latest(self).decode()

    def samples(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        return {
            (s.name, tuple(sorted(s.labels.items()))): s.value
            for family in text_string_to_metric_families(self.text())
            for s in family.samples
        }


def gauge(name="thing", read=lambda: 1.0, labels=(), kind="gauge"):
    return Metric(name, "A thing.", kind, read, labels)


def test_a_metric_gets_the_prefix_its_help_and_its_kind():
    text = Exposed(gauge("things_total", lambda: 3, kind="counter"), gauge("size_bytes", lambda: 2.5)).text()
    assert (
        "# HELP timeball_things_total A thing.\n# TYPE timeball_things_total counter\ntimeball_things_total 3.0"
        in text
    )
    assert "# TYPE timeball_size_bytes gauge\ntimeball_size_bytes 2.5" in text


@given(
    st.dictionaries(
        st.tuples(st.text(max_size=20), st.text(max_size=20)),
        st.floats(allow_nan=False),
        max_size=8,
    )
)
def test_any_label_value_survives_the_text_format(series):
    series = {tuple(visible(text, keep="\n") for text in key): value for key, value in series.items()}
    exposed = Exposed(gauge(read=lambda: list(series.items()), labels=("zone", "family")))
    assert exposed.text().endswith("\n")
    got = {
        (s.labels["zone"], s.labels["family"]): s.value
        for family in exposed.collect()
        for s in family.samples
        if s.name == "timeball_thing"
    }
    assert got == series


@given(
    st.lists(
        st.dictionaries(
            st.tuples(st.text(max_size=8), st.text(max_size=8)), st.floats(), min_size=0, max_size=6
        ),
        min_size=1,
        max_size=3,
    ),
    st.floats(),
    st.text(st.characters(exclude_categories=("C", "Z"))),
)
def test_the_page_is_letter_for_letter_what_the_reference_writes_scrape_after_scrape(scrapes, size, told):
    scribe, now = Scribe(), {}
    exposed = Exposed(
        gauge(read=lambda: list(now.items()), labels=("zone", "family")),
        gauge("seen_total", lambda: [(key, abs(n)) for key, n in now.items() if math.isfinite(n)], ("b", "a"), "counter"),
        Metric("size_bytes", told, "gauge", lambda: size),
        gauge("broken", boom),
    )  # fmt: skip
    for scrape in (*scrapes, scrapes[0]):
        now.clear()
        now.update(scrape)
        families = list(exposed.collect())
        exposed.collect = lambda families=families: iter(families)
        assert scribe.page(families, open_metrics=False) == generate_latest(exposed)
        assert scribe.page(families, open_metrics=True) == generate_open_metrics(exposed)
        del exposed.collect


def boom():
    raise RuntimeError("no such file")


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (gauge(read=boom), "no such file"),
        (gauge(read=lambda: None), "expected a number"),
        (gauge(read=lambda: "many"), "expected a number"),
        (gauge(read=lambda: 1, labels=("a",)), "expected pairs"),
        (gauge(read=lambda: [(("x", "y"), 1)], labels=("a",)), "expected values for"),
        (gauge(read=lambda: [("x", 1)], labels=("a",)), "expected values for"),
        (gauge(read=lambda: [(("x",), 1), (("x",), 2)], labels=("a",)), "comes twice"),
        (gauge(read=lambda: [(("x",), "n")], labels=("a",)), "could not convert"),
        (gauge(read=lambda: ((((str(n)),), 1) for n in range(10**6)), labels=("a",)), "more than"),
        (gauge(name="Thing"), "lower-case"),
        (gauge(name="timeball_thing"), "prefix"),
        (gauge(name="thing_total"), "_total"),
        (gauge(name="thing", kind="counter"), "_total"),
        (gauge(name="thing_total", kind="counter", read=lambda: -1), "cannot be -1"),
        (gauge(name="thing_total", kind="counter", read=lambda: math.nan), "cannot be nan"),
        (gauge(kind="summary"), "unknown kind"),
        (Metric("thing", None, "gauge", lambda: 1), "help"),
        (Metric("thing", "two\nlines", "gauge", lambda: 1), "help"),
        (gauge(labels=("Bad-Label",), read=list), "lower-case words"),
    ],
)
def test_a_metric_that_fails_is_counted_with_the_plugins_name_and_takes_nothing_else_with_it(
    bad, word, caplog
):
    exposed = Exposed(bad, gauge("good", lambda: 7.0))
    samples = exposed.samples()
    assert samples["timeball_good", ()] == 7.0
    key = (("metric", bad.name), ("plugin", "hello"))
    assert samples["timeball_metric_errors_total", key] == 1
    assert word in exposed.collector.failing["hello", bad.name]
    assert exposed.samples()["timeball_metric_errors_total", key] == 2
    assert len([r for r in caplog.records if bad.name in r.getMessage()]) == 1  # the change, not the state


def test_a_metric_that_works_again_is_no_longer_failing():
    fails = [True]
    exposed = Exposed(gauge(read=lambda: boom() if fails[0] else 1))
    exposed.text()
    assert exposed.collector.failing
    fails[0] = False
    exposed.text()
    assert not exposed.collector.failing


def test_a_name_that_is_taken_is_refused_to_the_second_plugin():
    exposed = Exposed()
    exposed.contributed = [("first", gauge(read=lambda: 1)), ("second", gauge(read=lambda: 2))]
    samples = exposed.samples()
    assert samples["timeball_thing", ()] == 1
    assert "taken by the plugin first" in exposed.collector.failing["second", "thing"]


def test_a_label_that_is_not_unicode_does_not_break_the_page():
    assert "timeball_thing" in Exposed(gauge(read=lambda: [(("\udcff",), 1)], labels=("file",))).text()


def test_a_label_that_somebody_far_away_wrote_stands_there_and_does_nothing():
    text = Exposed(gauge(read=lambda: [(("a\x1b[2J\nb\u202ec\x7f",), 1)], labels=("refid",))).text()
    assert r'timeball_thing{refid="a\\x1b[2J\nb\\x202ec\\x7f"} 1.0' in text
    assert text.replace("\n", "").isprintable()


def test_booleans_and_infinities_are_numbers():
    assert Exposed(gauge(read=lambda: True)).samples()["timeball_thing", ()] == 1
    assert Exposed(gauge(read=lambda: math.inf)).samples()["timeball_thing", ()] == math.inf
    with pytest.raises(BadMetric):
        family_of(gauge(name="x_total", kind="counter", read=lambda: math.inf))
