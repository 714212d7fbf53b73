"""Fixtures for pytest. Not loaded by itself: say `pytest_plugins = ["appliance.testing.fixtures"]` in your conftest.py.

Installing the appliance must not change the test-suites of people who test something else, so there is no entry point.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import pytest_asyncio

from appliance.core.clock import FakeClock
from appliance.testing import RunningAppliance, running
from appliance.testing.pool import VirtualPool, virtual_pool

Start = Callable[..., Awaitable[RunningAppliance]]


@pytest.fixture
def clock() -> FakeClock:
    """A clock that moves only when the test says so; the appliance of `run_plugin` runs on it."""
    return FakeClock()


@pytest_asyncio.fixture
async def run_plugin(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Start]:
    """Start an appliance in memory with one plugin, on `clock`, with a store of its own; it ends with the test.

    async def test_it(run_plugin):
        app = await run_plugin(my_plugin, {"every_s": 10})
    """
    async with AsyncExitStack() as stack:

        async def start(
            plugin: str | ModuleType,
            config: Mapping[str, Any] | None = None,
            *others: str | ModuleType,
            **options: Any,
        ) -> RunningAppliance:
            name = plugin if isinstance(plugin, str) else plugin.plugin.id
            tables = {"plugins": {name: dict(config or {})}}
            state_dir = tmp_path / f"state-{name}"
            app = await stack.enter_async_context(
                running([plugin, *others], tables, state_dir=state_dir, clock=clock, **options)
            )
            await app.until_running(name)
            return app

        yield start


@pytest.fixture(name="virtual_pool")
def _virtual_pool() -> Iterator[Callable[..., VirtualPool]]:
    """Simulated servers with faults by address: `pool = virtual_pool({"127.0.0.11": {"offset_s": 0.3}})`."""
    with ExitStack() as stack:
        yield lambda faults, **options: stack.enter_context(virtual_pool(faults, **options))
