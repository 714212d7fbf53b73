"""Median and quantiles: exactly the defined ones out of rows, within 1 % out of roll-ups, and one wild value moves none of them far."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

import pytest
import sqlite_utils
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.api.contrib import Retention, Rollup
from appliance.store.connection import MEMORY, open_writer
from appliance.store.rollup import check, prepare, roll_slice
from appliance.store.series import Series, read_series
from appliance.store.spread import (
    ERROR,
    SMALLEST,
    Quantiles,
    exact,
    merged,
    of_summary,
    of_words,
    pack,
    words_of,
)
from appliance.store.writer import transaction

RETENTION = Retention(
    "x__rows",
    raw_days=30,
    key=("member",),
    values=("a", "b"),
    rollups=(Rollup(300, 7), Rollup(3600, None)),
    spread=("a",),
)
START = 1_800_000_000 // 3600 * 3600

offsets = st.one_of(
    st.floats(-1e9, 1e9), st.floats(-1e-2, 1e-2), st.sampled_from([0.0, 1e-9, -1e-9, 5e-5, 2.2e9])
)


def defined(values: list[float]) -> tuple[float, float, float]:
    """The definition, as the standard library reckons it."""
    if len(values) == 1:
        return (values[0],) * 3
    cuts = statistics.quantiles(values, n=10, method="inclusive")
    return cuts[0], cuts[4], cuts[8]


def of(found: Quantiles | None) -> tuple[float, float, float]:
    assert found is not None
    return found.p10, found.median, found.p90


def near(values: list[float], tenth: int) -> float:
    """How far off a quantile out of counts may be: a share of the larger of the two values that it lies between."""
    ordered = sorted(values)
    at = tenth * (len(values) - 1) // 10
    return SMALLEST + 1.0001 * ERROR * max(abs(v) for v in ordered[at : at + 2])


@given(st.lists(offsets, min_size=1, max_size=200))
def test_quantiles_of_rows_are_those_of_the_standard_library(values: list[float]) -> None:
    for found, wanted in zip(of(exact(sorted(values))), defined(values), strict=True):
        assert math.isclose(found, wanted, rel_tol=1e-12, abs_tol=1e-300)


@given(offsets, offsets)
def test_one_and_two_values_are_told_exactly_by_their_minimum_and_maximum(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert of_summary(1, one, one) == exact([one])
    assert of_summary(2, low, high) == exact([low, high])
    assert of_summary(3, low, high) is None
    assert of_summary(0, None, None) is None


@given(st.lists(st.lists(offsets, max_size=60), min_size=1, max_size=6))
def test_what_parts_keep_tells_the_quantiles_of_the_whole_within_a_hundredth(
    parts: list[list[float]],
) -> None:
    """Whether they were merged in the roll-up, or are put together when they are read."""
    values = [value for part in parts for value in part]
    if not values:
        return
    rolled: bytes | None = None
    for part in parts:
        rolled = merged(rolled, pack(part) or None)
    beside = b"".join(pack(part) for part in reversed(parts))
    for blob in (rolled or b"", beside):
        found = of(of_words(words_of(blob), len(values), min(values), max(values)))
        for tenth, got, wanted in zip((1, 5, 9), found, defined(values), strict=True):
            assert abs(got - wanted) <= near(values, tenth)
        assert found == tuple(sorted(found))
        assert min(values) <= found[0] <= found[2] <= max(values)


@given(st.lists(offsets, min_size=1, max_size=40), st.integers(1, 200_000))
def test_what_is_not_counted_in_whole_tells_nothing(values: list[float], more: int) -> None:
    """A bucket that was begun before spreads were kept has counts of a part only: no quantile is made of them."""
    words = words_of(pack(values))
    assert of_words(words, len(values) + more, min(values), max(values)) is None
    assert of_words((), more, 0.0, 1.0) is None


@pytest.mark.parametrize(("count", "words"), [(1, 1), (2, 2), (288, 2), (32_768, 1), (86_400, 6)])
def test_equal_values_take_few_bytes_however_many_they_are(count: int, words: int) -> None:
    blob = pack([0.0012] * count)
    assert len(blob) <= 2 * words
    assert of(of_words(words_of(blob), count, 0.0012, 0.0012)) == (0.0012,) * 3


def test_values_that_are_no_numbers_stand_in_nobodys_way() -> None:
    """A table takes any type: a word in it is not counted, so that bucket has no quantiles, and the roll-up goes on."""
    db = database()
    add(db, [(START, 1.0), (START + 1, "soon"), (START + 2, math.inf), (START + 3, -math.inf), (START + 4, None)])  # fmt: skip
    roll(db)
    assert read(db, points=2).n[0] == 5
    db.close()


@given(st.binary(max_size=40), st.integers(1, 50))
def test_damaged_bytes_are_never_an_error(blob: bytes, n: int) -> None:
    found = of_words(words_of(blob), n, -1.0, 1.0)
    assert found is None or -1.0 <= found.p10 <= found.median <= found.p90 <= 1.0


# -- in the database ---------------------------------------------------------------------------------------------------


def database(retention: Retention = RETENTION) -> sqlite_utils.Database:
    db = open_writer(MEMORY)
    db.execute("CREATE TABLE x__rows (ts REAL, member TEXT, a REAL, b REAL)")
    transaction(db, lambda db: prepare(db, retention))
    return db


@pytest.fixture
def db() -> Iterator[sqlite_utils.Database]:
    made = database()
    yield made
    made.close()


def add(db: sqlite_utils.Database, rows: list[tuple[object, object]]) -> None:
    db.conn.executemany("INSERT INTO x__rows VALUES (?, 'm', ?, 1.0)", rows)


def roll(db: sqlite_utils.Database, retention: Retention = RETENTION, limit: int = 10_000) -> None:
    for rollup in retention.rollups:
        while transaction(db, lambda db, rollup=rollup: roll_slice(db, retention, rollup, limit)):
            pass


def read(db: sqlite_utils.Database, hours: float = 1, points: int = 400) -> Series:
    return read_series(db, RETENTION, ("m",), START, START + hours * 3600, points)


def told(series: Series) -> list[tuple[float | None, float | None, float | None]]:
    band = series.values["a"]
    return list(zip(band.p10, band.median, band.p90, strict=True))


def test_each_single_row_is_its_own_median(db: sqlite_utils.Database) -> None:
    """Also when two monitors looked at the same moment."""
    add(db, [(START, 0.001), (START + 60, 0.002), (START + 60, 0.009), (START + 120, None)])
    assert told(read(db)) == [(0.001,) * 3, (0.002,) * 3, (0.009,) * 3, (None,) * 3]


def test_one_wild_value_moves_the_mean_and_not_the_band(db: sqlite_utils.Database) -> None:
    """Some thirty probes in each point, one of them five seconds off: out of raw rows, and out of roll-ups alone."""
    calm = [(START + 3.0 * i, 0.001 + 1e-6 * (i % 30)) for i in range(300)]
    add(db, [*calm[:-1], (calm[-1][0], 5.0)])
    raw = read(db, 0.25, 10)
    roll(db)
    db.conn.execute("DELETE FROM x__rows")
    rolled = read(db, 0.25, 10)
    assert (raw.bucket_s, rolled.bucket_s) == (0, 300)
    for series, off in ((raw, 0.0), (rolled, ERROR)):
        band = series.values["a"]
        assert (band.mean[-1] or 0) > 0.04
        assert band.max[-1] == 5.0
        assert band.median[-1] == pytest.approx(0.001015, rel=off + 0.005)
        assert band.p90[-1] == pytest.approx(0.001026, rel=off + 0.005)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 4 * 3600 - 1), st.none() | offsets), max_size=120),
    limit=st.integers(1, 50),
    waiting=st.integers(0, 60),
    points=st.integers(2, 60),
)
def test_points_have_the_quantiles_of_their_rows(
    rows: list[tuple[int, float | None]], limit: int, waiting: int, points: int
) -> None:
    """Rolled in any slices, the last rows not rolled yet, and points of any width."""
    db = database()
    stamped = [(START + at, value) for at, value in rows]
    cut = max(0, len(stamped) - waiting)
    add(db, stamped[:cut])
    roll(db, limit=limit)
    add(db, stamped[cut:])
    series = read(db, 4, points)
    db.close()
    for ts, n, found in zip(series.ts, series.n, told(series), strict=True):
        end = ts + (series.step_s or 1e-9)
        values = [v for at, v in stamped if ts <= at < end and v is not None] if n else []
        if not series.step_s and n:
            assert found in [(v,) * 3 for at, v in stamped if at == ts]
        elif not values:
            assert found == (None,) * 3
        else:
            for tenth, got, wanted in zip((1, 5, 9), found, defined(values), strict=True):
                assert got is not None
                assert abs(got - wanted) <= near(values, tenth)
    assert series.values["b"].median == []  # nobody asked for its spread


def test_summaries_of_before_have_no_median_and_those_of_after_do(db: sqlite_utils.Database) -> None:
    """An appliance that is updated: the table of the old version, a bucket that both versions wrote into, new buckets."""
    before = Retention("x__rows", 30, ("member",), ("a", "b"), RETENTION.rollups)
    old = database(before)
    add(old, [(START + 60.0 * i, 0.001) for i in range(90)])
    roll(old, before)
    assert told(read(old, 4, 5))[:2] == [(None,) * 3] * 2, "read before housekeeping has added the column"
    transaction(old, lambda db: prepare(db, RETENTION))
    add(old, [(START + 60.0 * i, 0.001) for i in range(90, 180)])
    waiting = read(old, 4, 5)
    roll(old)
    rolled = read(old, 4, 5)
    old.close()
    assert waiting == rolled
    assert rolled.bucket_s == 3600
    assert [found[1] for found in told(rolled)] == [None, None, pytest.approx(0.001)]
    assert rolled.values["a"].mean == pytest.approx([0.001] * 3)


def test_old_summaries_of_one_or_two_values_have_their_median_all_the_same() -> None:
    before = Retention("x__rows", 30, ("member",), ("a", "b"), RETENTION.rollups)
    old = database(before)
    add(old, [(START, 0.001), (START + 3600, 0.001), (START + 4000, 0.002)])
    roll(old, before)
    old.conn.execute("DELETE FROM x__rows")
    transaction(old, lambda db: prepare(db, RETENTION))
    found = told(read(old, 4, 5))
    old.close()
    assert found == [(0.001,) * 3, pytest.approx((0.0011, 0.0015, 0.0019))]


def test_the_spread_of_what_is_no_value_is_refused() -> None:
    with pytest.raises(ValueError, match="'c' is asked for"):
        check("x", Retention("x__rows", 1, values=("a",), spread=("c",)))
