"""Charts: the right table, few points, gaps stay gaps, the end is fresh."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import sqlite_utils
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.api.contrib import Retention, Rollup
from appliance.store.connection import MEMORY, open_writer
from appliance.store.rollup import prepare, roll_slice
from appliance.store.series import read_series
from appliance.store.writer import transaction

RETENTION = Retention(
    "x__rows",
    raw_days=30,
    key=("member",),
    values=("a",),
    rollups=(Rollup(300, 7), Rollup(3600, 400), Rollup(86400, None)),
)
START = 1_800_000_000 // 86400 * 86400
DAY = 86400


@pytest.fixture
def db() -> Iterator[sqlite_utils.Database]:
    """Forty days of a probe every nine minutes, rolled up."""
    db = open_writer(MEMORY)
    db.execute("CREATE TABLE x__rows (ts REAL, member TEXT, a REAL)")
    transaction(db, lambda db: prepare(db, RETENTION))
    count = 40 * DAY // 540
    rows = [(START + 540.0 * i, member, float(i % 100)) for i in range(count) for member in ("m", "other")]
    db.conn.executemany("INSERT INTO x__rows VALUES (?, ?, ?)", rows)
    roll(db)
    yield db
    db.close()


def roll(db: sqlite_utils.Database) -> None:
    for rollup in RETENTION.rollups:
        while transaction(db, lambda db, rollup=rollup: roll_slice(db, RETENTION, rollup)):
            pass


@pytest.mark.parametrize(
    ("days", "points", "bucket_s"),
    [
        (1, 500, 0),
        (2, 1100, 0),
        (3, 500, 300),
        (10, 200, 3600),
        (40, 400, 3600),
        (40, 40, 86400),
        (40, 30, 86400),
    ],
)
def test_the_coarsest_table_that_is_fine_enough_is_read(
    db: sqlite_utils.Database, days: int, points: int, bucket_s: int
) -> None:
    series = read_series(db, RETENTION, ("m",), START, START + days * DAY, points)
    assert series.bucket_s == bucket_s
    assert 2 <= sum(n > 0 for n in series.n) <= points
    assert sum(series.n) == days * DAY // 540  # every probe is in one point


@pytest.mark.parametrize(("points", "bucket_s"), [(365, 86400), (600, 86400), (1500, 86400), (5000, 3600)])
def test_a_picture_of_a_year_is_its_days_and_a_file_of_it_its_hours(
    db: sqlite_utils.Database, points: int, bucket_s: int
) -> None:
    series = read_series(db, RETENTION, ("m",), START, START + 365 * DAY, points)
    assert series.bucket_s == bucket_s
    assert sum(series.n) == 40 * DAY // 540


def test_a_day_long_ago_is_read_from_the_table_that_still_has_it(db: sqlite_utils.Database) -> None:
    """Raw rows and the five-minute table do not reach back so far: an hour is better than nothing."""
    db.conn.execute("DELETE FROM x__rows WHERE ts < ?", (START + 10 * DAY + 300,))
    db.conn.execute("DELETE FROM x__rows_300 WHERE bucket < ?", (START + 33 * DAY,))
    old = read_series(db, RETENTION, ("m",), START + 3 * DAY, START + 4 * DAY, 500)
    new = read_series(db, RETENTION, ("m",), START + 36 * DAY, START + 37 * DAY, 500)
    edge = read_series(db, RETENTION, ("m",), START + 10 * DAY, START + 11 * DAY, 500)
    assert (old.bucket_s, sum(old.n), len(old.ts)) == (3600, 160, 24)
    assert (new.bucket_s, sum(new.n)) == (0, 160)
    assert (edge.bucket_s, sum(edge.n)) == (3600, 160)


def test_a_young_series_is_read_fine_although_older_windows_are_asked(db: sqlite_utils.Database) -> None:
    """A coarse bucket begins before the first row; that must not make a new member's chart coarse."""
    rows = [(START + 20 * DAY + 5000.0 + 60 * i, "young", 1.0) for i in range(100)]
    db.conn.executemany("INSERT INTO x__rows VALUES (?, ?, ?)", rows)
    roll(db)
    series = read_series(db, RETENTION, ("young",), START + 20 * DAY - 3600, START + 20 * DAY + 86000, 500)
    assert (series.bucket_s, len(series.ts)) == (0, 100)


def test_the_end_of_the_chart_is_fresh(db: sqlite_utils.Database) -> None:
    """Rows that no roll-up has taken in yet are in the chart all the same, and count once."""
    end = START + 40 * DAY
    db.conn.executemany("INSERT INTO x__rows VALUES (?, 'm', 777.0)", [(end + 10.0 * i,) for i in range(50)])
    before = read_series(db, RETENTION, ("m",), START, end + DAY, 200)
    roll(db)
    after = read_series(db, RETENTION, ("m",), START, end + DAY, 200)
    assert before == after
    assert before.values["a"].max[-1] == 777.0
    assert sum(before.n) == 40 * DAY // 540 + 50


