"""Moments at which a server began to answer differently."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.store.connection import MEMORY, open_writer
from appliance.store.rollup import prepare
from appliance.store.writer import transaction
from appliance_monitor.keeping import MIGRATIONS, retention
from appliance_monitor.turns import MOST, SQL, changed, turns


def row(ts, stratum=2, leap=0, error=None):
    return {"ts": ts, "stratum": stratum, "leap": leap, "error": error}


def said(rows):
    return [(mark["ts"], mark["kind"], mark["text"]) for mark in turns(rows)]


def test_a_steady_server_has_none():
    assert turns([row(ts) for ts in range(100)]) == []


def test_a_stratum_is_compared_across_silence():
    rows = [row(1), row(2, None, None, "timeout"), row(3, 3), row(4, 3)]
    assert said(rows) == [(3, "stratum", "stratum 2 became 3")]


def test_a_kiss_code_is_told_once_until_it_ends():
    kiss = [row(ts, 0, None, "RATE") for ts in (2, 3, 4)]
    assert said([row(1), *kiss, row(5), row(6, 0, None, "RATE")]) == [
        (2, "kiss", "kiss code RATE"),
        (6, "kiss", "kiss code RATE"),
    ]


def test_a_leap_indicator_is_told_in_words():
    assert said([row(1), row(2, 2, 1), row(3, 2, 3), row(4)]) == [
        (2, "leap", "a leap second is announced"),
        (3, "leap", "its clock is not synchronised"),
        (4, "leap", "no leap second"),
    ]


def test_an_error_of_ours_is_no_kiss_code():
    assert turns([row(1, 0, None, error) for error in ("timeout", "bad origin", "<b>", "RATE\n")]) == []


rows = st.lists(
    st.builds(
        row,
        st.integers(0, 1000),
        st.none() | st.integers(0, 255),
        st.none() | st.integers(0, 9),
        st.none() | st.sampled_from(["RATE", "DENY", "timeout"]) | st.text(max_size=6),
    ),
    max_size=300,
)


@given(rows)
def test_whatever_the_rows_hold_the_marks_are_few_and_of_known_kinds(rows):
    found = turns(rows)
    assert len(found) <= MOST
    assert {mark["kind"] for mark in found} <= {"kiss", "leap", "stratum"}


answers = st.sampled_from([
    (None, 1, 0), (None, 2, 0), (None, 2, 1), (None, 2, None), ("timeout", None, None), ("RATE", 0, None), ("DENY", 0, None),
])  # fmt: skip


@given(st.lists(st.tuples(answers, st.integers(1, 4)), max_size=60))
def test_answers_that_are_as_the_one_before_change_nothing(found):
    """The rows that are left out on the way from the database are those without which the same is told."""
    rows = [answer for answer, times in found for _ in range(times)]
    rows = [(ts, *answer) for ts, answer in enumerate(rows)]
    everything = [row(ts, stratum, leap, error) for ts, error, stratum, leap in rows]
    assert turns(changed(rows)) == turns(everything)


def test_weeks_of_answers_are_read_out_of_the_index_alone():
    """Each row lies on a page with those of all other members: a month of one would be as many pages as probes."""
    db = open_writer(MEMORY)
    for migration in MIGRATIONS:
        migration.apply(db)
    transaction(db, lambda db: prepare(db, retention(raw_days=15)))
    (plan,) = db.execute(f"EXPLAIN QUERY PLAN {SQL}", ("m", 0, 1)).fetchall()
    db.close()
    assert "USING COVERING INDEX" in plan[3]
