"""The store as its users see it: transactions, rows in batches, readers, migrations, and what is not its fault."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import stat
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlite_utils

from appliance.api.contrib import Migration
from appliance.api.errors import StoreError
from appliance.core.clock import FakeClock, SystemClock
from appliance.store import Database, MigrationError
from appliance.store.batch import Batch
from tests.support.wait import wait_for

TABLE = Migration("first", lambda db: db.execute("CREATE TABLE x__rows (id INTEGER PRIMARY KEY, v UNIQUE)"))


@pytest.fixture(params=["file", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """Both kinds behave alike."""
    path = tmp_path / "t.db" if request.param == "file" else ":memory:"
    async with Database(path, FakeClock()) as store:
        await store.migrate("x", [TABLE])
        yield store


def values(db: sqlite_utils.Database) -> list:
    return [row[0] for row in db.execute("SELECT v FROM x__rows ORDER BY id")]


def names(folder: Path, pattern: str = "*") -> list[Path]:
    return sorted(folder.glob(pattern))


def insert(value: object):
    return lambda db: db.execute("INSERT INTO x__rows (v) VALUES (?)", (value,)).lastrowid


# -- transactions


async def test_a_write_is_one_transaction(store: Database) -> None:
    def fails_late(db: sqlite_utils.Database) -> None:
        insert(1)(db)
        db["x__rows"].insert({"v": 2})
        raise KeyError("late")

    with pytest.raises(KeyError):
        await store.write(fails_late)
    assert await store.write(insert(3)) == 1
    assert await store.read(values) == [3]


async def test_a_broken_constraint_is_the_callers_error_not_the_disks(store: Database) -> None:
    await store.write(insert(1))
    with pytest.raises(sqlite3.IntegrityError):
        await store.write(insert(1))
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await store.write(lambda db: db.execute("DELETE FROM nowhere"))
    assert store.stats()["state"] == "ok"


async def test_a_function_that_commits_by_itself_is_told_so(store: Database) -> None:
    with pytest.raises(RuntimeError, match="no commit"):
        await store.write(lambda db: db.conn.commit())


async def test_a_script_stays_inside_the_transaction(store: Database) -> None:
    """The driver's own executescript would commit what came before."""
    script = """
        CREATE TABLE x__a (v); -- a comment; with a semicolon
        INSERT INTO x__a VALUES ('a;b');
        CREATE TRIGGER x__t AFTER INSERT ON x__a BEGIN DELETE FROM x__a; SELECT 1; END;
    """

    def fails_late(db: sqlite_utils.Database) -> None:
        db.conn.executescript(script)
        raise KeyError("late")

    with pytest.raises(KeyError):
        await store.write(fails_late)
    assert await store.read(lambda db: db["x__a"].exists()) is False
    await store.write(lambda db: db.conn.executescript(script))
    assert await store.read(lambda db: db.execute("SELECT v FROM x__a").fetchall()) == [("a;b",)]
    with pytest.raises(sqlite3.OperationalError):
        await store.write(lambda db: db.conn.executescript("SELECT 1; CREATE TABLE nonsense"))


async def test_rows_that_would_be_fetched_too_late_are_refused(store: Database) -> None:
    with pytest.raises(TypeError, match="list"):
        await store.read(lambda db: db.query("SELECT 1"))
    with pytest.raises(TypeError, match="list"):
        await store.write(lambda db: db.execute("INSERT INTO x__rows (v) VALUES (1) RETURNING id"))
    assert await store.read(values) == [], "told before the commit"
    await store.write(lambda db: db.execute("INSERT INTO x__rows (v) VALUES (1)"))


async def test_a_cursor_that_somebody_keeps_does_not_block_the_next_commit(store: Database) -> None:
    kept = []

    def keeps(db: sqlite_utils.Database) -> int:
        kept.append(db.execute("INSERT INTO x__rows (v) VALUES (1), (2) RETURNING id"))
        return kept[0].fetchone()[0]

    assert await store.write(keeps) == 1
    await store.write(insert(3))
    assert await store.read(values) == [1, 2, 3]


