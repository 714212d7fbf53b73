"""The tests' own watch works: what a test leaves behind fails it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import programs
from tests.support.wait import wait_for, wait_until

LEFTOVERS = """
async def test_task():
    asyncio.get_running_loop().create_task(asyncio.sleep(60), name='forgotten')
def test_thread():
    threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
def test_socket():
    globals()['kept'] = socket.socket()
def test_process():
    globals()['started'] = subprocess.Popen(['sleep', '5'])
"""
IMPORTS = "import asyncio, socket, subprocess, threading, time\n"


def _inner_run(folder: Path, body: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_inner.py").write_text(IMPORTS + body)
    root = programs.REPOSITORY
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.conftest", "-c"]
    return subprocess.run(
        [*command, root / "pyproject.toml", f"--rootdir={folder}", folder / "test_inner.py"],
        cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_leftover_fails_the_test(tmp_path) -> None:
    done = _inner_run(tmp_path, LEFTOVERS)
    assert done.returncode == 1, done.stdout
    for words in ("tasks left behind", "left behind: thread", "left behind: fd", "left behind: process"):
        assert words in done.stdout, done.stdout
    assert "4 passed, 4 errors" in done.stdout


def test_a_test_that_cleans_up_passes(tmp_path) -> None:
    body = "async def test_it():\n    await asyncio.to_thread(time.monotonic)\n    subprocess.run(['true'], check=True)\n"
    done = _inner_run(tmp_path, body)
    assert done.returncode == 0, done.stdout


def test_a_missing_program_fails_in_ci_and_is_told_elsewhere(monkeypatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="run: sudo make peers"):
        programs.need("no-such-program")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="run: sudo make peers"):
        programs.need("no-such-program")


def test_ports_are_handed_out_once() -> None:
    ports = [programs.free_port() for _ in range(50)]
    assert len(set(ports)) == 50


async def test_waiting_gives_up_with_the_last_value() -> None:
    with pytest.raises(AssertionError, match="for: the moon; last seen: 0"):
        wait_until(lambda: 0, "the moon", timeout_s=0.01)
    with pytest.raises(AssertionError, match="for: the moon; last seen: None"):
        await wait_for(lambda: None, "the moon", timeout_s=0.01)

    async def found() -> str:
        return "found"

    assert await wait_for(found, "it") == "found"
