"""What the host hands to a plugin."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from appliance.api.services import Store
from appliance.core.bus import Bus, Overflow, Subscription
from appliance.core.cells import Cell
from appliance.core.clock import Clock

__all__ = ["Bus", "Cell", "Clock", "RunContext", "SetupContext", "Store", "Subscription"]

T = TypeVar("T")
E = TypeVar("E")


class SetupContext(Protocol):
    """For the synchronous phase: build long-lived objects and register them. It cannot wait and cannot spawn.

    Attributes:
        id: the plugin's id.
        config: its validated configuration; after a reload, the new one.
        log: logger named after the plugin.
        clock: the injected clock.
        state_dir: a folder of its own that survives restarts.
    """

    id: str
    config: Any
    log: logging.Logger
    clock: Clock
    state_dir: Path

    def get(self, kind: type[T]) -> T:
        """The service of that type.

        Raises:
            LookupError: nobody provides it.
        """
        ...

    def find(self, kind: type[T]) -> T | None:
        """The service of that type, or None."""
        ...

    def provide(self, kind: type[T], service: T) -> None:
        """Register a service; its type must stand in `PluginInfo.provides`."""
        ...

    def cell(self, name: str, initial: T) -> Cell[T]:
        """A cell on the injected clock."""
        ...

    def contributions(self, kind: type[T]) -> list[T]:
        """What all plugins contributed of that type (complete only after the setup phase: call it late)."""
        ...

    def secret(self, name: str) -> str:
        """Content of STATE_DIR/secrets/<name> or of the service manager's credential of that name.

        Raises:
            ConfigError: there is none, or its permissions let others read it.
        """
        ...

    @property
    def bus(self) -> Bus: ...

    @property
    def store(self) -> Store: ...


class RunContext(SetupContext, Protocol):
    """For `run`: everything of the setup phase, and what lives only as long as this run."""

    config_changes: Cell[Any]

    def ready(self) -> None:
        """Say that the plugin does its work now."""
        ...

    def status(self, text: str) -> None:
        """One line for people about what it does or waits for."""
        ...

    def subscribe(
        self, kind: type[E], *, maxsize: int = 256, overflow: Overflow = "drop_oldest"
    ) -> AbstractContextManager[Subscription[E]]:
        """Receive events from now on."""
        ...

    def spawn(self, name: str, coro: Coroutine[Any, Any, Any]) -> None:
        """Run `coro` as a child of this run: its failure is the plugin's failure, it ends with the run."""
        ...

    def every(
        self, interval_s: float, fn: Callable[[], Awaitable[None] | None], *, jitter: float = 0.0
    ) -> None:
        """Call `fn` every `interval_s` seconds without overlap, each time moved by up to `jitter` x the interval."""
        ...

    async def to_thread(self, fn: Callable[..., T], *args: Any) -> T:
        """Run blocking `fn` in a thread, at most two at a time for each plugin."""
        ...

    def on_stop(self, fn: Callable[[], Any]) -> None:
        """Call (or await) `fn` when this run ends, however it ends; last registered first."""
        ...
