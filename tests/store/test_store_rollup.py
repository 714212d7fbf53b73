"""Roll-ups are what one would compute from the raw rows, however the rows arrive."""

from __future__ import annotations

import dataclasses
import math

import pytest
import sqlite_utils
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.api.contrib import Retention, Rollup
from appliance.store.connection import MEMORY, open_writer
from appliance.store.rollup import bucket_sql, check, position, prepare, roll_slice, rollup_table, waiting
from appliance.store.writer import transaction

RETENTION = Retention(
    "x__rows", raw_days=30, key=("member",), values=("a", "b"), rollups=(Rollup(300, 7), Rollup(3600, None))
)

# The present, the past, rows that a wrong clock stamped with the future or 1970, and no stamp at all.
stamps = st.one_of(
    st.integers(1_800_000_000, 1_800_010_000),
    st.floats(1_799_990_000, 1_800_010_000),
    st.integers(-10_000, 10_000),
    st.integers(4_000_000_000, 4_000_001_000),
    st.none(),
)
figures = st.one_of(st.none(), st.floats(-1e6, 1e6), st.integers(-1000, 1000))
rows = st.lists(st.tuples(st.sampled_from(["m1", "m2", None]), stamps, figures, figures), max_size=60)


def database() -> sqlite_utils.Database:
    db = open_writer(MEMORY)
    db.execute("CREATE TABLE x__rows (id INTEGER PRIMARY KEY, ts REAL, member TEXT, a REAL, b REAL)")
    transaction(db, lambda db: prepare(db, RETENTION))
    return db


def insert(db: sqlite_utils.Database, batch: list[tuple]) -> None:
    db.conn.executemany("INSERT INTO x__rows (member, ts, a, b) VALUES (?, ?, ?, ?)", batch)


