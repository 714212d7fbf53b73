"""Who fills the database or the state folder is named, with the table; ours and what is small are not."""

from __future__ import annotations

import pytest

from appliance.api.contrib import Migration
from appliance.core.clock import FakeClock, SystemClock
from appliance.host import loader, room
from appliance.host.watching import FILLED_BYTES, ROOM_LOOK_S, ROOM_S
from appliance.store.database import Database
from appliance.testing import running
from tests.host.test_patches import module

CULPRIT = """
from appliance import PluginInfo, hookimpl
from appliance.api.contrib import Migration
plugin = PluginInfo(id="culprit", title="Culprit", api=1)

@hookimpl
def migrations(ctx):
    return [Migration("log", lambda db: db.execute("CREATE TABLE culprit__log (text)"))]
"""


@pytest.fixture
async def store(tmp_path):
    async with Database(tmp_path / "x.db", SystemClock()) as store:
        yield store


def fill(table, kilobytes):
    def write(db):
        for _ in range(kilobytes):
            db.execute(f"INSERT INTO {table} VALUES (zeroblob(1000))")

    return write


async def test_tables_are_counted_by_plugin_with_their_indices_and_rollups(store):
    def make(db):
        for name in ("ours__x", "other__log", "other__log_60", "gone__a_b", "plain"):
            db.execute(f"CREATE TABLE {name} (text)")
        db.execute("CREATE INDEX other_index ON other__log (text)")

    await store.migrate("other", [Migration("all", make)])
    await store.write(fill("other__log", 400))
    await store.write(fill("ours__x", 400))
    await store.write(fill("other__log_60", 50))
    found = await room.kept(store, {"ours"})
    assert found.keys() == {"other", "gone"}
    assert found["other"].largest == "other__log"
    assert (
        800_000 < found["other"].largest_bytes < 4_000_000
    )  # rows, and the same again in pages of the index
    assert found["other"].total_bytes - found["other"].largest_bytes >= 50_000
    assert found["gone"].total_bytes <= 8192


async def test_a_folder_is_counted_without_its_links_and_not_without_end(tmp_path, monkeypatch):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").write_bytes(b"x" * 100_000)
    (tmp_path / "a/loop").symlink_to(tmp_path)
    size, count = room.in_folder(tmp_path)
    assert (100_000 <= size < 200_000, count) == (True, 2)
    assert room.in_folder(tmp_path / "nowhere") == (0, 0)
    monkeypatch.setattr(room, "MOST_FILES", 5)
    for number in range(20):
        (tmp_path / "a" / str(number)).touch()
    assert room.in_folder(tmp_path)[1] >= 5


async def test_the_doctor_names_who_fills_the_disk_until_it_is_better(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "MOST_BYTES", 300_000)
    discover = loader.discover

    def found(*args, **kwargs):
        plugins = discover(*args, **kwargs)
        loader.add(plugins, loader.Loaded("culprit", "test"), lambda: module("culprit", CULPRIT))
        return plugins

    monkeypatch.setattr(loader, "discover", found)
    async with running(["members"], state_dir=tmp_path) as app:
        await app.until_running()
        host = app.host

        async def told(*whats):
            await host.store.housekeeping()
            await host.watch.look_for_room()
            checks = (await app.get("/api/v1/doctor"))["checks"]
            return {c["id"]: c for c in checks if c["id"].partition(".")[2] in whats}

        assert await told("tables", "files") == {}
        await app.store.write(fill("culprit__log", 500))
        (tmp_path / "culprit").mkdir(exist_ok=True)
        (tmp_path / "culprit/trash").write_bytes(b"x" * 400_000)
        checks = await told("tables", "files")
        assert checks.keys() == {"culprit.tables", "culprit.files"}
        assert "culprit__log alone" in checks["culprit.tables"]["text"]
        assert "Retention" in checks["culprit.tables"]["remedy"]
        page = await app.get("/api/v1/plugins")
        assert "culprit__log alone" in str(page)
        await app.store.write(lambda db: db.execute("DROP TABLE culprit__log"))
        (tmp_path / "culprit/trash").unlink()
        assert await told("tables", "files") == {}


async def test_what_a_plugin_left_that_is_gone_is_dropped_by_the_doctor_when_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "MOST_BYTES", 300_000)
    make = Migration("log", lambda db: db.execute("CREATE TABLE gone__log (text)"))
    async with Database(tmp_path / "timeball.db", SystemClock()) as store:
        await store.migrate("gone", [make])
        await store.write(fill("gone__log", 500))
    async with running([], state_dir=tmp_path) as app:
        host = app.host

        async def told():
            await host.store.housekeeping()
            await host.watch.look_for_room()
            return {c["id"]: c for c in (await app.get("/api/v1/doctor"))["checks"]}

        found = (await told())["gone.tables"]
        assert found["text"].endswith("it is not installed any more")
        assert "drop everything of gone" in found["fix"]["says"]
        done = await app.ask("POST", "/api/v1/doctor/gone.tables/fix")
        assert "gone__log" in str(done)
        assert "gone.tables" not in await told()
        assert await app.store.read(lambda db: [t for t in db.table_names() if t.startswith("gone")]) == []
        await app.host.store.migrate("gone", [make])  # whoever comes back begins anew


async def test_a_database_that_grows_fast_is_looked_at_within_a_minute_and_else_each_hour(
    tmp_path, monkeypatch
):
    clock, looked, size = FakeClock(), [], [0]
    async with running([], state_dir=tmp_path, clock=clock) as app:
        watch = app.host.watch
        monkeypatch.setattr(app.host.store, "stats", lambda: {"size_bytes": size[0]})

        async def look():
            looked.append(clock.monotonic_ns() // 10**9)

        monkeypatch.setattr(watch, "look_for_room", look)
        await clock.advance(2 * ROOM_S)  # whatever the file was before
        looked.clear()
        await clock.advance(2 * ROOM_S)
        assert len(looked) == 2
        size[0] += FILLED_BYTES
        await clock.advance(2 * ROOM_LOOK_S)
        assert len(looked) == 3
        await clock.advance(2 * ROOM_LOOK_S)
        assert len(looked) == 3
