"""Keeps plugins running: one plugin is one task tree, started, judged and restarted as a whole, alone.

    LOADED -> STARTING -> RUNNING -> STOPPING -> STOPPED
                 |  ^        |
                 v  |        v
               BACKOFF <-----+        FAILED, DISABLED

What `run` raises is its instruction (see `appliance.api.errors`): not ready, needs a person, or a bug.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import traceback
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from appliance.api.errors import ConfigError, NotReady
from appliance.api.events import PluginChanged
from appliance.api.model import PluginState, PluginStatus
from appliance.core.contained import contained
from appliance.core.tasks import current_plugin, spawn
from appliance.host.backoff import Timing
from appliance.host.cancelling import OwnedTask
from appliance.host.contexts import PluginContext, RunningContext
from appliance.host.leftovers import end_tasks, threads_of

log = logging.getLogger("timeball.host")

_ASYNCIO = asyncio.__path__[0]

Run = Callable[[Any], Awaitable[None]]


class SelfCancelled(Exception):
    """The plugin awaited something that was cancelled, and died of it without anybody asking it to stop."""


class Supervised:
    """One plugin and its life.

    Attributes:
        status: state and reasons, for pages, CLI and health.
    """

    def __init__(self, ctx: PluginContext, run: Run | None, status: PluginStatus, timing: Timing, *,
                 module: str = "", on_left: Callable[[str], None] = log.warning) -> None:  # fmt: skip
        """One plugin that does not run yet.

        Args:
            ctx: its context.
            run: its `run`, when it has one.
            status: how it begins.
            timing: waits and limits.
            module: module or package that its code is in: tasks of it that outlive a run are ended.
            on_left: told, in words, what a run left behind.
        """
        self.ctx = ctx
        self.status = status
        self._run = run
        self._timing = timing
        self._module = module
        self._on_left = on_left
        self._opened: RunningContext | None = None
        self._life: asyncio.Task[None] | None = None
        self._body: asyncio.Task[None] | None = None
        self._bugs: deque[int] = deque(maxlen=timing.strikes)
        self._attempt = 0
        self._waiting_told = False
        self._kick = asyncio.Event()
        self._running_since_ns: int | None = None

    # -- asked by the host ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin; returns at once."""
        if self._run is None:
            self._set(PluginState.RUNNING, "")
            return
        context = contextvars.copy_context()
        context.run(current_plugin.set, self.ctx.id)
        self._life = spawn(self._live(self._run), name=f"{self.ctx.id}:life", context=context)

    async def stop(self) -> bool:
        """Cancel and wait; False when the plugin swallowed the cancellation and was abandoned."""
        life, body = self._life, self._body
        if life is None:
            await self._sweep()
            self._set(PluginState.STOPPED, "")
            return True
        if self.status.state not in (PluginState.FAILED, PluginState.DISABLED):
            self._set(PluginState.STOPPING, "")
        life.cancel()
        if body is not None:
            body.cancel()
        waiting = {life} if body is None else {life, body}
        _, pending = await asyncio.wait(waiting, timeout=self._timing.stop_s)
        if pending:
            log.error("%s does not stop within %.0f s and is abandoned; it hangs in:\n%s",
                      self.ctx.id, self._timing.stop_s, _where(body or life))  # fmt: skip
            self._set(PluginState.FAILED, "did not stop when asked to")
            return False
        await self._sweep()
        if self.status.state is PluginState.STOPPING:
            self._set(PluginState.STOPPED, "")
        self._life = None
        return True

    def retry_now(self) -> None:
        """End the wait of BACKOFF or FAILED (the configuration changed, or a person asked)."""
        self._attempt = 0
        self._bugs.clear()
        self._kick.set()

    def fail(self, why: str) -> None:
        """Mark as FAILED before it ever ran (loading, setup, migration)."""
        self._set(PluginState.FAILED, why)

    def disable(self, why: str) -> None:
        self._set(PluginState.DISABLED, why)

    # -- its life ---------------------------------------------------------------------------------------------------

    async def _live(self, run: Run) -> None:
        """Run, judge, wait, again; ends when cancelled or when `run` returns."""
        while True:
            self._kick.clear()
            self._set(PluginState.STARTING, "")
            self._running_since_ns = None
            self._body = spawn(self._run_once(run), name=f"{self.ctx.id}:run")
            if isinstance(self._body, OwnedTask):
                self._body.owner = self.ctx.id  # it may end itself
            watchdog = spawn(self._tell_when_slow(), name=f"{self.ctx.id}:watchdog")
            try:
                await asyncio.wait({self._body})
            finally:
                watchdog.cancel()
            await self._sweep()
            wait_s = self._judge(self._body)
            if wait_s is None:
                return
            await self._pause(wait_s)
            self.status = replace(self.status, restarts=self.status.restarts + 1)

    async def _run_once(self, run: Run) -> None:
        # Around the group: a task of it may want to end the process, too.
        with contained():
            await self._run_in_group(run)

    async def _run_in_group(self, run: Run) -> None:
        async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            ctx = RunningContext(self.ctx, group, stack, self._became_ready, self._said)
            self._opened = ctx
            try:
                await run(ctx)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and not task.cancelling():
                    raise SelfCancelled("it awaited something that had been cancelled") from None
                raise
            for child in ctx.children:
                child.cancel()

    async def _sweep(self) -> None:
        """Take away what the run should have: tasks of its own making, subscriptions that it keeps open."""
        ctx, self._opened = self._opened, None
        left = [f"the subscription to {kind}" for kind in (ctx.close() if ctx is not None else ())]
        left += [f"the task {name}" for name in await end_tasks(self._module)]
        if left:
            self._on_left(
                f"it left {len(left)} behind that outlived it and had to be ended: {', '.join(left[:5])}"
            )
        threads = threads_of(self._module)
        if threads:
            self._on_left(
                f"{len(threads)} threads of it outlived it, which nobody can end but itself: {', '.join(threads[:5])}"
            )

    def _judge(self, body: asyncio.Task[None]) -> float | None:
        """Turn the outcome into a state; seconds to wait before the next try, None for the end."""
        # Whoever asks it to stop ends its life first: here it has cancelled itself.
        error = SelfCancelled("it cancelled its own run") if body.cancelled() else body.exception()
        if error is None:
            log.info("%s has finished its work", self.ctx.id)
            self._set(PluginState.STOPPED, "finished its work")
            return None
        self._forget_old_trouble()
        leaves = _leaves(error)
        config_error = next((leaf for leaf in leaves if isinstance(leaf, ConfigError)), None)
        if config_error is not None:
            log.error("%s cannot work with its configuration: %s", self.ctx.id, config_error)
            self._set(PluginState.FAILED, str(config_error))
            return float("inf")
        self._attempt += 1
        if all(isinstance(leaf, NotReady) for leaf in leaves):
            return self._back_off(str(leaves[0]), bug=False)
        return self._strike(error, leaves)

    def _strike(self, error: BaseException, leaves: list[BaseException]) -> float:
        now_ns = self.ctx.clock.monotonic_ns()
        self._bugs.append(now_ns)
        why = f"{type(leaves[0]).__name__}: {leaves[0]}"
        log.error(
            "%s failed and will be restarted:\n%s",
            self.ctx.id,
            "".join(traceback.format_exception(error)).rstrip(),
        )
        window_ns = int(self._timing.strike_window_s * 1e9)
        if len(self._bugs) == self._timing.strikes and now_ns - self._bugs[0] <= window_ns:
            log.error(
                "%s failed %d times within a minute: giving up for now", self.ctx.id, self._timing.strikes
            )
            self._bugs.clear()
            self._attempt = 0
            self._set(PluginState.FAILED, why)
            return self._timing.failed_retry_s
        return self._back_off(why, bug=True)

    def _back_off(self, why: str, *, bug: bool) -> float:
        if not bug:
            log.log(
                logging.DEBUG if self._waiting_told else logging.WARNING,
                "%s is not ready: %s",
                self.ctx.id,
                why,
            )
            self._waiting_told = True
        self._set(PluginState.BACKOFF, why)
        return self._timing.wait_s(self._attempt, self.ctx.shared.rng)

    async def _pause(self, wait_s: float) -> None:
        kicked = spawn(self._kick.wait(), name=f"{self.ctx.id}:kick")
        waits: set[asyncio.Task[Any]] = {kicked}
        if wait_s != float("inf"):
            waits.add(spawn(self.ctx.clock.sleep(wait_s), name=f"{self.ctx.id}:backoff"))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _forget_old_trouble(self) -> None:
        if self._running_since_ns is None:
            return
        ran_s = (self.ctx.clock.monotonic_ns() - self._running_since_ns) / 1e9
        if ran_s >= self._timing.settled_s:
            self._attempt = 0
            self._bugs.clear()

    async def _tell_when_slow(self) -> None:
        await self.ctx.clock.sleep(self._timing.ready_s)
        if self.status.state is PluginState.STARTING and self._body is not None:
            where = _where(self._body)
            log.warning(
                "%s is still starting after %.0f s; it waits in:\n%s",
                self.ctx.id,
                self._timing.ready_s,
                where,
            )
            self._set(PluginState.STARTING, f"still starting after {self._timing.ready_s:.0f} s")

    # -- said by the plugin -----------------------------------------------------------------------------------------

    def _became_ready(self) -> None:
        if self.status.state is PluginState.STARTING:
            self._running_since_ns = self.ctx.clock.monotonic_ns()
            if self._waiting_told:
                log.info("%s is ready again", self.ctx.id)
                self._waiting_told = False
            self._set(PluginState.RUNNING, "")

    def _said(self, text: str) -> None:
        if text != self.status.text:
            self.status = replace(self.status, text=text)

    def _set(self, state: PluginState, why: str) -> None:
        if (state, why) == (self.status.state, self.status.why):
            return
        self.status = replace(
            self.status, state=state, why=why, since=self.ctx.clock.wall_ns() / 1e9, strikes=len(self._bugs)
        )
        log.debug("%s: %s %s", self.ctx.id, state, why)
        self.ctx.bus.publish(PluginChanged(self.status))


def _leaves(error: BaseException) -> list[BaseException]:
    """The exceptions inside (nested) groups."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


def _where(task: asyncio.Task[Any]) -> str:
    """The innermost line of the plugin's own code that a task hangs in (asyncio's own lines say nothing)."""
    found = "  (not running)"
    coro: Any = task.get_coro()
    while coro is not None and getattr(coro, "cr_frame", None) is not None:
        frame = coro.cr_frame
        if not frame.f_code.co_filename.startswith(_ASYNCIO):
            found = f"  {frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
        coro = coro.cr_await
    return found
