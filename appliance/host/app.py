"""Puts the parts together: one `Host` is one appliance, in a process or in a test's memory."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import traceback
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from appliance.api.contrib import HealthCheck
from appliance.api.errors import ConfigError, NotReady, StoreError
from appliance.api.model import Health, Level, PluginState, PluginStatus, Problem
from appliance.api.services import HostView
from appliance.core.bus import Bus
from appliance.core.cells import Cell
from appliance.core.clock import Clock, SystemClock
from appliance.core.config import Config
from appliance.core.routes import RouteTable
from appliance.core.services import Services
from appliance.core.tasks import spawn
from appliance.dataplane.interface import DataPlane
from appliance.host import collect, health, reload, state_folder
from appliance.host.admin import AdminSocket
from appliance.host.backoff import Timing
from appliance.host.blame import Blame
from appliance.host.cancelling import Guard
from appliance.host.changes import Changes, Patience
from appliance.host.contexts import PluginContext, Shared
from appliance.host.faults import Faults
from appliance.host.guards import guarded
from appliance.host.inside import Inside
from appliance.host.lag import LagMonitor
from appliance.host.leftovers import belongs
from appliance.host.loader import Loaded, Plugins
from appliance.host.own_routes import own_routes
from appliance.host.starts import Starts
from appliance.host.strangers import Strangers
from appliance.host.supervisor import Supervised
from appliance.host.watching import Watch
from appliance.kit.installed import Installed
from appliance.settings.sources import MemorySources, Sources
from appliance.store.database import Database
from appliance.store.migrations import NewerDatabase

log = logging.getLogger("timeball.host")

HOUSEKEEPING_S = 60.0
HEALTH_S = 10.0
RECENT_S = 1.0


class Host:
    """The composition root.

    Attributes:
        supervised: every plugin by id, also those that failed to load.
        health: the latest fold.
        started_at: epoch seconds.
        started_ns: the same moment on the monotonic clock.
        plugins_in_force: the folder of installed plugins that were loaded, "" for none.
    """

    def __init__(self, config: Config, plugins: Plugins, plane: DataPlane, *, clock: Clock | None = None,
                 timing: Timing | None = None, admin: bool = True, version: str = "", sources: Sources | None = None,
                 patience: Patience | None = None) -> None:  # fmt: skip
        self.config = config
        self.plugins = plugins
        self.clock = clock or SystemClock()
        self.version = version
        self.plane = plane
        self.supervised: dict[str, Supervised] = {}
        self._timing = timing or Timing()
        self.state_dir = Path(config.appliance.state_dir)
        self.bus = Bus()
        self.services = Services()
        self.faults = Faults(SystemClock())
        self.blame = Blame(self.faults, self._owner_of)
        self.routes = RouteTable(failed=self.blame.route_failed)
        self.store = Database(self.state_dir / "timeball.db", clock=self.clock)
        # The loop's lateness is real, whatever time it plays with.
        self.lag = LagMonitor(SystemClock(), owner=self._owner_of, blame=self.blame.stalled)
        self.strangers = Strangers(plugins)
        self.guard = Guard(self.strangers, self.blame.cancels)
        self.watch = Watch(self)
        self.health: Cell[Health] = Cell(Health(Level.OK), clock=self.clock, name="health")
        self._looking = asyncio.Lock()
        self._looked_s = float("-inf")
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="timeball-work")
        self.shared = Shared(self.clock, self.services, self.bus, self.store, self.state_dir, self._threads)
        self._admin = AdminSocket(self.state_dir / "admin.sock", self.routes) if admin else None
        self.changes = Changes(self, sources or MemorySources(config.layers, ()), patience or Patience())
        self.starts: Starts | None = None  # given by whoever runs it as a process
        self.started_at = self.clock.wall_ns() / 1e9
        self.started_ns = self.clock.monotonic_ns()
        self.plugins_in_force = Installed(self.state_dir).in_force()
        self.beside: list[Callable[[], Coroutine[Any, Any, None]]] = []  # runs from the start to the end
        self._tasks: list[asyncio.Task[Any]] = []
        self._without_tables: set[str] = set()
        self.services.provide(RouteTable, self.routes, owner="host")
        self.services.provide(DataPlane, plane, owner="host")  # type: ignore[type-abstract]
        self.services.provide(HostView, Inside(self), owner="host")  # type: ignore[type-abstract]

    # -- start ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Set everything up and start every plugin; a plugin that cannot is FAILED and nothing more.

        Raises:
            OSError: the state folder or the admin socket cannot be made.
        """
        if self._admin is not None:
            self._admin.check()
        state_folder.make(self.state_dir)
        self.routes.mount("host", own_routes(self))
        self._tasks = [spawn(beside(), name="host:beside") for beside in self.beside]
        await self.store.open()
        self.routes.starting = True
        if self._admin is not None:
            await self._admin.start()
        for loaded in self._in_order():
            await self._set_up(loaded)
        self.routes.starting = False
        for supervised in self.supervised.values():
            if supervised.status.state is PluginState.LOADED:
                supervised.start()
        await self.changes.resume()
        self._tasks += [
            spawn(self.lag.run(), name="host:lag"),
            spawn(self._housekeeping(), name="host:housekeeping"),
            spawn(self._watch_health(), name="host:health"),
            *(spawn(work, name=f"host:{what}") for what, work in self.watch.beside()),
        ]

    def _in_order(self) -> list[Loaded]:
        """Plugins to set up, providers first; the others are entered as FAILED or DISABLED."""
        wanted = []
        for loaded in self.plugins.found:
            if loaded.left_out:
                self._enter(loaded).disable("left out: safe mode")
            elif loaded.error:
                self._enter(loaded).fail(loaded.error)
                log.error("the plugin %s (%s) %s\n%s", loaded.id, loaded.origin, loaded.error, loaded.detail)
            elif not self.enabled(loaded):
                self._enter(loaded).disable(
                    "switched off in the configuration"
                    if loaded.id in self.config.enabled
                    else "not asked for"
                )
            else:
                wanted.append(loaded)
        ordered = collect.order(wanted)
        for loaded in wanted:
            if loaded not in ordered:
                self._enter(loaded).fail(loaded.error)
                log.error("the plugin %s %s", loaded.id, loaded.error)
        return ordered

    def enabled(self, loaded: Loaded) -> bool:
        """Whether the configuration in force wants the plugin to run."""
        assert loaded.info is not None
        return self.config.enabled.get(loaded.id, loaded.info.enabled)

    def _enter(self, loaded: Loaded) -> Supervised:
        info = loaded.info
        ctx = PluginContext(
            loaded.id, self.config.plugins.get(loaded.id), self.shared, info.provides if info else ()
        )
        run = partial(self._run, loaded) if "run" in loaded.hooks else None
        status = PluginStatus(
            loaded.id, info.title if info else loaded.id, PluginState.LOADED,
            since=self.clock.wall_ns() / 1e9, version=loaded.version, origin=loaded.origin, hooks=loaded.hooks,
        )  # fmt: skip
        key = loaded.id if loaded.id not in self.supervised else f"{loaded.id} ({loaded.origin})"
        self.supervised[key] = Supervised(
            ctx, run, status, self._timing, module=loaded.module.__name__ if loaded.module else "",
            on_left=partial(self.blame.left_behind, loaded.id),
        )  # fmt: skip
        return self.supervised[key]

    def loaded(self, plugin_id: str) -> Loaded:
        """A plugin that could be loaded. Raises LookupError when there is none of that id."""
        for loaded in self.plugins.good():
            if loaded.id == plugin_id:
                return loaded
        raise LookupError(f"there is no plugin {plugin_id}")

    def _owner_of(self, module: str) -> str:
        """The plugin whose code a module holds, or ""."""
        return next(
            (p.id for p in self.plugins.good() if p.module and belongs(p.module.__name__, module)), ""
        )

    async def _set_up(self, loaded: Loaded) -> None:
        """The synchronous phase of one plugin: all of it, or nothing."""
        for line in loaded.deprecated:
            log.warning("the plugin %s (%s) uses what will go: %s", loaded.id, loaded.origin, line)
        supervised = self._enter(loaded)
        ctx = supervised.ctx
        assert loaded.info is not None
        began_s = time.monotonic()
        missing = [kind.__name__ for kind in loaded.info.requires if self.services.find(kind) is None]
        try:
            if missing:
                raise LookupError(f"needs {', '.join(missing)}, which no running plugin provides")
            collect.call(self.plugins, loaded, "setup", ctx=ctx)
            contributed = {
                hook: tuple(guarded(self.faults, loaded.id, item) for item in items)
                for hook, items in collect.collect(self.plugins, loaded, ctx).items()
            }
            self.routes.mount(loaded.id, contributed.get("routes", ()))
            self.shared.contribute(loaded.id, contributed)
            await self._migrate(loaded)
            self.store.retain(loaded.id, contributed.get("retention", ()))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this plugin's and stays there
            self._withdraw(loaded.id)
            told = isinstance(error, (ConfigError, LookupError, NewerDatabase))  # no fault in code
            why = str(error) if told else f"{type(error).__name__}: {error}"
            supervised.fail(why)
            detail = "" if told else "\n" + traceback.format_exc()
            log.error("the plugin %s cannot be set up: %s%s", loaded.id, why, detail)

        if not loaded.builtin:
            self.blame.set_up(loaded.id, time.monotonic() - began_s + loaded.import_s)

    async def _migrate(self, loaded: Loaded) -> None:
        """Bring a plugin's tables up to date; a disk that cannot be written now is waited for by `_run`."""
        try:
            await self.store.migrate(loaded.id, self.shared.contributions[loaded.id].get("migrations", ()))
        except StoreError:
            if "run" not in loaded.hooks:
                raise
            self._without_tables.add(loaded.id)
        else:
            self._without_tables.discard(loaded.id)

    async def _run(self, loaded: Loaded, ctx: Any) -> None:
        """One run of a plugin, once its tables are there."""
        if loaded.id in self._without_tables:
            await self._migrate(loaded)
        if loaded.id in self._without_tables:
            raise NotReady("its tables cannot be made: the database cannot be written now")
        await collect.call(self.plugins, loaded, "run", ctx=ctx)

    def _withdraw(self, plugin_id: str) -> None:
        self.services.withdraw(plugin_id)
        self.routes.unmount(plugin_id)
        self.shared.withdraw(plugin_id)
        self.faults.forget(plugin_id)

    def forget(self, plugin_id: str) -> None:
        """Withdraw everything of a plugin that has stopped, as if it had never been there."""
        self._withdraw(plugin_id)
        self.strangers.forget()
        self.supervised.pop(plugin_id, None)

    async def enter(self, loaded: Loaded) -> None:
        """Set up a plugin that was loaded after the start, or enter why it cannot be."""
        self.strangers.forget()
        if loaded.error:
            self._enter(loaded).fail(loaded.error)
        elif not self.enabled(loaded):
            self._enter(loaded).disable("switched off in the configuration")
        else:
            await self._set_up(loaded)

    # -- while it runs ----------------------------------------------------------------------------------------------

    def statuses(self) -> list[PluginStatus]:
        return [supervised.status for supervised in self.supervised.values()]

    async def reload(self, config: Config) -> dict[str, list[str]]:
        """Take a new configuration: what can change live does, the rest is told. See `appliance.host.reload`."""
        return reload.apply(self, config)

    async def take(self, plugin_id: str, config: Config) -> None:
        """Run one plugin with its part of `config`, or not at all when that switches it off; the others go on.

        A plugin that provides services keeps them, and only its `run` starts again: others hold them. Any other plugin
        is set up anew.
        """
        plugins = {**self.config.plugins, plugin_id: config.plugins[plugin_id]}
        enabled = {k: v for k, v in self.config.enabled.items() if k != plugin_id}
        if plugin_id in config.enabled:
            enabled[plugin_id] = config.enabled[plugin_id]
        self.config = replace(self.config, plugins=plugins, enabled=enabled, layers=config.layers)
        supervised = self.supervised[plugin_id]
        loaded = self.loaded(plugin_id)
        assert loaded.info is not None
        wanted, there = self.enabled(loaded), plugin_id in self.shared.contributions
        log.info("%s %s", plugin_id, "starts again" if wanted else "is switched off")
        if not await supervised.stop():
            return  # it hangs; its state says so
        if wanted and there and loaded.info.provides:
            supervised.ctx.config_changes.set(plugins[plugin_id])
            supervised.start()
            return
        self._withdraw(plugin_id)
        del self.supervised[plugin_id]
        if not wanted:
            self._enter(loaded).disable("switched off in the configuration")
            return
        await self._set_up(loaded)
        if self.supervised[plugin_id].status.state is PluginState.LOADED:
            self.supervised[plugin_id].start()

    async def _housekeeping(self) -> None:
        while True:
            await self.clock.sleep(HOUSEKEEPING_S)
            try:
                await self.store.housekeeping()
            except Exception:
                log.exception("keeping house in the database failed; it is tried again")

    async def _watch_health(self) -> None:
        with self.bus.bell(*health.TURNS) as turned:
            while True:
                await self.refresh_health()
                await health.until_next(turned, self.clock.sleep, HEALTH_S)

    async def refresh_health(self) -> Health:
        """Ask every check now."""
        checks = [(plugin, check) for plugin, hooks in self.shared.contributions.items()
                  for check in hooks.get("health_checks", ()) if isinstance(check, HealthCheck)]  # fmt: skip
        found = await health.ask(checks) + self.own_problems()
        folded = health.fold(self.statuses(), found, self.clock.wall_ns() / 1e9)
        self.health.set(folded)
        self._looked_s = asyncio.get_running_loop().time()
        return folded

    async def recent_health(self) -> Health:
        """As it was a moment ago: who asks all the time does not make all checks work all the time."""
        async with self._looking:
            if asyncio.get_running_loop().time() - self._looked_s < RECENT_S:
                return self.health.get()
            return await self.refresh_health()

    def own_problems(self) -> list[Problem]:
        """What the host itself finds wrong: store, settings, event loop."""
        problems = [*self.store.problems(), *self.changes.problems()]
        problems += self.starts.problems() if self.starts is not None else []
        if self.lag.lag.last_s > 1.0:
            problems.append(
                Problem(
                    "host",
                    Level.DEGRADED,
                    f"the event loop is {self.lag.lag.last_s:.1f} s late ({self.lag.lag.last_culprit})",
                )
            )
        return problems

    def restart_soon(self) -> None:
        """Have the process begin anew, once the answer to whoever asked for it has left."""

        async def soon() -> None:
            await self.clock.sleep(self.changes.patience.answer_s)
            self.changes.restart()

        self._tasks.append(spawn(soon(), name="host:restart"))

    # -- stop -------------------------------------------------------------------------------------------------------

    async def stop(self) -> bool:
        """Stop everything; False when something had to be abandoned and the process should leave hard."""
        await self.changes.stop()
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self._tasks, return_exceptions=True)
        clean = all(await asyncio.gather(*(s.stop() for s in self.supervised.values())))
        if self._admin is not None:
            await self._admin.stop()
        await self.store.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        return clean