def test_before_the_first_rollup_everything_comes_from_raw() -> None:
    db = open_writer(MEMORY)
    db.execute("CREATE TABLE x__rows (ts REAL, member TEXT, a REAL)")
    db.conn.executemany("INSERT INTO x__rows VALUES (?, 'm', 1.0)", [(START + i,) for i in range(1000)])
    tables_missing = read_series(db, RETENTION, ("m",), START, START + 365 * DAY, 300)
    transaction(db, lambda db: prepare(db, RETENTION))
    nothing_rolled = read_series(db, RETENTION, ("m",), START, START + 365 * DAY, 300)
    db.close()
    assert sum(tables_missing.n) == sum(nothing_rolled.n) == 1000


def test_a_gap_stays_a_gap() -> None:
    """One empty point stands in the hole, so that a line chart breaks there and nowhere else."""
    db = open_writer(MEMORY)
    db.execute("CREATE TABLE x__rows (ts REAL, member TEXT, a REAL)")
    transaction(db, lambda db: prepare(db, RETENTION))
    stamps = [START + 540 * i for i in range(50)] + [START + 540 * i for i in range(80, 120)]
    db.conn.executemany("INSERT INTO x__rows VALUES (?, 'm', 1.0)", [(ts,) for ts in stamps])
    series = read_series(db, RETENTION, ("m",), START, START + DAY, 500)
    db.close()
    assert [i for i, n in enumerate(series.n) if n == 0] == [50]
    assert series.values["a"].mean[50] is None
    assert series.ts == sorted(series.ts)
    assert len(series.ts) == 91


def test_lost_probes_are_points_without_a_value(db: sqlite_utils.Database) -> None:
    db.conn.executemany(
        "INSERT INTO x__rows VALUES (?, 'lossy', ?)", [(START + 540.0 * i, None) for i in range(10)]
    )
    series = read_series(db, RETENTION, ("lossy",), START, START + DAY, 500)
    assert series.n == [1] * 10
    assert series.values["a"].min == [None] * 10


def test_nothing_there_is_an_empty_chart(db: sqlite_utils.Database) -> None:
    series = read_series(db, RETENTION, ("nobody",), START, START + DAY)
    assert (series.ts, series.n, series.values["a"].mean) == ([], [], [])


@pytest.mark.parametrize(
    ("key", "start", "end", "points"),
    [
        ((), 0, 1, 10),
        (("m",), 1, 1, 10),
        (("m",), 0, 1, 1),
        (("m",), 0, math.inf, 10),
        (("m",), math.nan, 1, 10),
    ],
)
def test_a_senseless_question_is_refused(
    db: sqlite_utils.Database, key: tuple, start: float, end: float, points: int
) -> None:
    with pytest.raises(ValueError, match=r"window|key"):
        read_series(db, RETENTION, key, start, end, points)


@settings(max_examples=60)
@given(
    stamps=st.lists(st.integers(0, 40 * DAY), min_size=1, max_size=80),
    start=st.integers(-DAY, 20 * DAY),
    span=st.integers(1, 60 * DAY),
    points=st.integers(2, 300),
    rolled=st.integers(0, 80),
)
def test_mean_and_extremes_agree_with_the_rows_of_the_window(
    stamps: list[int], start: int, span: int, points: int, rolled: int
) -> None:
    """Whatever table is read: never more points than asked, and the figures are those of the rows (edges by bucket)."""
    db = open_writer(MEMORY)
    db.execute("CREATE TABLE x__rows (ts REAL, member TEXT, a REAL)")
    transaction(db, lambda db: prepare(db, RETENTION))
    insert = "INSERT INTO x__rows VALUES (?, 'm', ?)"
    db.conn.executemany(insert, [(START + ts, float(ts)) for ts in stamps[:rolled]])
    roll(db)
    db.conn.executemany(insert, [(START + ts, float(ts)) for ts in stamps[rolled:]])
    series = read_series(db, RETENTION, ("m",), START + start, START + start + span, points)
    db.close()
    assert sum(n > 0 for n in series.n) <= points
    unit = series.step_s or 1
    left = min(start, (START + start) // unit * unit - START)
    inner = sum(start <= ts < start + span - series.bucket_s for ts in stamps)
    outer = sum(left <= ts < start + span + series.bucket_s for ts in stamps)
    assert inner <= sum(series.n) <= outer
    band = series.values["a"]
    for i, n in enumerate(series.n):
        if n:
            assert series.ts[i] - START <= band.min[i] <= band.mean[i] + 1e-6 <= band.max[i] + 2e-6
            assert band.max[i] <= series.ts[i] - START + unit
