"""Old rows go, young rows stay, and a wrong date destroys nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import sqlite_utils

from appliance.api.contrib import Migration, Retention, Rollup
from appliance.core.clock import FakeClock
from appliance.store.database import Database
from appliance.store.retention import DAY_S, HOLD_S, LEAP_S, Calendar

NOW = 1_800_000_000
RETENTION = Retention("x__rows", 10, ("member",), ("a",), (Rollup(300, 20), Rollup(3600, None)))
SCHEMA = Migration("first", lambda db: db.execute("CREATE TABLE x__rows (ts REAL, member TEXT, a REAL)"))


@pytest.fixture
async def store() -> AsyncIterator[Database]:
    async with Database(":memory:", FakeClock(NOW * 10**9)) as store:
        await store.migrate("x", [SCHEMA])
        store.retain("x", [RETENTION])
        yield store


async def count(store: Database, table: str = "x__rows") -> int:
    return await store.read(lambda db: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


async def fill(store: Database, stamps: list[float], member: str = "m") -> None:
    for ts in stamps:
        store.append("x__rows", {"ts": ts, "member": member, "a": 1.0})
    await store.flush()


async def test_old_rows_go_and_their_summaries_stay(store: Database) -> None:
    await fill(store, [NOW - 40 * DAY_S + i * 540 for i in range(40 * 160)])
    await store.housekeeping()
    assert await count(store) == 10 * 160
    assert await count(store, "x__rows_300") == 20 * 160
    total = await store.read(lambda db: db.execute("SELECT sum(n) FROM x__rows_3600").fetchone()[0])
    assert total == 40 * 160
    assert store.stats()["rows_deleted"] == 30 * 160 + 20 * 160


async def test_rows_from_a_wrong_clock_stop_nobody(store: Database) -> None:
    """Rows stamped far ahead stay until their time; old rows behind them go all the same, and the table is not wiped."""
    await fill(store, [NOW + 3650 * DAY_S + i for i in range(3000)])
    await fill(store, [NOW - 20 * DAY_S + i for i in range(3000)])
    await fill(store, [NOW - 60 + i for i in range(10)])
    await fill(store, [0.0] * 5)
    await fill(store, [NOW])
    await store.housekeeping()
    found = await store.read(
        lambda db: dict(db.execute("SELECT ts > ?, count(*) FROM x__rows GROUP BY 1", (NOW + 60,)).fetchall())
    )
    assert found == {1: 3000, 0: 11 + 5 * 0}


async def test_the_newest_row_is_kept_however_old_it_is(store: Database) -> None:
    """Its rowid would be given to the next row, which then would never be rolled up."""
    await fill(store, [NOW - 100 * DAY_S] * 50)
    await store.housekeeping()
    assert await count(store) == 1
    await fill(store, [NOW - 1] * 7)
    clock = store._clock
    assert isinstance(clock, FakeClock)
    await clock.advance(3601)
    await store.housekeeping()
    total = await store.read(lambda db: db.execute("SELECT sum(n) FROM x__rows_3600").fetchone()[0])
    assert total == 57


@pytest.mark.parametrize("restart", [False, True])
async def test_a_date_that_leaps_forward_deletes_nothing_until_it_has_stood_for_a_day(
    tmp_path, restart: bool
) -> None:
    clock = FakeClock(NOW * 10**9)
    store = Database(tmp_path / "t.db", clock)
    await store.open()
    await store.migrate("x", [SCHEMA])
    store.retain("x", [RETENTION])
    await fill(store, [NOW - DAY_S + i for i in range(100)])
    await store.housekeeping()
    if restart:
        await store.close()
        store = Database(tmp_path / "t.db", clock)
        await store.open()
        store.retain("x", [RETENTION])
    clock.wall_offset_ns += int(3650 * DAY_S * 1e9)
    for _ in range(12):
        await clock.advance(7200 - 1)
        await store.housekeeping()
    assert await count(store) == 100
    clock.wall_offset_ns -= int(3650 * DAY_S * 1e9)  # somebody set it right
    await clock.advance(7200)
    await store.housekeeping()
    assert await count(store) == 100
    clock.wall_offset_ns += int(3650 * DAY_S * 1e9)  # now we really were off for ten years
    for _ in range(14):
        await clock.advance(7200)
        await store.housekeeping()
    assert await count(store) == 1
    await store.close()


async def test_a_date_in_the_past_deletes_nothing(store: Database) -> None:
    await fill(store, [NOW - DAY_S + i for i in range(100)])
    clock = store._clock
    assert isinstance(clock, FakeClock)
    clock.wall_offset_ns = 0
    for _ in range(30):
        await store.housekeeping()
        await clock.advance(3600)
    assert await count(store) == 100


def test_the_calendar_believes_small_steps_at_once() -> None:
    calendar, believed = Calendar(0.0).look(LEAP_S, 0.0)
    assert believed
    calendar, believed = calendar.look(3 * LEAP_S, 10.0)
    assert not believed
    calendar, believed = calendar.look(3 * LEAP_S + HOLD_S - 20, HOLD_S - 10)
    assert not believed
    assert calendar.look(3 * LEAP_S + HOLD_S, HOLD_S + 10)[1]


async def test_unrolled_rows_are_never_deleted(store: Database) -> None:
    """When rolling up does not get on, deleting waits for it."""
    await store.housekeeping()
    await fill(store, [NOW - 100 * DAY_S] * 20)

    def half(db: sqlite_utils.Database) -> None:
        db.execute("INSERT OR REPLACE INTO _rollups VALUES ('x__rows_300', 20), ('x__rows_3600', 8)")

    await store.write(half)
    from appliance.store.retention import Sweep, sweep_raw

    await store.write(lambda db: sweep_raw(db, RETENTION, NOW, Sweep()))
    assert await count(store) == 12


async def test_a_table_that_is_not_as_declared_is_a_problem_in_words_and_stops_no_other(
    store: Database,
) -> None:
    store.retain("y", [Retention("y__gone", 1)])
    store.retain("x", [RETENTION])
    await fill(store, [NOW - 40 * DAY_S] * 3)
    await store.housekeeping()
    assert await count(store) == 1
    assert [problem.text for problem in store.problems()] == [
        "y__gone is not kept in order: no table y__gone."
    ]


async def test_roll_ups_wait_for_an_hour_or_many_rows(store: Database) -> None:
    """Each run touches a page of every series: an SD card would not like it every minute."""
    clock = store._clock
    assert isinstance(clock, FakeClock)
    await store.housekeeping()
    await fill(store, [NOW] * 100)
    await clock.advance(60)
    await store.housekeeping()
    assert await count(store, "x__rows_300") == 0
    await fill(store, [NOW] * 10_000)
    await store.housekeeping()
    assert await count(store, "x__rows_300") == 1
    await fill(store, [NOW + 600] * 5)
    await clock.advance(3600)
    await store.housekeeping()
    assert await count(store, "x__rows_300") == 2


async def test_pages_are_given_back_when_much_of_the_file_is_unused(tmp_path) -> None:
    clock = FakeClock(NOW * 10**9)
    async with Database(tmp_path / "t.db", clock) as store:
        await store.migrate("x", [SCHEMA])
        await store.write(
            lambda db: (
                db.conn.executemany(
                    "INSERT INTO x__rows VALUES (?, ?, 1.0)", [(i, "m" * 400) for i in range(40_000)]
                )
                and None
            )
        )
        await store.housekeeping()
        before = store.stats()["size_bytes"]
        await store.write(lambda db: db.execute("DELETE FROM x__rows") and None)
        for _ in range(100):
            await store.housekeeping()
        assert before > 16 << 20
        assert store.stats()["size_bytes"] < before * 0.6
