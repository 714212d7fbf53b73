"""Store: the size of a year of probes, how fast its charts are read, rows written a second, and memory.

`--members 1000` makes the whole of it (more than an hour); the default makes a twentieth of the members for the whole year, which
has the same shape. Every row goes through the store's own tables, roll-ups and retention; only the probes are made up inside SQLite.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import sqlite_utils
from _common import ROOT, Row, main

sys.path[:0] = [str(ROOT), str(ROOT / "plugins")]

from appliance.core.clock import SystemClock  # noqa: E402
from appliance.store import Database  # noqa: E402
from appliance.store.series import Series, read_series  # noqa: E402
from appliance_monitor.keeping import MIGRATIONS, PROBES, retention  # noqa: E402

DAY_S = 86_400
INTERVAL_S = 540
BEGIN_S = 1_767_225_600  # 2026-01-01

RETENTION = retention(raw_days=15)


class Calendar(SystemClock):
    """The machine's clock, but the date is moved by the generator."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self.wall_s = float(BEGIN_S)

    def wall_ns(self) -> int:
        return int(self.wall_s * 1e9)

    def monotonic_ns(self) -> int:
        return time.monotonic_ns() + int(self.ahead_s * 1e9)

    def go_to(self, wall_s: float) -> None:
        self.ahead_s += wall_s - self.wall_s
        self.wall_s = wall_s


def probe(db: sqlite_utils.Database, first: int, end: int, members: int) -> None:
    """Probes of the rounds from `first` to before `end`, in the order in which they would come; one in fifty gets no answer."""
    db.execute(
        """
        INSERT INTO monitor__probes (ts, member, monitor, offset_s, rtt_s, stratum, leap, step, score, error, rule)
        WITH RECURSIVE slot(s) AS (SELECT ? UNION ALL SELECT s + 1 FROM slot WHERE s < ? - 1),
        m(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM m WHERE i < ? - 1),
        p(ts, i, luck, a, b) AS MATERIALIZED (
          SELECT ? + s * ? + i * 540.0 / ?, i, abs(random() % 50), (random() % 1000000) / 1e8, abs(random() % 1000000) / 1e7
          FROM slot, m)
        SELECT ts, '10.0.' || (i / 250) || '.' || (i % 250), 'local', CASE WHEN luck THEN a END, CASE WHEN luck THEN b END,
          CASE WHEN luck THEN 2 END, CASE WHEN luck THEN 0 END, CASE WHEN luck THEN 1.0 ELSE -5.0 END, 19.9 - b,
          CASE WHEN luck THEN NULL ELSE 'timeout' END, CASE WHEN luck THEN 'offset_ok' ELSE 'no_response' END
        FROM p
        """,
        (first, end, members, BEGIN_S, INTERVAL_S, members),
    )


async def make(store: Database, clock: Calendar, members: int, days: int) -> None:
    """Hour by hour, as it is in life: so pages are split, roll-ups merged and old rows deleted as they are in life."""
    await store.migrate("monitor", MIGRATIONS)
    store.retain("monitor", [RETENTION])
    done = 0
    for hour in range(1, days * 24 + 1):
        rounds = hour * 3600 // INTERVAL_S
        await store.write(lambda db, done=done, rounds=rounds: probe(db, done, rounds, members))
        done = rounds
        clock.go_to(BEGIN_S + hour * 3600)
        await store.housekeeping()
        if hour % (24 * 30) == 0:
            print(
                f"      {hour // 24} days, {store.stats()['size_bytes'] / 1e6:,.0f} MB",
                file=sys.stderr,
                flush=True,
            )


async def read_times_ms(
    store: Database, members: int, end_s: float, days: float, points: int, runs: int = 60
) -> list[tuple[float, float]]:
    """Of each read what the asker waited, and the processor time of the thread that read: other programs do not blur it."""
    dice = random.Random(1)  # noqa: S311 - picks members
    took = []
    for _ in range(runs):
        i = dice.randrange(members)
        member = f"10.0.{i // 250}.{i % 250}"
        begun = time.perf_counter()

        def read(db: sqlite_utils.Database, member: str = member) -> tuple[Series, float]:
            before = time.thread_time()
            found = read_series(db, RETENTION, (member,), end_s - days * DAY_S, end_s, points)
            return found, (time.thread_time() - before) * 1e3

        series, worked = await store.read(read)
        took.append(((time.perf_counter() - begun) * 1e3, worked))
        assert sum(series.n) >= min(days, 1) * 100, series
    return sorted(took)


