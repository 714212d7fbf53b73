"""A process that uses a store, to be killed or to run out of disk. Speaks one JSON object a line."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from appliance.api.contrib import Migration, Retention, Rollup
from appliance.api.errors import StoreError
from appliance.core.clock import SystemClock
from appliance.store import Database

SCHEMA = Migration(
    "first",
    lambda db: db.executescript(
        "CREATE TABLE x__rows (ts REAL, member TEXT, a REAL);"
        "CREATE TABLE x__state (id INTEGER PRIMARY KEY, v INTEGER);"
    ),
)
RETENTION = Retention("x__rows", 40_000, ("member",), ("a",), (Rollup(60, None), Rollup(3600, None)))


def say(**facts: Any) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


async def write_for_ever(path: Path, clock: SystemClock) -> None:
    """Write, append and roll up without an end; report each number only once it is committed."""
    async with Database(path, clock) as store:
        await store.migrate("x", [SCHEMA])
        store.retain("x", [RETENTION])
        first = await store.read(
            lambda db: db.execute("SELECT coalesce(max(id), 0) FROM x__state").fetchone()[0]
        )
        say(ready=True, problems=[problem.text for problem in store.problems()])
        for number in range(first + 1, 10**9):
            for member in range(20):
                store.append("x__rows", {"ts": number * 7.0, "member": f"m{member}", "a": float(number)})
            await store.flush()
            await store.write(
                lambda db, number=number: db.execute("INSERT INTO x__state VALUES (?, ?)", (number, number))
            )
            say(committed=number)
            if number % 5 == 0:
                store._housekeeping.forget(["x__rows"])
                await store.housekeeping()


async def fill_the_disk(folder: Path, clock: SystemClock) -> None:
    """On a file system of two megabytes: fill it, go on, make room, and see that everything comes back."""
    ballast = folder / "ballast"
    async with Database(folder / "t.db", clock, max_rows=5000) as store:
        await store.migrate("x", [SCHEMA])
        store.retain("x", [RETENTION])
        await store.write(lambda db: db.execute("INSERT INTO x__state VALUES (1, 1)"))
        ballast.write_bytes(bytes(1 << 20))
        sent = refused = 0
        while store.stats()["rows_lost"] == 0 and sent < 200_000:
            for _ in range(500):
                store.append("x__rows", {"ts": float(sent), "member": "m", "a": 1.0})
                sent += 1
            await store.flush()
            await store.housekeeping()
        try:
            await store.write(lambda db: db.execute("INSERT INTO x__state VALUES (2, zeroblob(1000000))"))
        except StoreError:
            refused += 1
        state = await store.read(lambda db: db.execute("SELECT v FROM x__state").fetchall())
        say(
            full=store.stats(),
            sent=sent,
            refused=refused,
            state=state,
            problems=[p.text for p in store.problems()],
        )
        ballast.unlink()
        for _ in range(20):
            await store.flush()
            if not store.stats()["rows_buffered"]:
                break
            await clock.sleep(0.5)
        rows = await store.read(lambda db: db.execute("SELECT count(*) FROM x__rows").fetchone()[0])
        say(after=store.stats(), sent=sent, rows=rows, problems=[p.text for p in store.problems()])
        # Now a start on a disk without a byte to spare.
        ballast.write_bytes(bytes(64 << 10))
    fill_up(folder / "rest")
    async with Database(folder / "t.db", clock) as store:
        try:
            await store.migrate("x", [SCHEMA])
            migrated = True
        except StoreError:
            migrated = False
        state = await store.read(lambda db: db.execute("SELECT v FROM x__state").fetchall())
        store.append("x__rows", {"ts": float(sent), "member": "m", "a": 1.0})
        await store.flush()
        say(start=store.stats(), migrated=migrated, state=state)
        ballast.unlink()
        (folder / "rest").unlink()
        for _ in range(30):
            await store.flush()
            if not store.stats()["rows_buffered"]:
                break
            await clock.sleep(0.5)
        say(end=store.stats(), problems=[p.text for p in store.problems()])
    fill_up(folder / "rest")
    async with Database(folder / "second.db", clock) as store:  # nothing can be made here at all
        await store.migrate("x", [SCHEMA])
        await store.write(lambda db: db.execute("INSERT INTO x__state VALUES (1, 1)"))
        say(adrift=[p.text for p in store.problems()])
        (folder / "rest").unlink()
        for _ in range(30):
            if not store.problems():
                break
            await clock.sleep(0.5)
    async with Database(folder / "second.db", clock) as store:
        say(landed=await store.read(lambda db: db.execute("SELECT v FROM x__state").fetchall()))


async def start_again_when_full(folder: Path, clock: SystemClock) -> None:
    """On a file system of twelve megabytes: killed, the log's index lost, and every block taken by somebody else, three times."""
    async with Database(folder / "t.db", clock) as store:
        await store.migrate("x", [SCHEMA])
        await store.write(lambda db: db.execute("INSERT INTO x__state VALUES (1, 1)"))
    for number in range(3):
        fill_up(folder / f"rest{number}")
        async with Database(folder / "t.db", clock) as store:
            await store.migrate("x", [SCHEMA])
            state = await store.read(lambda db: db.execute("SELECT v FROM x__state").fetchall())
            say(**{f"start{number}": state})
    for number in range(3):
        (folder / f"rest{number}").unlink()
    async with Database(folder / "t.db", clock):
        say(spare=(folder / "t.db-spare").stat().st_size)


def fill_up(path: Path) -> None:
    """Take every byte that is left."""
    with path.open("wb", buffering=0) as file:
        try:
            for size in (4096, 512, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue
        except OSError:
            pass


if __name__ == "__main__":
    kind, where = sys.argv[1], Path(sys.argv[2])
    asyncio.run(
        {"write": write_for_ever, "fill": fill_the_disk, "again": start_again_when_full}[kind](
            where, SystemClock()
        )
    )