async def test_readers_cannot_write(store: Database) -> None:
    with pytest.raises(sqlite3.ProgrammingError, match="must not write"):
        await store.read(insert(1))
    await store.write(insert(2))
    assert await store.read(values) == [2]


async def test_a_reader_sees_one_moment(tmp_path: Path) -> None:
    """All queries of one `read` see the same rows, although the writer goes on."""
    async with Database(tmp_path / "t.db", SystemClock()) as store:
        await store.migrate("x", [TABLE])
        reading, go_on = threading.Event(), threading.Event()

        def twice(db: sqlite_utils.Database) -> tuple[list, list]:
            first = values(db)
            reading.set()
            go_on.wait(10)
            return first, values(db)

        pending = asyncio.ensure_future(store.read(twice))  # noqa: TID251 - awaited below
        await asyncio.to_thread(reading.wait, 10)
        await store.write(insert(1))
        go_on.set()
        assert await pending == ([], [])
        assert await store.read(values) == [1]


async def test_a_query_that_runs_away_is_stopped(tmp_path: Path) -> None:
    clock = FakeClock()
    async with Database(tmp_path / "t.db", clock) as store:
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
        pending = asyncio.ensure_future(store.read(lambda db: db.execute(endless).fetchall()))  # noqa: TID251
        await asyncio.sleep(0.05)
        await clock.advance(11)
        with pytest.raises(StoreError, match="too long"):
            await pending
        assert await store.read(lambda db: db.execute("SELECT 1").fetchone()) == (1,)
        assert store.stats()["state"] == "ok"


async def test_a_cancelled_write_that_still_waits_is_not_done(tmp_path: Path) -> None:
    async with Database(tmp_path / "t.db", SystemClock()) as store:
        await store.migrate("x", [TABLE])
        go_on = threading.Event()
        blocker = asyncio.ensure_future(store.write(lambda _db: go_on.wait(10)))  # noqa: TID251
        waiting = asyncio.ensure_future(store.write(insert(1)))  # noqa: TID251
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        go_on.set()
        await blocker
        assert await store.read(values) == []


# -- rows in batches


async def test_rows_are_written_after_five_seconds_or_five_hundred(tmp_path: Path) -> None:
    clock = FakeClock()
    async with Database(tmp_path / "t.db", clock) as store:
        await store.migrate("x", [TABLE])

        async def there() -> int:
            return len(await store.read(values))

        store.append("x__rows", {"v": 0})
        await clock.advance(4.9)
        assert await there() == 0
        await clock.advance(0.2)
        await wait_for(there, "the row")
        for v in range(1, 501):
            store.append("x__rows", {"v": v})
        await wait_for(lambda: store.stats()["rows_buffered"] == 0, "an early flush")
        await store.flush()
        assert await there() == 501


async def test_one_bad_row_takes_no_other_with_it(store: Database, caplog: pytest.LogCaptureFixture) -> None:
    for v in (1, 2, 2, 2**70, "\ud800", 3):
        store.append("x__rows", {"v": v})
    store.append("x__nowhere", {"v": 1})
    store.append("x__rows", {"w": 1})
    store.append("x__rows", {7: 1})
    store.append("x__rows", {"v": object()})
    await store.flush()
    assert await store.read(values) == [1, 2, 3]
    assert store.stats()["rows_refused_by_table"] == {"x__rows": 6, "x__nowhere": 1}
    assert len([r for r in caplog.records if "refused" in r.message]) == 2, "once for each table"


async def test_what_is_buffered_is_written_at_the_end(tmp_path: Path) -> None:
    async with Database(tmp_path / "t.db", FakeClock()) as store:
        await store.migrate("x", [TABLE])
        for v in range(3000):
            store.append("x__rows", {"v": v})
    store.append("x__rows", {"v": -1})  # too late: no error, but counted
    assert store.stats()["rows_lost"] == 1
    async with Database(tmp_path / "t.db", FakeClock()) as again:
        assert len(await again.read(values)) == 3000


