"""Nobody but the host ends the process: exits and interrupts become faults, the loop goes on, and what hangs is ended by name."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap

import pytest

from appliance.core.contained import Escaped, contained
from appliance.core.tasks import spawn
from appliance.host import resuming
from tests.support.tree import ROOT


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), BaseException("x")])
def test_what_ends_programs_comes_out_as_an_ordinary_error(error):
    with pytest.raises(Escaped, match="it wanted to end the process") as caught, contained():
        raise error
    assert caught.value.__cause__ is error


def test_ordinary_errors_and_cancellations_stay_what_they_are():
    with pytest.raises(KeyError), contained():
        raise KeyError
    with pytest.raises(asyncio.CancelledError), contained():
        raise asyncio.CancelledError
    with pytest.raises(GeneratorExit), contained():
        raise GeneratorExit
    for error in (asyncio.CancelledError, GeneratorExit):
        with pytest.raises(Escaped), contained(cancelling=True):
            raise error


def test_the_loop_goes_on_when_a_task_or_a_callback_wants_to_end_it():
    told = []

    async def ends(error):
        raise error

    def exit_from_callback():
        raise SystemExit("from a callback")

    async def main():
        loop = asyncio.get_running_loop()
        tasks = [spawn(ends(SystemExit(4)), name="a"), spawn(ends(KeyboardInterrupt()), name="b")]
        loop.call_soon(exit_from_callback)
        loop.call_soon(loop.stop)
        await asyncio.wait(tasks)
        await asyncio.sleep(0)
        return sorted(type(task.exception()).__name__ for task in tasks)

    assert resuming.run(main(), told.append) == ["KeyboardInterrupt", "SystemExit"]
    assert {type(error) for error in told} == {SystemExit, KeyboardInterrupt, RuntimeError}
    assert len(told) == 4


@pytest.mark.parametrize("error", [SystemExit(7), ValueError("x")])
def test_what_the_host_itself_raises_ends_it(error):
    async def main():
        raise error

    with pytest.raises(type(error)):
        resuming.run(main(), pytest.fail)


HANGS = """
import logging, time
from appliance.core.contained import TookTooLong, in_time
logging.basicConfig(format="%(message)s")

def stubborn():
    while True:
        try:
            while True:
                time.sleep(0.01)
        except TookTooLong as error:
            if not again:
                again.append(1)
                continue
            raise

again = []
try:
    with in_time("the plugin x, while it is imported,", tell_s=0.2, most_s=0.6):
        stubborn()
except TookTooLong as error:
    print(error)
with in_time("the plugin y", tell_s=0.1, most_s=0.2):
    pass
time.sleep(0.5)
print("done")
"""


def test_what_does_not_come_to_an_end_is_told_with_its_line_and_ended():
    """In a process of its own: here a timer watches the test."""
    code = textwrap.dedent(HANGS)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "the plugin x, while it is imported, takes long: 0 s so far, at <string>:" in done.stderr
    assert "it took more than 1 s, at <string>:" in done.stdout
    assert done.stdout.endswith("done\n")
    assert "plugin y" not in done.stderr
