"""Which sample stands for the probe."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.model import Sample, Target
from appliance_monitor.samples import answered, pick, result_of

SILENT = Sample(error="timeout")
REFUSED = Sample(error="refused")


def good(rtt_s, offset_s=0.0, stratum=2):
    return Sample(offset_s=offset_s, rtt_s=rtt_s, stratum=stratum, leap=0)


RATE = Sample(stratum=0, leap=3, rtt_s=0.5, error="RATE")
BAD = Sample(stratum=11, leap=0, offset_s=0.0, rtt_s=0.001, error="bad stratum 11")
PARTIAL = Sample(stratum=2, leap=0, rtt_s=0.2, error="half an answer")


@pytest.mark.parametrize(
    ("samples", "chosen"),
    [
        ([SILENT, REFUSED], SILENT),  # among equals the earlier stays
        ([good(0.3), good(0.1), good(0.2)], good(0.1)),
        ([SILENT, SILENT, good(0.3)], good(0.3)),
        ([good(0.3), SILENT], good(0.3)),
        ([good(0.001), RATE, good(0.1)], RATE),  # a kiss code is the result at once
        ([good(0.1), BAD], BAD),
        ([SILENT, PARTIAL], PARTIAL),
        ([PARTIAL, SILENT], PARTIAL),
        ([PARTIAL, good(2.9)], good(2.9)),
        ([good(0.1, 1), good(0.1, 2)], good(0.1, 1)),
        (
            [Sample(stratum=2, offset_s=1.0), good(0.1)],
            Sample(stratum=2, offset_s=1.0),
        ),  # no round trip, no contest
    ],
)
def test_the_choice_of_the_pools_agent(samples, chosen):
    assert pick(samples) is samples[samples.index(chosen)]


SAMPLES = st.lists(
    st.one_of(
        st.just(SILENT), st.just(RATE), st.just(PARTIAL), st.builds(good, st.floats(0, 3), st.floats(-5, 5))
    ),
    min_size=1,
    max_size=8,
)


@given(SAMPLES)
def test_an_error_is_chosen_only_when_final_or_when_there_is_nothing_better(samples):
    best = pick(samples)
    assert best in samples
    if best.error is not None and best.stratum != 0:
        assert all(s.error is not None for s in samples)
        assert answered(best) or not any(answered(s) for s in samples)
    if best.error is None:
        assert all(s.rtt_s >= best.rtt_s for s in samples if s.error is None)


@given(SAMPLES)
def test_the_result_shows_the_chosen_sample_and_keeps_all(samples):
    result = result_of(samples, ts=5.0, target=Target("192.0.2.1"), member="m", monitor="x")
    best = pick(samples)
    assert (result.offset_s, result.rtt_s, result.stratum, result.leap, result.error) == (
        best.offset_s, best.rtt_s, best.stratum, best.leap, best.error,
    )  # fmt: skip
    assert result.responded == answered(best)
    assert result.samples == tuple(samples)
