"""kill -9 in the middle of writing, and a disk that is really full."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from appliance.store.spare import SPARE_BYTES
from tests.support.programs import cannot_run, need

ROOT = Path(__file__).resolve().parents[2]
CHILD = ROOT / "tests" / "store" / "store_child.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def test_kill_9_loses_nothing_that_was_committed_and_counts_nothing_twice(tmp_path: Path) -> None:
    """Twelve lives, each ended at a random moment; the file is whole after each, and at the end the sums are right."""
    path = tmp_path / "t.db"
    dice = random.Random(20)
    committed = 0
    for life in range(12):
        committed = one_life(path, dice.randrange(1, 40), committed)
        conn = sqlite3.connect(path)
        assert conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)], life
        ((last, count),) = conn.execute("SELECT max(id), count(*) FROM x__state").fetchall()
        # The one in flight when the kill came may be there too.
        assert committed <= last <= committed + 1
        assert count == last, "no number is missing"
        (rows,) = conn.execute("SELECT count(*) FROM x__rows WHERE ts <= ?", (last * 7.0,)).fetchone()
        assert rows >= last * 20, "rows that were flushed before are there too"
        for bucket_s in (60, 3600):
            check_rollup(conn, bucket_s)
        conn.close()


def one_life(path: Path, commits: int, committed: int) -> int:
    """Run a writer until it has reported so many commits, then kill it; returns the last number it reported."""
    command = [sys.executable, str(CHILD), "write", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT, text=True) as child:
        assert child.stdout is not None
        try:
            assert json.loads(child.stdout.readline()) == {"ready": True, "problems": []}
            for _ in range(commits):
                committed = json.loads(child.stdout.readline())["committed"]
        finally:
            child.send_signal(signal.SIGKILL)
        for line in child.stdout:  # what it still said before it was hit
            if line.endswith("\n"):
                committed = json.loads(line)["committed"]
    return committed


def check_rollup(conn: sqlite3.Connection, bucket_s: int) -> None:
    """What is rolled up is exactly the raw rows up to the recorded position."""
    if not conn.execute("SELECT 1 FROM sqlite_master WHERE name = '_rollups'").fetchone():
        return
    position = conn.execute(
        "SELECT rolled_to FROM _rollups WHERE rollup = ?", (f"x__rows_{bucket_s}",)
    ).fetchone()
    wanted = conn.execute(
        f"SELECT member, CAST(ts AS INTEGER) / {bucket_s} * {bucket_s}, count(*), min(a), avg(a), max(a) "
        "FROM x__rows WHERE rowid <= ? GROUP BY 1, 2 ORDER BY 1, 2",
        position or (0,),
    ).fetchall()
    found = conn.execute(
        f"SELECT member, bucket, n, a_min, a_mean, a_max FROM x__rows_{bucket_s} ORDER BY 1, 2"
    ).fetchall()
    assert len(found) == len(wanted)
    for have, want in zip(found, wanted, strict=True):
        assert have[:4] == want[:4]
        assert have[5] == want[5]
        assert math.isclose(have[4], want[4], rel_tol=1e-9)


def in_small_filesystem(script: str, mebibytes: int) -> list[str]:
    """A command that runs `script` (with `$DIR`) on a file system of its own in memory, in a mount namespace of its own."""
    unshare = [need("unshare"), "--mount"]
    if os.geteuid() != 0:
        unshare += ["--user", "--map-root-user"]
    mount = f'mount -t tmpfs -o size={mebibytes}m,mode=700 small "$DIR" && exec {script}'
    return [*unshare, "sh", "-c", mount]


def test_a_start_on_a_disk_whose_every_block_somebody_took_finds_its_database(tmp_path: Path) -> None:
    environment = {**ENVIRONMENT, "DIR": str(tmp_path)}
    if subprocess.run(
        in_small_filesystem("true", 1), env=environment, capture_output=True, check=False
    ).returncode:
        cannot_run("mount namespaces cannot be made here; run: sudo make test")
    command = in_small_filesystem(f'"{sys.executable}" "{CHILD}" again "$DIR"', 12)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        facts |= json.loads(line)
    assert [facts[f"start{number}"] for number in range(3)] == [[[1]]] * 3
    assert facts["spare"] == SPARE_BYTES, "room is set aside anew as soon as there is plenty"


def test_a_full_disk_stops_nothing_and_everything_comes_back(tmp_path: Path) -> None:
    """A real file system of two megabytes: rows are lost and counted, reads go on, starts work, room heals all."""
    environment = {**ENVIRONMENT, "DIR": str(tmp_path)}
    if subprocess.run(
        in_small_filesystem("true", 1), env=environment, capture_output=True, check=False
    ).returncode:
        cannot_run("mount namespaces cannot be made here; run: sudo make test")
    command = in_small_filesystem(f'"{sys.executable}" "{CHILD}" fill "$DIR"', 2)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        spoken = json.loads(line)
        facts[next(iter(spoken))] = spoken

    full = facts["full"]
    assert full["full"]["state"] in {"full", "io"}, full
    assert full["full"]["rows_lost"] > 0
    assert full["refused"] == 1
    assert full["state"] == [[1]], "what was written before can be read"
    assert any("rows of history were lost" in text for text in full["problems"])

    after = facts["after"]
    assert (after["after"]["state"], after["after"]["rows_buffered"]) == ("ok", 0)
    assert after["rows"] + after["after"]["rows_lost"] == after["sent"], "every row is there or counted"

    start = facts["start"]
    assert start["migrated"], "a start needs no write when nothing is new"
    assert start["state"] == [[1]]
    assert facts["end"]["end"]["rows_buffered"] == 0
    assert facts["end"]["problems"] == []

    assert "kept over a restart" in facts["adrift"]["adrift"][0]
    assert facts["landed"]["landed"] == [[1]]
    assert done.stderr.count("cannot be written: the disk is full") <= 3, done.stderr