async def writes_per_s(store: Database, rows: int = 100_000) -> float:
    """Rows a second through `append` and its batches."""
    begun = time.perf_counter()
    for number in range(rows):
        store.append(
            PROBES,
            {
                "ts": BEGIN_S + number,
                "member": f"w{number % 100}",
                "monitor": "local",
                "offset_s": 0.001,
                "score": 19.0,
            },
        )
        if number % 1000 == 0:
            await asyncio.sleep(0)
            if store.stats()["rows_buffered"] > 20_000:
                await store.flush()
    await store.flush()
    assert store.stats()["rows_lost"] == 0
    return rows / (time.perf_counter() - begun)


def sizes(path: Path) -> dict[str, float]:
    import sqlite3

    conn = sqlite3.connect(path)
    conn.execute("PRAGMA query_only=ON")
    rows = conn.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'monitor%'"
    ).fetchall()
    found = {name: conn.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for (name,) in rows}  # noqa: S608
    conn.close()
    return found


def forget_cache(path: Path) -> bool:
    """Make the kernel forget the file, so that the first read comes from the disk."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
    except OSError:
        return False
    return True


async def run(folder: Path, members: int, days: int) -> dict[str, Any]:
    path, clock = folder / "bench.db", Calendar()
    facts: dict[str, Any] = {"members": members, "days": days}
    begun = time.perf_counter()
    async with Database(path, clock) as store:
        await make(store, clock, members, days)
        facts["made_in_s"] = time.perf_counter() - begun
    facts["bytes"] = path.stat().st_size
    facts["rows"] = sizes(path)
    end_s = BEGIN_S + days * DAY_S
    async with Database(path, clock) as store:
        forget_cache(path)
        facts["cold_year_ms"] = await read_times_ms(store, members, end_s, days, 1000, 10)
        for name, span, points in (
            ("year", days, 1000),
            ("year_400", days, 400),
            ("month", 30, 500),
            ("day", 1, 500),
        ):
            facts[f"{name}_ms"] = await read_times_ms(store, members, end_s, min(span, days), points)
        facts["peak_rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        facts["append_rows_per_s"] = await writes_per_s(store)
    return facts


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def rows_of(facts: dict[str, Any]) -> Iterable[Row]:
    scale = facts["members"] / 1000
    yield Row(
        f"{facts['members']:,} members, one probe in 9 min, {facts['days']} days",
        f"{facts['bytes'] / 1e9:.3f} GB",
        note=f"{facts['bytes'] / 1e9 / scale:.2f} GB for 1,000 members; made in {facts['made_in_s']:.0f} s",
    )
    for name, what in (
        ("cold_year", "chart of a year, 1,000 points, file not in memory"),
        ("year", "chart of a year, 1,000 points"),
        ("year_400", "chart of a year, 400 points"),
        ("month", "chart of a month, 500 points"),
        ("day", "chart of a day, 500 points"),
    ):
        took, worked = zip(*facts[f"{name}_ms"], strict=True)
        yield Row(
            what,
            f"{statistics.median(took):.1f} ms",
            note=f"p95 {percentile(took, 0.95):.1f} ms, {len(took)} reads; processor {statistics.median(worked):.1f} ms",
        )
    yield Row("rows appended", f"{facts['append_rows_per_s']:,.0f} /s", note="into a table with one index")
    yield Row("peak memory of the generator", f"{facts['peak_rss_bytes'] / 1e6:.0f} MB")


def measure() -> Iterable[Row]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=50)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--keep", type=Path, help="folder to leave the database in")
    parser.add_argument("--json", action="store_true", help="print the raw figures")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="timeball-store-") as scratch:
        facts = asyncio.run(run(wanted.keep or Path(scratch), wanted.members, wanted.days))
    if wanted.json:
        print(json.dumps(facts))
        sys.exit(0)
    return rows_of(facts)


if __name__ == "__main__":
    main(measure)
