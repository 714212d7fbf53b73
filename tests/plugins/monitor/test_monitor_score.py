"""Scores: the NTP Pool's arithmetic, and the figures people quote about it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance_monitor.score import MonitorScore, advance, good_probes_until, overall, steady

SCORES = st.floats(-100, 19.9)


@pytest.mark.parametrize(
    ("start", "probes"), [(0, 14), (-5, 18), (-20, 28), (-50, 38), (-90, 47), (-100, 49)]
)
def test_good_probes_from_a_score_up_to_the_pools_limit(start, probes):
    score = start
    for _ in range(probes - 1):
        score = advance(score, 1)
    assert score < 10 <= advance(score, 1)
    assert good_probes_until(start, 10) == probes


def test_from_0_fourteen_good_probes_give_10_25():
    score = 0.0
    for _ in range(14):
        score = advance(score, 1)
    assert score == pytest.approx(10.25, abs=0.005)


@pytest.mark.parametrize(
    ("step", "cap", "probes"), [(-5, None, 2), (-4, None, 3), (-3.5, None, 3), (-2, None, 4), (-10, -50, 1)]
)
def test_bad_probes_from_the_top_to_below_the_limit(step, cap, probes):
    scores = [20.0]
    while scores[-1] >= 10:
        scores.append(advance(scores[-1], step, cap))
    assert len(scores) - 1 == probes


@pytest.mark.parametrize(
    ("step", "settles"), [(1, 20), (-5, -100), (-10, -200), (0.5003, 10.006), (0.0386, 0.772)]
)
def test_where_a_steady_step_settles(step, settles):
    assert steady(step) == pytest.approx(settles, abs=0.001)
    score = 3.0
    for _ in range(600):
        score = advance(score, step)
    assert score == pytest.approx(settles, abs=0.001)


@given(SCORES, st.floats(-10, 1), st.one_of(st.none(), st.floats(-50, 5)))
def test_a_score_never_passes_its_cap_nor_20(score, step, cap):
    after = advance(score, step, cap)
    assert after <= 20
    assert cap is None or after <= cap
    assert after <= 0.95 * score + step


@given(SCORES, st.floats(-20, 19.5))
def test_the_count_of_good_probes_is_exact(score, goal):
    probes = good_probes_until(score, goal)
    for _ in range(probes - 1):
        score = advance(score, 1)
        assert score < goal + 1e-9
    if probes:
        score = advance(score, 1)
    assert score >= goal - 1e-9


def row(monitor, ts, score, rtt_s=0.01, state="active"):
    return MonitorScore(monitor, ts, score, 1.0, rtt_s, state)


def test_one_monitor_is_the_overall_score():
    assert overall([row("a", 100, 12.5)], 100).score == 12.5


def test_of_two_monitors_the_older_row_wins_as_in_the_pool():
    assert overall([row("a", 100, 20), row("b", 90, -30)], 100).score == -30
    assert overall([row("a", 80, 20), row("b", 90, -30)], 100).score == 20


def test_of_many_monitors_the_lower_median_counts_and_nothing_is_averaged():
    rows = [row("a", 1, 20), row("b", 2, 10), row("c", 3, -50)]
    assert overall(rows, 10).score == 10
    assert overall([*rows, row("d", 4, 15)], 10).score == 10


def test_equal_scores_are_ordered_by_round_trip():
    rows = [row("a", 1, 5, 0.3), row("b", 2, 5, 0.1), row("c", 3, 5, 0.2)]
    assert overall(rows, 10).monitor == "c"


def test_older_rows_and_lesser_monitors_count_only_when_there_is_nothing_better():
    testing = row("t", 1000, 1, state="testing")
    assert overall([row("a", 1000, 9), testing], 1100).score == 9
    assert (
        overall([row("a", 0, 9), testing], 1300).score == 9
    )  # an active monitor of 21 min ago, within 45 min
    assert overall([testing], 1100).score == 1
    assert overall([row("c", 0, 3, state="candidate")], 7000).score == 3
    assert (
        overall([row("a", 0, 9)], 5000).score == 9
    )  # the pool's last resort drops active monitors; ours does not
    assert overall([row("a", 0, 9)], 7300) is None


def test_a_row_from_the_future_does_not_count():
    assert overall([row("a", 200, 9)], 100) is None


@given(st.lists(st.tuples(st.floats(-100, 20), st.floats(0, 3)), min_size=3, max_size=15))
def test_the_overall_score_is_a_score_that_some_monitor_gave_and_splits_them(pairs):
    rows = [row(str(n), n, score, rtt) for n, (score, rtt) in enumerate(pairs)]
    picked = overall(rows, 100)
    below = sum(1 for r in rows if r.score < picked.score)
    above = sum(1 for r in rows if r.score > picked.score)
    assert below <= (len(rows) - 1) // 2
    assert above <= len(rows) // 2


@given(st.permutations(range(5)))
def test_the_order_of_monitors_does_not_matter(order):
    rows = [row(str(n), n, (7 * n) % 5) for n in range(5)]
    assert overall([rows[n] for n in order], 10) == overall(rows, 10)
    assert all(a.ts < b.ts for a, b in itertools.pairwise(rows))
