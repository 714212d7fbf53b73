"""For every test: nothing stays behind, and generated examples are the same on every machine."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.database import DirectoryBasedExampleDatabase

from tests.support.held_to_document import watched

CACHE = Path(__file__).resolve().parent.parent / ".cache"
set_hypothesis_home_dir(str(CACHE / "hypothesis"))

# A correctness test never depends on the speed of the machine: no deadlines, no complaint about slow generation.
_patient = hypothesis.settings(
    deadline=None,
    max_examples=100,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile("ci", _patient)
hypothesis.settings.register_profile("dev", _patient, print_blob=True)
hypothesis.settings.register_profile(
    "fuzz",
    _patient,
    derandomize=False,
    max_examples=int(os.environ.get("TIMEBALL_FUZZ_EXAMPLES", "2000")),
    database=DirectoryBasedExampleDatabase(CACHE / "hypothesis" / "examples"),
    print_blob=True,
)
hypothesis.settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") == "true" else "dev")
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes more than 20 s; `make test-slow` runs these too")
    config.addinivalue_line("markers", "e2e: a whole appliance against real programs")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function):
            # Behind the watch below, before everything the test asks for: torn down last while the loop still lives.
            at = item.fixturenames.index(_nothing_stays_behind.__name__) + 1
            item.fixturenames.insert(at, _no_task_stays_behind.__name__)


@pytest.fixture
async def _no_task_stays_behind() -> AsyncIterator[None]:
    """A task that outlives the test and its fixtures fails it."""
    before = asyncio.all_tasks()
    yield
    for _ in range(50):
        left = [task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()]
        if not left:
            return
        await asyncio.sleep(0 if _ < 10 else 0.01)
    names = ", ".join(sorted(repr(task) for task in left))
    for task in left:
        task.cancel()
    await asyncio.wait(left, timeout=1)
    pytest.fail(f"tasks left behind: {names}", pytrace=False)


@pytest.fixture(autouse=True)
def _answers_are_as_documented() -> Iterator[None]:
    """An answer that its route does not describe fails the test, whatever the test is about."""
    with watched() as complaints:
        yield
    if complaints:
        pytest.fail("answers that the document does not know:\n" + "\n".join(complaints[:10]), pytrace=False)


@pytest.fixture(autouse=True)
def _nothing_stays_behind() -> Iterator[None]:
    """A thread, child process or open socket that outlives the test and its fixtures fails it."""
    before = _belongings()
    yield
    left = _belongings() - before
    if left:
        gc.collect()
        # A thread that was told to stop, or a child that was reaped a moment ago, may need an instant more.
        deadline = time.monotonic() + 2
        while (left := _belongings() - before) and time.monotonic() < deadline:
            time.sleep(0.01)  # noqa: TID251 - between two looks
    if left:
        pytest.fail("left behind: " + ", ".join(sorted(left)), pytrace=False)


def _belongings() -> set[str]:
    """Threads, child processes and open sockets of this process, in words."""
    found = {f"thread {thread.name} ({thread.ident})" for thread in threading.enumerate()}
    for entry in os.scandir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            target = Path(entry.path).readlink().name
            if target.startswith("socket:"):
                found.add(f"fd {entry.name} {target}")
    for entry in os.scandir("/proc/self/task"):
        with contextlib.suppress(OSError):
            found.update(_named(pid) for pid in Path(entry.path, "children").read_text().split())
    return found


def _named(pid: str) -> str:
    try:
        words = (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        )
    except OSError:
        words = ""
    return f"process {pid} {words or '(ended, not waited for)'}"
