"""Another process does something for us, and is gone whatever becomes of us."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from appliance.core.errands import errand
from appliance.core.tasks import spawn
from tests.support.wait import wait_for

STAYS = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(f'{os.getpid()}\\n'); time.sleep(600)"


def begun(file):
    return int(text) if file.exists() and (text := file.read_text()).endswith("\n") else 0


def is_there(pid):
    return Path(f"/proc/{pid}").exists()


async def test_it_is_told_what_to_do_and_what_became_of_it_is_told():
    program = (
        "import sys; sys.stdout.write(sys.stdin.read()[::-1]); sys.stderr.write('one\\ntwo\\n'); sys.exit(3)"
    )
    done = await errand("-c", program, order=b"abc", patience_s=60)
    assert (done.status, done.result, done.said, done.last) == (3, b"cba", "one\ntwo\n", "two")
    assert (await errand("-c", "import os; os.kill(os.getpid(), 9)", order=b"", patience_s=60)).status == -9


async def test_one_that_reads_nothing_and_one_that_says_much_hinder_nobody():
    done = await errand("-c", "print('x' * 1_000_000)", order=b"y" * 1_000_000, patience_s=60)
    assert len(done.result) == 1_000_001


async def test_it_is_ended_when_it_takes_too_long(tmp_path):
    with pytest.raises(TimeoutError):
        await errand("-c", STAYS, tmp_path / "pid", order=b"", patience_s=3)
    assert not is_there(begun(tmp_path / "pid"))


async def test_it_is_ended_with_who_waits_for_it(tmp_path):
    waiting = spawn(errand("-c", STAYS, tmp_path / "pid", order=b"", patience_s=600), name="waiting")
    pid = await wait_for(lambda: begun(tmp_path / "pid"), "the other process")
    assert is_there(pid)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not is_there(pid)