async def test_after_the_end_everything_is_refused_in_words(tmp_path: Path) -> None:
    store = Database(tmp_path / "t.db", FakeClock())
    with pytest.raises(StoreError, match="closed"):
        await store.write(values)
    await store.open()
    await store.close()
    for call in (store.read, store.write):
        with pytest.raises(StoreError, match="closed"):
            await call(values)
    await store.flush()


def test_the_buffer_drops_the_oldest_and_counts_them_by_table() -> None:
    batch = Batch(limit=10)
    for i in range(8):
        batch.add("a", {"v": i})
    taken = batch.take(5)
    for i in range(9):
        batch.add("b", {"v": i})
    batch.give_back(taken)
    assert len(batch) == 10
    assert batch.lost == {"a": 7 + 0 * len(taken)}
    assert [row.values[0] for row in batch.take(3)] == [7, 0, 1]
    batch.close()
    assert batch.lost == {"a": 7, "b": 7}
    assert batch.add("a", {"v": 1}) == 0


# -- a bad disk


async def test_a_full_database_is_a_state_that_passes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows wait, then the oldest are lost and counted; it is logged once when it comes and once when it goes."""
    caplog.set_level(logging.WARNING, "appliance.store")
    clock = FakeClock()
    async with Database(tmp_path / "t.db", clock, max_rows=1000) as store:
        await store.migrate("x", [TABLE])
        await store.write(lambda db: db.execute("PRAGMA max_page_count=20").fetchall() and None)
        for v in range(5000):
            store.append("x__rows", {"v": f"{v:0200}"})
        for _ in range(5):
            await store.flush()
            await clock.advance(5)
        with pytest.raises(StoreError, match="disk is full"):
            await store.write(
                lambda db: db.execute("CREATE TABLE x__more AS SELECT zeroblob(200000) AS z") and None
            )
        stats = store.stats()
        assert stats["state"] == "full"
        assert 0 < stats["rows_buffered"] <= 1000
        assert stats["rows_lost_by_table"].keys() == {"x__rows"}
        assert any("disk is full" in problem.text for problem in store.problems())
        kept = len(await store.read(values))
        await store.write(lambda db: db.execute("PRAGMA max_page_count=100000").fetchall() and None)
        await store.flush()
        stats = store.stats()
        assert (stats["state"], stats["rows_buffered"], stats["last_error"]) == ("ok", 0, "")
        assert len(await store.read(values)) + stats["rows_lost"] == 5000
        assert len(await store.read(values)) > kept
    told = [record.message for record in caplog.records]
    assert (
        len(
            [
                text
                for text in told
                if "cannot be written: the disk is full" in text or "database or disk is full" in text
            ]
        )
        == 1
    ), told
    assert len([text for text in told if "can be written again" in text]) == 1


async def test_a_disk_that_hangs_stops_neither_the_loop_nor_readers_nor_the_end(tmp_path: Path) -> None:
    store = Database(tmp_path / "t.db", SystemClock(), max_rows=100)
    await store.open()
    await store.migrate("x", [TABLE])
    hang = threading.Event()
    stuck = asyncio.ensure_future(store.write(lambda _db: hang.wait(30)))  # noqa: TID251 - awaited below
    await asyncio.sleep(0)
    begin = time.monotonic()
    for v in range(10_000):
        store.append("x__rows", {"v": v})
    assert time.monotonic() - begin < 5, "append waits for nobody"
    assert await store.read(values) == []
    assert store.stats()["rows_lost"] == 9_900
    begin = time.monotonic()
    await store.close()
    assert time.monotonic() - begin < 4
    hang.set()
    await stuck


async def test_too_many_waiting_writes_are_refused(tmp_path: Path) -> None:
    async with Database(tmp_path / "t.db", SystemClock()) as store:
        hang = threading.Event()
        stuck = [asyncio.ensure_future(store.write(lambda _db: hang.wait(30)))]  # noqa: TID251 - gathered below
        stuck += [asyncio.ensure_future(store.write(lambda _db: None)) for _ in range(1100)]  # noqa: TID251
        await asyncio.sleep(0.01)
        hang.set()
        results = await asyncio.gather(*stuck, return_exceptions=True)
        assert 50 < sum(isinstance(result, StoreError) for result in results) < 150
        await store.write(lambda _db: None)
        assert store.stats()["state"] == "ok"


async def test_a_damaged_file_is_set_aside_and_what_can_be_read_is_carried_over(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    rows = Migration("rows", lambda db: db.execute("CREATE TABLE x__log (t TEXT)"))
    async with Database(path, FakeClock()) as store:
        await store.migrate("x", [TABLE, rows])
        await store.write(lambda db: db["x__rows"].insert_all({"v": v} for v in range(50)) and None)
        await store.write(lambda db: db["x__log"].insert_all({"t": "x" * 100} for v in range(5000)) and None)
    whole = path.read_bytes()
    middle = len(whole) // 2 // 4096 * 4096
    path.write_bytes(whole[:middle] + b"\xa5" * 8192 + whole[middle + 8192 :])
    async with Database(path, FakeClock()) as store:
        await store.migrate("x", [TABLE, rows])
        assert len(await store.read(values)) == 50
        texts = " ".join(problem.text for problem in store.problems())
        assert "damaged" in texts
        assert "carried over" in texts
    (aside,) = names(tmp_path, "t.db.corrupt-20*")
    assert aside.stat().st_size == len(whole)
    async with Database(path, FakeClock()) as store:  # and no loop of it
        assert store.problems() == ()
        assert len(await store.read(values)) == 50


@pytest.mark.parametrize("content", [b"no database at all" * 1000, b"SQLite format 3\0" + bytes(5000)])
async def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.db"
    path.write_bytes(content)
    async with Database(path, FakeClock()) as store:
        await store.migrate("x", [TABLE])
        await store.write(insert(1))
        assert store.stats()["moved_aside"]
    assert [file.read_bytes() for file in names(tmp_path, "*.corrupt-*")] == [content]


async def test_an_empty_file_is_a_new_database(tmp_path: Path) -> None:
    (tmp_path / "t.db").touch()
    async with Database(tmp_path / "t.db", FakeClock()) as store:
        assert store.problems() == ()
        await store.migrate("x", [TABLE])


async def test_damage_met_while_running_makes_the_next_start_look_closely(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("appliance.store.damage.QUICK_CHECK_BYTES", 0)  # too large to be read at each start
    path = tmp_path / "t.db"
    async with Database(path, FakeClock()) as store:
        await store.migrate("x", [TABLE])
        await store.write(
            lambda db: db["x__rows"].insert_all({"v": "x" * 1000 + str(v)} for v in range(500)) and None
        )
    whole = path.read_bytes()
    path.write_bytes(whole[: 8192 * 4] + b"\xa5" * 8192 * 6 + whole[8192 * 10 :])
    async with Database(path, FakeClock()) as store:
        with pytest.raises(StoreError, match="damaged"):
            await store.write(lambda db: db.execute("DELETE FROM x__rows") and None)
        assert "restart" in store.problems()[0].remedy
    async with Database(path, FakeClock()) as store:
        assert store.stats()["moved_aside"]


async def test_a_folder_that_cannot_be_written_leaves_an_appliance_that_works_from_memory(
    tmp_path: Path,
) -> None:
    """Nothing was there before, so nothing is missing; and once there is room, everything moves into the file."""
    clock = FakeClock()
    store = Database(tmp_path / "gone" / "t.db", clock)
    await store.open()
    await store.migrate("x", [TABLE])
    await store.write(insert(1))
    store.append("x__rows", {"v": 2})
    await store.flush()
    assert await store.read(values) == [1, 2]
    assert "kept over a restart" in store.problems()[0].text
    (tmp_path / "gone").mkdir()
    for _ in range(3):
        await clock.advance(5)
        await store.write(lambda _db: None)
    assert store.problems() == ()
    assert await store.read(values) == [1, 2]
    await store.write(insert(3))
    await store.close()
    async with Database(tmp_path / "gone" / "t.db", clock) as again:
        assert await again.read(values) == [1, 2, 3]


async def test_the_file_is_nobody_elses_to_read(tmp_path: Path) -> None:
    async with Database(tmp_path / "t.db", FakeClock()) as store:
        await store.migrate("x", [TABLE])
        for file in names(tmp_path):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


async def test_a_backup_is_whole_and_made_while_in_use(store: Database, tmp_path: Path) -> None:
    await store.write(lambda db: db["x__rows"].insert_all({"v": v} for v in range(1000)) and None)
    copy = tmp_path / "copy.db"
    await store.backup(copy)
    await store.backup(copy)
    conn = sqlite3.connect(copy)
    assert conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert conn.execute("SELECT count(*) FROM x__rows").fetchone() == (1000,)
    conn.close()
    assert sorted(file.name for file in names(tmp_path, "copy*")) == ["copy.db"]
    with pytest.raises(StoreError, match="copy"):
        await store.backup(tmp_path / "no" / "copy.db")
    assert store.stats()["state"] == "ok"


# -- migrations


async def test_steps_are_applied_once_and_in_order(tmp_path: Path) -> None:
    seen: list[str] = []
    steps = [Migration(name, lambda _db, name=name: seen.append(name)) for name in ("a", "b", "c")]
    for known in (1, 2, 2, 3):
        async with Database(tmp_path / "t.db", FakeClock()) as store:
            await store.migrate("x", steps[:known])
            await store.migrate("y", steps[:1])
    assert seen == ["a", "a", "b", "c"]


async def test_a_step_that_fails_leaves_no_trace_and_concerns_its_plugin_alone(store: Database) -> None:
    def breaks(db: sqlite_utils.Database) -> None:
        db.execute("CREATE TABLE x__half (a)")
        raise ValueError("broken")

    with pytest.raises(MigrationError, match="x: database step 'second': ValueError: broken") as caught:
        await store.migrate("x", [TABLE, Migration("second", breaks)])
    assert (caught.value.plugin, caught.value.step) == ("x", "second")
    assert await store.read(lambda db: db["x__half"].exists()) is False
    await store.migrate("y", [Migration("first", lambda db: db.execute("CREATE TABLE y__a (a)"))])
    await store.migrate("x", [TABLE, Migration("second", lambda db: db.execute("CREATE TABLE x__half (a)"))])


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (["a"], "newer version"),
        (["b", "a"], "stands before"),
        (["a", "c", "b"], "stands before"),
        (["a", "b", "b"], "twice"),
    ],
)
async def test_a_list_that_does_not_fit_the_database_is_refused_in_words(
    tmp_path: Path, names: list[str], word: str
) -> None:
    async with Database(tmp_path / "t.db", FakeClock()) as store:
        await store.migrate("x", [Migration(name, lambda _db: None) for name in ("a", "b")])
        with pytest.raises(MigrationError, match=word):
            await store.migrate("x", [Migration(name, lambda _db: None) for name in names])


async def test_what_somebody_waits_for_is_on_the_medium_and_buffered_rows_wait_for_nothing(
    tmp_path: Path,
) -> None:
    """A member that was acknowledged is there after a power cut; images are cut for real (case 17)."""

    def level(db) -> int:
        return int(db.execute("PRAGMA synchronous").fetchone()[0])

    full, normal = 2, 1
    database = Database(tmp_path / "t.db", clock=FakeClock())
    await database.open()
    try:
        assert await database.write(level) == full
        with pytest.raises(ZeroDivisionError):
            await database.write(lambda db: 1 // 0)
        assert await database._run(level, in_transaction=False) == normal
        assert await database._run(level) == normal
    finally:
        await database.close()
