"""The contexts that plugins see: `SetupContext` and `RunContext` made of the host's parts."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from appliance.api.errors import ConfigError
from appliance.api.services import Store
from appliance.core.bus import Bus, Overflow, Subscription
from appliance.core.cells import Cell
from appliance.core.clock import Clock
from appliance.core.services import Services

T = TypeVar("T")
E = TypeVar("E")


@dataclass(slots=True)
class Shared:
    """What all contexts share: the host's parts.

    Attributes:
        contributions: by plugin and hook; changed by `contribute` and `withdraw` alone.
    """

    clock: Clock
    services: Services
    bus: Bus
    store: Store
    state_dir: Path
    threads: ThreadPoolExecutor
    contributions: dict[str, dict[str, tuple[Any, ...]]] = field(default_factory=dict)
    rng: random.Random = field(default_factory=random.SystemRandom)
    _of_type: dict[type, tuple[Any, ...]] = field(default_factory=dict)

    def of_type(self, kind: type[T]) -> list[T]:
        """All contributions of one type, in dependency order of their plugins."""
        found = self._of_type.get(kind)  # asked for with every probe and page
        if found is None:
            found = self._of_type[kind] = tuple(
                item
                for hooks in self.contributions.values()
                for items in hooks.values()
                for item in items
                if isinstance(item, kind)
            )
        return list(found)

    def contribute(self, plugin_id: str, contributed: dict[str, tuple[Any, ...]]) -> None:
        """What a plugin brings, by hook."""
        self.contributions[plugin_id] = contributed
        self._of_type.clear()

    def withdraw(self, plugin_id: str) -> None:
        """Forget what a plugin has brought."""
        self.contributions.pop(plugin_id, None)
        self._of_type.clear()


class PluginContext:
    """Implements `SetupContext`; one for each plugin, for the life of the process."""

    def __init__(self, plugin_id: str, config: Any, shared: Shared, provides: tuple[type, ...]) -> None:
        self.id = plugin_id
        self.log = logging.getLogger(f"timeball.{plugin_id}")
        self.clock = shared.clock
        self.shared = shared
        self._provides = provides
        self.config_changes: Cell[Any] = Cell(config, clock=shared.clock, name=f"{plugin_id}.config")

    @property
    def config(self) -> Any:
        return self.config_changes.get()

    @property
    def state_dir(self) -> Path:
        folder = self.shared.state_dir / self.id
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    @property
    def bus(self) -> Bus:
        return self.shared.bus

    @property
    def store(self) -> Store:
        return self.shared.store

    def get(self, kind: type[T]) -> T:
        return self.shared.services.get(kind)

    def find(self, kind: type[T]) -> T | None:
        return self.shared.services.find(kind)

    def provide(self, kind: type[T], service: T) -> None:
        if kind not in self._provides:
            raise LookupError(f"{kind.__name__} does not stand in PluginInfo.provides of {self.id}")
        self.shared.services.provide(kind, service, owner=self.id)

    def cell(self, name: str, initial: T) -> Cell[T]:
        return Cell(initial, clock=self.clock, name=f"{self.id}.{name}")

    def contributions(self, kind: type[T]) -> list[T]:
        return self.shared.of_type(kind)

    def secret(self, name: str) -> str:
        if "/" in name or name.startswith("."):
            raise ConfigError(name, "is not the name of a secret")
        folders = [self.shared.state_dir / "secrets"]
        if credentials := os.environ.get("CREDENTIALS_DIRECTORY"):
            folders.insert(0, Path(credentials))
        for folder in folders:
            path = folder / name
            if path.is_file():
                if folder == folders[-1] and path.stat().st_mode & 0o077:
                    raise ConfigError(name, f"{path} can be read by others: chmod 600 it")
                return path.read_text(encoding="utf-8").strip()
        raise ConfigError(name, f"there is no secret of that name in {folders[-1]}")


class RunningContext:
    """Implements `RunContext`: one for each run. What it opens ends with the run."""

    def __init__(self, plugin: PluginContext, group: asyncio.TaskGroup, stack: contextlib.AsyncExitStack,
                 on_ready: Callable[[], None], on_status: Callable[[str], None]) -> None:  # fmt: skip
        self._plugin = plugin
        self._group = group
        self._stack = stack
        self._on_ready = on_ready
        self._on_status = on_status
        self._threads = asyncio.Semaphore(2)
        self.children: list[asyncio.Task[Any]] = []
        self._subscriptions: list[Subscription[Any]] = []

    def __getattr__(self, name: str) -> Any:
        # Everything of the setup phase is the same object: id, config, log, clock, get, provide, store, bus, ...
        return getattr(self._plugin, name)

    def ready(self) -> None:
        self._on_ready()

    def status(self, text: str) -> None:
        self._on_status(text)

    @contextlib.contextmanager
    def subscribe(
        self, kind: type[E], *, maxsize: int = 256, overflow: Overflow = "drop_oldest"
    ) -> Iterator[Subscription[E]]:
        bus = self._plugin.bus
        with bus.subscribe(kind, owner=self._plugin.id, maxsize=maxsize, overflow=overflow) as events:
            self._subscriptions.append(events)
            try:
                yield events
            finally:
                self._subscriptions[:] = [s for s in self._subscriptions if s is not events]

    def close(self) -> list[str]:
        """End the subscriptions that the run kept open; names of their events."""
        left, self._subscriptions = self._subscriptions, []
        for events in left:
            self._plugin.bus.drop(events)
        return [events.kind.__name__ for events in left]

    def spawn(self, name: str, coro: Coroutine[Any, Any, Any]) -> None:
        self.children.append(self._group.create_task(coro, name=f"{self._plugin.id}:{name}"))
        self.children[:] = [child for child in self.children if not child.done()]

    def every(
        self, interval_s: float, fn: Callable[[], Awaitable[None] | None], *, jitter: float = 0.0
    ) -> None:
        self.spawn(f"every {getattr(fn, '__name__', 'tick')}", self._repeat(interval_s, fn, jitter))

    async def _repeat(
        self, interval_s: float, fn: Callable[[], Awaitable[None] | None], jitter: float
    ) -> None:
        clock = self._plugin.clock
        due_ns = clock.monotonic_ns()
        while True:
            due_ns += int(interval_s * 1e9)
            now_ns = clock.monotonic_ns()
            due_ns = max(due_ns, now_ns)  # late ticks are dropped, not made up for
            moved_s = interval_s * jitter * self._plugin.shared.rng.uniform(-1, 1)
            await clock.sleep(max(0.001, (due_ns - now_ns) / 1e9 + moved_s))
            result = fn()
            if inspect.isawaitable(result):
                await result

    async def to_thread(self, fn: Callable[..., T], *args: Any) -> T:
        async with self._threads:
            return await asyncio.get_running_loop().run_in_executor(self._plugin.shared.threads, fn, *args)

    def on_stop(self, fn: Callable[[], Any]) -> None:
        async def undo() -> None:
            result = fn()
            if inspect.isawaitable(result):
                await result

        self._stack.push_async_callback(undo)
