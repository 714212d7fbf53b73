"""From what a source says to what we serve: one test for each rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance_clock.chrony import Tracking
from appliance_clock.combine import (
    KERNEL_ERROR_FLOOR_S,
    MAX_SLEW_RATE,
    Moment,
    TrackingRecord,
    kernel_state,
    local_state,
)
from appliance_clock.config import ClockConfig
from appliance_clock.kernel import STA_DEL, STA_INS, STA_NANO, STA_UNSYNC, Timex, reading_from
from appliance_clock.leap import LeapWatch

S = 1_000_000_000
DAY_NS = 86_400 * S
MIDNIGHT_NS = 1_800_000_000 * S // DAY_NS * DAY_NS + DAY_NS
NOON = Moment(1000 * S, MIDNIGHT_NS - DAY_NS // 2)

GOOD = Tracking(
    refid=bytes((192, 0, 2, 1)),
    source="192.0.2.1",
    stratum=3,
    leap=0,
    reference_ns=NOON.wall_ns - 30 * S,
    correction_s=20e-6,
    last_offset_s=1e-5,
    rms_offset_s=1e-5,
    frequency_ppm=-11.0,
    residual_ppm=-0.25,
    skew_ppm=0.75,
    root_delay_s=0.004,
    root_dispersion_s=0.002,
    update_interval_s=64.0,
)


def later(seconds: float, start: Moment = NOON) -> Moment:
    return Moment(start.mono_ns + int(seconds * S), start.wall_ns + int(seconds * S))


def record(**config) -> TrackingRecord:
    return TrackingRecord(ClockConfig(**config), -24)


def test_good_tracking_is_served_as_it_is():
    state = record().take(GOOD, NOON)
    assert state.synchronised(NOON.mono_ns)
    assert (state.leap, state.stratum, state.refid) == (0, 3, GOOD.refid)
    assert (state.reference_ns, state.root_delay_s, state.precision) == (GOOD.reference_ns, 0.004, -24)
    assert state.source == "chrony" and "192.0.2.1" in state.why


@pytest.mark.parametrize(
    "change", [{"stratum": 0}, {"stratum": 16}, {"leap": 3}, {"stratum": 0, "leap": 3, "refid": bytes(4)}]
)
def test_unsynchronised_tracking_is_never_time(change):
    state = record().take(replace(GOOD, **change), NOON)
    assert (state.leap, state.stratum, state.refid) == (3, 0, bytes(4))
    assert not state.synchronised(NOON.mono_ns)


def test_dispersion_grows_by_skew_residual_and_one_ppm():
    """D = D0 + |c| + 5 us + t x (skew + |resid| + 1) ppm."""
    state = record().take(GOOD, NOON)
    assert state.dispersion_s(NOON.mono_ns) == pytest.approx(0.002 + 20e-6 + 5e-6)
    assert state.dispersion_s(later(8).mono_ns) == pytest.approx(0.002 + 25e-6 + 8 * 2e-6)


def test_the_reference_time_is_never_in_the_future_and_negative_delay_is_none():
    state = record().take(replace(GOOD, reference_ns=NOON.wall_ns + 5 * S, root_delay_s=-1e-9), NOON)
    assert state.reference_ns == NOON.wall_ns
    assert state.root_delay_s == 0


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("size_s", "served", "fast", "synchronised"),
    [
        (99e-6, 0.0, False, True),
        (101e-6, 101e-6, True, True),
        (9.9e-3, 9.9e-3, True, True),
        (10.1e-3, 0.0, False, False),
        (5.0, 0.0, False, False),
    ],
)
def test_a_pending_correction_is_error_then_applied_then_refused(sign, size_s, served, fast, synchronised):
    tracker = record()
    state = tracker.take(replace(GOOD, correction_s=sign * size_s), NOON)
    assert state.correction_s == pytest.approx(sign * served)
    assert tracker.slewing is fast
    assert state.synchronised(NOON.mono_ns) is synchronised


def test_the_rate_of_a_slew_widens_the_dispersion():
    tracker = record()
    first = tracker.take(replace(GOOD, correction_s=5e-3), NOON)
    assert first.dispersion_rate == pytest.approx(2e-6 + MAX_SLEW_RATE)  # nothing to compare with yet
    second = tracker.take(replace(GOOD, correction_s=4e-3), later(0.1))
    assert second.dispersion_rate == pytest.approx(2e-6 + 0.01)


def test_silence_of_less_than_ten_seconds_changes_nothing():
    tracker = record()
    tracker.take(GOOD, NOON)
    assert tracker.miss(later(9.9), "silent") is None


def test_silence_ages_at_15_ppm_and_skew_and_ends_after_ten_minutes():
    tracker = record()
    fresh = tracker.take(GOOD, NOON)
    aged = tracker.miss(later(10), "chronyd does not answer")
    assert aged.synchronised(later(10).mono_ns)
    assert aged.root_dispersion_s == pytest.approx(fresh.dispersion_s(later(10).mono_ns))
    assert aged.dispersion_rate == pytest.approx((15 + 0.75) * 1e-6)
    assert "unattended" in aged.why
    assert tracker.miss(later(20), "chronyd does not answer") is None, "said once, then it ages by itself"
    assert aged.synchronised(later(599).mono_ns)
    assert not aged.synchronised(later(600).mono_ns), "readers know by themselves"
    gone = tracker.miss(later(601), "chronyd does not answer")
    assert (gone.leap, gone.stratum) == (3, 0)


def test_an_answer_after_silence_is_fresh_again():
    tracker = record()
    tracker.take(GOOD, NOON)
    tracker.miss(later(700), "silent")
    state = tracker.take(GOOD, later(701))
    assert state.synchronised(later(701).mono_ns)
    assert state.dispersion_rate == pytest.approx(2e-6)


def test_past_the_limit_of_the_root_distance_nothing_is_claimed():
    state = record(max_distance_s=0.5).take(replace(GOOD, root_delay_s=0.9, root_dispersion_s=0.1), NOON)
    assert not state.synchronised(NOON.mono_ns)
    assert "limit of 0.5 s" in state.why
    # ... and when the distance grows past it unattended, readers see that without us
    aging = record(max_distance_s=0.0041).take(replace(GOOD, skew_ppm=5.0), NOON)
    assert aging.synchronised(NOON.mono_ns)
    assert not aging.synchronised(later(30).mono_ns)


def test_a_chronyd_that_was_never_heard_is_not_synchronised_and_says_what_to_do():
    state = record().miss(NOON, "chronyd does not answer")
    assert not state.synchronised(NOON.mono_ns)
    assert "start chronyd" in state.why


@pytest.mark.parametrize("leap", [1, 2])
def test_around_a_leap_second_nothing_is_claimed_for_two_seconds_on_either_side(leap):
    """And a snapshot made long before expires by itself: nobody need be awake at midnight."""
    tracker = record()
    before = Moment(NOON.mono_ns, MIDNIGHT_NS - 60 * S)
    state = tracker.take(replace(GOOD, leap=leap), before)
    assert state.leap == leap
    assert state.synchronised(later(57.9, before).mono_ns)
    assert not state.synchronised(later(58, before).mono_ns)
    for seconds in (58, 59.5, 60, 61.9):
        # the announcement is gone right after midnight, the doubt is not
        announced = leap if seconds < 60 else 0
        inside = tracker.take(replace(GOOD, leap=announced), later(seconds, before))
        assert inside.leap == 3, seconds
    after = tracker.take(GOOD, later(62.1, before))
    assert (after.leap, after.synchronised(later(62.1, before).mono_ns)) == (0, True)


def test_after_a_step_by_somebody_else_chronyd_is_believed_only_when_it_measured_anew():
    tracker = record()
    tracker.take(GOOD, NOON)
    tracker.stepped(3600.0, later(1))
    assert not tracker.take(GOOD, later(1.1)).synchronised(later(1.1).mono_ns)
    measured = replace(GOOD, reference_ns=later(20).wall_ns)
    assert tracker.take(measured, later(21)).synchronised(later(21).mono_ns)


def test_the_inserted_leap_second_is_a_step_that_needs_no_new_measurement():
    tracker = record()
    before = Moment(NOON.mono_ns, MIDNIGHT_NS - 10 * S)
    tracker.take(replace(GOOD, leap=1), before)
    tracker.stepped(-1.0, later(9.5, before))
    after = later(13, before)
    assert tracker.take(GOOD, after).synchronised(after.mono_ns)


@given(
    correction=st.floats(-1e9, 1e9), delay=st.floats(-1e9, 1e9), dispersion=st.floats(-1e9, 1e9),
    skew=st.floats(0, 1e9), residual=st.floats(-1e9, 1e9), stratum=st.integers(0, 65535), leap=st.integers(0, 3),
    reference_ns=st.integers(-(2**70), 2**70), gap_s=st.floats(0, 1e6),
)  # fmt: skip
def test_whatever_chronyd_says_what_we_claim_is_within_the_limit(
    correction, delay, dispersion, skew, residual, stratum, leap, reference_ns, gap_s
):
    """Synchronised means: stratum 1..15, distance within the limit, a correction we can follow, a past reference."""
    tracker = record()
    said = replace(
        GOOD, correction_s=correction, root_delay_s=delay, root_dispersion_s=dispersion, skew_ppm=skew,
        residual_ppm=residual, stratum=stratum, leap=leap, reference_ns=reference_ns,
    )  # fmt: skip
    tracker.take(GOOD, NOON)
    at = later(gap_s)
    state = tracker.take(said, at)
    if state.synchronised(at.mono_ns):
        assert 1 <= stratum <= 15
        assert leap != 3
        assert abs(correction) <= 0.01
        assert 0 <= state.distance_s(at.mono_ns) <= 1.0
        assert state.dispersion_rate > 0
        assert 0 <= state.reference_ns <= at.wall_ns


# -- the kernel --------------------------------------------------------------------------------------------------------


def timex(**fields) -> Timex:
    return Timex(**{"maxerror": 50_000, "esterror": 1_000, "status": STA_NANO, **fields})


def test_the_kernels_bound_is_served_with_the_stratum_that_was_configured():
    at = NOON
    state = kernel_state(reading_from(timex(), 0), at, LeapWatch(), -24, ClockConfig(kernel_stratum=6))
    assert state.synchronised(at.mono_ns)
    assert (state.stratum, state.refid, state.root_delay_s) == (6, bytes((127, 127, 1, 2)), 0)
    assert state.root_dispersion_s == pytest.approx(0.050005)
    assert state.dispersion_rate == pytest.approx(500e-6)
    assert state.reference_ns == at.wall_ns - 100 * S


def test_an_error_of_zero_is_not_believed():
    state = kernel_state(
        reading_from(timex(maxerror=0, esterror=0), 0), NOON, LeapWatch(), -24, ClockConfig()
    )
    assert state.root_dispersion_s >= KERNEL_ERROR_FLOOR_S


@pytest.mark.parametrize(
    ("fields", "returned", "words"),
    [
        ({"status": STA_UNSYNC}, 0, "nobody disciplines"),
        ({"status": 0}, 5, "nobody disciplines"),
        ({"maxerror": 16_000_000, "status": STA_UNSYNC}, 5, "nobody disciplines"),
        ({"offset": 20_000_000}, 0, "still correcting"),
        ({"offset": 20_000, "status": 0}, 0, "still correcting"),
        ({"maxerror": 3_000_000}, 0, "limit"),
        ({"status": STA_INS}, 3, "leap second"),
    ],
)
def test_a_kernel_that_does_not_know_is_never_time(fields, returned, words):
    state = kernel_state(reading_from(timex(**fields), returned), NOON, LeapWatch(), -24, ClockConfig())
    assert (state.leap, state.stratum) == (3, 0)
    assert words in state.why


@pytest.mark.parametrize(("status", "leap"), [(STA_INS, 1), (STA_DEL, 2), (0, 0)])
def test_the_kernels_pending_leap_second_is_announced_and_ends_the_state_in_time(status, leap):
    at = Moment(NOON.mono_ns, MIDNIGHT_NS - 100 * S)
    state = kernel_state(reading_from(timex(status=status), 0), at, LeapWatch(), -24, ClockConfig())
    assert state.leap == leap
    assert state.synchronised(later(98, at).mono_ns) is (leap == 0)


def test_timex_has_the_layout_of_the_c_library():
    import ctypes

    if ctypes.sizeof(ctypes.c_long) == 8:
        assert ctypes.sizeof(Timex) == 208
        assert (Timex.maxerror.offset, Timex.status.offset, Timex.time_s.offset, Timex.tai.offset) == (
            24,
            40,
            72,
            160,
        )
    else:
        assert ctypes.sizeof(Timex) == 128


# -- local -------------------------------------------------------------------------------------------------------------


def test_local_time_ends_too_when_nobody_renews_it():
    state = local_state(NOON, -24, ClockConfig(source="local"))
    assert (state.leap, state.stratum, state.refid) == (0, 10, bytes((127, 127, 1, 1)))
    assert state.synchronised(later(599).mono_ns)
    assert not state.synchronised(later(600).mono_ns)