def expected(batch: list[tuple], bucket_s: int) -> dict:
    """The roll-up, computed in the plainest way."""
    groups: dict[tuple, list[tuple]] = {}
    for member, ts, a, b in batch:
        if ts is not None:
            groups.setdefault((member or "", math.trunc(ts) // bucket_s * bucket_s), []).append((a, b))
    return {
        key: (len(found), *(summary([row[i] for row in found]) for i in (0, 1)))
        for key, found in groups.items()
    }


def summary(values: list[float | None]) -> tuple:
    some = [value for value in values if value is not None]
    return (len(some), min(some), math.fsum(some) / len(some), max(some)) if some else (0, None, None, None)


def stored(db: sqlite_utils.Database, rollup: Rollup) -> dict:
    columns = "member, bucket, n, a_n, a_min, a_mean, a_max, b_n, b_min, b_mean, b_max"
    return {
        (row[0], row[1]): (row[2], row[3:7], row[7:11])
        for row in db.conn.execute(f"SELECT {columns} FROM {rollup_table(RETENTION, rollup)}")
    }


def assert_same(found: dict, wanted: dict) -> None:
    assert found.keys() == wanted.keys()
    for key, (n, *values) in wanted.items():
        assert found[key][0] == n
        for got, want in zip(found[key][1:], values, strict=True):
            assert got[0] == want[0]
            for g, w in zip(got[1:], want[1:], strict=True):
                assert g == w if w is None else math.isclose(g, w, rel_tol=1e-9, abs_tol=1e-6), (
                    key,
                    got,
                    want,
                )


@settings(max_examples=150)
@given(batches=st.lists(rows, min_size=1, max_size=5), limit=st.integers(1, 40))
def test_rolling_in_slices_gives_what_recomputing_from_raw_gives(
    batches: list[list[tuple]], limit: int
) -> None:
    """Late rows, future rows, rows without stamp, any cut into slices, any number of runs."""
    db = database()
    for batch in batches:
        insert(db, batch)
        for rollup in RETENTION.rollups:
            while (
                transaction(db, lambda db, rollup=rollup: roll_slice(db, RETENTION, rollup, limit)) == limit
            ):
                pass
    every = [row for batch in batches for row in batch]
    for rollup in RETENTION.rollups:
        assert_same(stored(db, rollup), expected(every, rollup.bucket_s))
    assert waiting(db, RETENTION) == 0
    db.close()


def test_a_slice_that_is_rolled_back_is_rolled_again_once() -> None:
    """The position moves in the transaction of the rows: a crash between the two cannot count a row twice."""
    db = database()
    insert(db, [("m", 1000.0 + i, 1.0, None) for i in range(10)])
    rollup = RETENTION.rollups[0]

    def crash(db: sqlite_utils.Database) -> None:
        roll_slice(db, RETENTION, rollup, 5)
        raise KeyError("crash")

    with pytest.raises(KeyError):
        transaction(db, crash)
    assert position(db, RETENTION, rollup) == 0
    assert stored(db, rollup) == {}
    transaction(db, lambda db: roll_slice(db, RETENTION, rollup, 100))
    assert sum(n for n, _, _ in stored(db, rollup).values()) == 10
    db.close()


def test_a_table_that_was_emptied_is_rolled_up_from_its_new_rows() -> None:
    db = database()
    rollup = RETENTION.rollups[0]
    insert(db, [("m", 1000.0, 1.0, None)] * 10)
    transaction(db, lambda db: roll_slice(db, RETENTION, rollup))
    db.conn.execute("DELETE FROM x__rows")
    transaction(db, lambda db: roll_slice(db, RETENTION, rollup))
    insert(db, [("m", 1000.0, 2.0, None)] * 3)
    transaction(db, lambda db: roll_slice(db, RETENTION, rollup))
    (found,) = stored(db, rollup).values()
    assert found[0] == 13
    db.close()


def test_a_rollup_added_later_takes_in_the_rows_that_are_still_there() -> None:
    db = database()
    insert(db, [("m", 1000.0 + i, 1.0, None) for i in range(100)])
    transaction(db, lambda db: roll_slice(db, RETENTION, RETENTION.rollups[0]))
    later = Retention("x__rows", 30, ("member",), ("a", "b"), (*RETENTION.rollups, Rollup(86400, None)))
    transaction(db, lambda db: prepare(db, later))
    transaction(db, lambda db: roll_slice(db, later, later.rollups[2]))
    assert db.conn.execute("SELECT bucket, n, a_n FROM x__rows_86400").fetchall() == [(0, 100, 100)]
    db.close()


def test_a_value_added_later_is_rolled_up_from_then_on() -> None:
    db = open_writer(MEMORY)
    db.execute("CREATE TABLE x__rows (ts REAL, member TEXT, a REAL, b REAL)")
    before = Retention("x__rows", 30, ("member",), ("a",), (Rollup(300, None),))
    after = Retention("x__rows", 30, ("member",), ("a", "b"), (Rollup(300, None),))
    for retention in (before, after):
        transaction(db, lambda db, retention=retention: prepare(db, retention))
        insert(db, [("m", 1000.0, 1.0, 5.0)])
        transaction(db, lambda db, retention=retention: roll_slice(db, retention, retention.rollups[0]))
    assert db.conn.execute("SELECT n, a_n, a_mean, b_n, b_mean FROM x__rows_300").fetchall() == [
        (2, 2, 1.0, 1, 5.0)
    ]
    db.close()


@given(st.one_of(st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6)), st.sampled_from([1, 300, 3600, 86400]))
def test_buckets_below_1970_are_buckets_too(ts: float, bucket_s: int) -> None:
    db = open_writer(MEMORY)
    (found,) = db.conn.execute(f"SELECT {bucket_sql(bucket_s)} FROM (SELECT ? AS ts)", (ts,)).fetchone()
    db.close()
    assert found == math.trunc(ts) // bucket_s * bucket_s


@pytest.mark.parametrize(
    ("retention", "word"),
    [
        (Retention("y__rows", 1), "x__something"),
        (Retention("x__rows", 0), "raw_days"),
        (Retention("x__rows", 1, ("a; DROP TABLE b",)), "plain"),
        (Retention("x__rows", 1, rollups=(Rollup(3600, 1), Rollup(300, 1))), "smallest first"),
    ],
)
def test_a_retention_that_makes_no_sense_is_refused_in_words(retention: Retention, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        check("x", retention)


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        ("CREATE TABLE other (ts)", "no table x__rows"),
        ("CREATE TABLE x__rows (ts, member, a)", "no column b"),
        ("CREATE TABLE x__rows (ts, member, a, b, PRIMARY KEY (member, ts)) WITHOUT ROWID", "WITHOUT ROWID"),
    ],
)
def test_a_table_that_cannot_be_rolled_up_is_refused_in_words(schema: str, word: str) -> None:
    db = open_writer(MEMORY)
    db.execute(schema)
    with pytest.raises(LookupError, match=word):
        transaction(db, lambda db: prepare(db, RETENTION))
    db.close()


def test_the_index_of_a_version_before_makes_way_for_one_that_holds_more_and_is_then_left_alone() -> None:
    db, wide = database(), dataclasses.replace(RETENTION, indexed=("b",))

    def indexes() -> dict[str, list[str]]:
        names = [row[1] for row in db.conn.execute("PRAGMA index_list(x__rows)")]
        return {name: [row[2] for row in db.conn.execute(f"PRAGMA index_info({name})")] for name in names}

    assert indexes() == {"x__rows_series": ["member", "ts"]}
    for kept in (wide, wide, RETENTION):  # the last is that of an older version, gone back to
        transaction(db, lambda db, kept=kept: prepare(db, kept))
        assert indexes() == {"x__rows_series": ["member", "ts", "b"]}
    db.close()


def test_the_plugins_own_index_is_enough() -> None:
    """No second index is made over the same columns."""
    db = open_writer(MEMORY)
    db.execute("CREATE TABLE x__rows (ts REAL, member TEXT, a REAL, b REAL)")
    db.execute("CREATE INDEX mine ON x__rows (member, ts)")
    transaction(db, lambda db: prepare(db, RETENTION))
    indexes = [row[1] for row in db.conn.execute("PRAGMA index_list(x__rows)")]
    db.close()
    assert indexes == ["mine"]
