"""Makes changes of the configuration on a running appliance, watches what comes of them, and takes bad ones back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from appliance.api.errors import ApiError, Conflict
from appliance.api.events import ConfigChanged
from appliance.api.model import Level, PluginState, Problem
from appliance.core.config import Config, dotted
from appliance.core.tasks import spawn
from appliance.host import reload
from appliance.host.handed_notes import handed_notes
from appliance.settings.editor import Editor, Plan
from appliance.settings.effects import Effect, effects, worst
from appliance.settings.history import Entry, History
from appliance.settings.placing import Change, Locked
from appliance.settings.sources import Sources
from appliance.settings.tables import BY_HAND

if TYPE_CHECKING:
    from appliance.host.app import Host

log = logging.getLogger("timeball.host")

_LOOK_S = 0.25
#: How long the overview tells of a change that was taken back by itself.
_TOLD_S = 3600.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a change is given.

    Attributes:
        watch_s: a plugin that ran before and fails within it takes the change back.
        grace_s: a plugin that was not ready for so long counts as failed.
        confirm_s: so long somebody has to confirm a change that could cut him off.
        answer_s: between the answer to whoever asked and the restart that would swallow it.
    """

    watch_s: float = 20.0
    grace_s: float = 6.0
    confirm_s: float = 120.0
    answer_s: float = 0.5


class Changes:
    """One change at a time.

    Attributes:
        editor: plans and writes.
        patience: how long a change is given.
        history: what was changed.
        restart: asked to start the process anew; None where there is no process of our own (tests).
    """

    def __init__(self, host: Host, sources: Sources, patience: Patience) -> None:
        self._host = host
        self.patience = patience
        self.editor = Editor(sources, {})
        self.learn()
        self.history = History(host.state_dir / "config-history")
        self.restart: Any = None
        self._lock = asyncio.Lock()
        self._work: asyncio.Task[None] | None = None
        self._kept = asyncio.Event()
        self._deadline_ns: int | None = None
        self._latest: Entry | None = None
        self._not_ready_ns: dict[str, int] = {}
        self._judging = False

    def learn(self) -> None:
        """Take the models of the plugins as they are now: at the start, and when one was edited."""
        plugins = self._host.plugins
        models = {p.id: p.info.config for p in plugins.good() if p.info is not None}
        self.editor.learn(models, [p.id for p in plugins.found if p.error])

    # -- asked from outside -----------------------------------------------------------------------------------------

    async def plan(self, changes: Sequence[Change], revision: str = "") -> tuple[Plan, list[Effect]]:
        """Check a change and tell what it does; nothing is written. Raises as `Editor.plan`."""
        for path, _ in changes:
            if path in BY_HAND:
                raise Locked(f"{dotted(path)} is not changed while it runs: {BY_HAND[path]}")
        plan = await self._thread(self.editor.plan, changes, revision)
        return self._told(plan)

    async def plan_undo(self, number: int) -> tuple[Plan, list[Effect], Entry]:
        """The way back from a change; nothing is written. Raises as `Editor.restore`."""
        entry = await self._thread(self.history.get, number)
        plan = await self._thread(self.editor.restore, entry.files)
        return *self._told(plan), entry

    def _told(self, plan: Plan) -> tuple[Plan, list[Effect]]:
        """A plan with what it does, and what it cannot do."""
        found = self.effects(plan.config)
        beside = handed_notes(plan.config, [effect.key for effect in found])
        return replace(plan, notes=(*plan.notes, *beside)), found

    async def apply(self, plan: Plan, actor: str, *, undoes: int = 0) -> Entry:
        """Write a plan and begin to carry it out; `state_of` tells what became of it.

        Raises:
            Conflict: the files changed meanwhile, or another change still has to be judged.
            Refused: they cannot be written.
        """
        async with self._lock:
            if self._work is not None and not self._work.done():
                await self._step_aside(undoes)
            return await self._begin(plan, actor, undoes)

    async def _step_aside(self, undoes: int) -> None:
        """The next change comes while this one is judged: one that only is watched, and well so far, counts as kept.

        Raises:
            Conflict: this one is not done yet, or waits for somebody to confirm it.
        """
        entry = self._latest
        assert entry is not None
        assert self._work is not None
        if entry.id != undoes and entry.state == "waiting":
            raise Conflict(f"change {entry.id} waits to be confirmed or taken back first")
        if not self._judging or (entry.id != undoes and self._trouble(entry, set(entry.running))):
            raise Conflict(f"change {entry.id} is still being carried out; try again in a moment")
        self._work.cancel()
        await asyncio.wait({self._work})
        await self._close(replace(entry, state="kept"))

    async def keep(self, number: int) -> Entry:
        """Confirm a change that waits for it.

        Raises:
            NotFound: there is no such change.
            Conflict: it does not wait.
        """
        entry: Entry = await self._thread(self.history.get, number)
        if entry.state == "kept":
            return entry
        if not entry.open or self._latest is None or self._latest.id != number:
            raise Conflict(f"change {number} was taken back{': ' + entry.why if entry.why else ''}")
        self._kept.set()
        if self._work is not None:
            await asyncio.wait({self._work}, timeout=2 * _LOOK_S + 1)
        kept: Entry = await self._thread(self.history.get, number)
        return kept

    async def entries(self) -> list[Entry]:
        """The history, the latest first."""
        found: list[Entry] = await self._thread(self.history.entries)
        return found

    async def entry(self, number: int) -> Entry:
        """One change of it. Raises NotFound."""
        found: Entry = await self._thread(self.history.get, number)
        return found

    async def on_disk(self) -> tuple[Config, str]:
        """What files, environment and command line say now, and the revision.

        Raises:
            BadConfig: it cannot be used.
        """
        found: tuple[Config, str] = await self._thread(self.editor.read)
        return found

    def left_s(self, entry: Entry) -> float | None:
        """Seconds that somebody has left to confirm it, None when it does not wait."""
        if entry.state != "waiting" or self._deadline_ns is None:
            return None
        return max(0.0, (self._deadline_ns - self._host.clock.monotonic_ns()) / 1e9)

    def effects(self, config: Config) -> list[Effect]:
        """What it takes to get from what is in force to `config`."""
        return effects(self._host.config, config, self._provides)

    def problems(self) -> list[Problem]:
        """What a person should know about the latest change."""
        entry = self._latest
        if entry is None:
            return []
        if entry.state == "waiting":
            left = self.left_s(entry) or 0.0
            return [Problem("settings", Level.DEGRADED, f"change {entry.id} is taken back in {left:.0f} s unless it is "
                            "confirmed", f"`timeball config keep {entry.id}`, or the button on the settings page")]  # fmt: skip
        young = self._host.clock.wall_ns() / 1e9 - entry.ts < _TOLD_S
        if entry.state == "reverted" and young:
            return [Problem("settings", Level.DEGRADED, f"change {entry.id} ({', '.join(entry.keys)}) was taken back: "
                            f"{entry.why}", "correct the value and try again")]  # fmt: skip
        return []

    # -- carrying out -----------------------------------------------------------------------------------------------

    async def _begin(self, plan: Plan, actor: str, undoes: int) -> Entry:
        needed = self.effects(plan.config)
        how = worst(needed)
        if how == "process" and self.restart is None:
            raise Conflict("this change needs a restart of the process, which cannot restart itself here")
        out = any(effect.locks_out for effect in needed) and not undoes
        running = tuple(s.id for s in self._host.statuses() if s.state is PluginState.RUNNING)
        entry = await self._thread(self.history.add, Entry(
            0, self._host.clock.wall_ns() / 1e9, actor, plan.keys, plan.files, "applying", undoes=undoes,
            effects=tuple((e.key, e.how) for e in needed), running=running,
        ))  # fmt: skip
        try:
            await self._thread(self.editor.commit, plan)
        except ApiError as error:
            await self._thread(self.history.update, replace(entry, state="reverted", why=str(error)))
            raise
        log.info("%s changed %s (change %d)", actor, ", ".join(plan.keys) or "nothing", entry.id)
        await self._put(replace(entry, state="waiting" if out else "watching"))
        assert self._latest is not None
        self._start_clock()
        if how == "live":
            await self._enact(plan.config, needed)
            self._work = spawn(self._judge({e.plugin for e in needed}), name="host:change")
        else:
            self._work = spawn(self._carry_out(plan.config, needed), name="host:change")
        return self._latest

    async def _carry_out(self, config: Config, needed: Sequence[Effect]) -> None:
        how = worst(needed)
        await self._host.clock.sleep(self.patience.answer_s)
        if how == "process":
            reload.apply(self._host, config, quiet={e.plugin for e in needed if e.how != "live"})
            self.restart()
            return  # the next process goes on with `resume`
        await self._enact(config, needed)
        await self._judge({e.plugin for e in needed})

    async def _enact(self, config: Config, needed: Sequence[Effect]) -> None:
        restarting = {e.plugin for e in needed if e.how == "plugin"}
        reload.apply(self._host, config, quiet=restarting)
        for plugin_id in sorted(restarting):
            await self._host.take(plugin_id, config)

    async def _judge(self, affected: set[str]) -> None:
        """Watch, until it is kept or has to be taken back."""
        entry = self._latest
        assert entry is not None
        self._judging = True
        while True:
            if why := self._trouble(entry, affected):
                await self._take_back(entry, why)
                return
            if self._kept.is_set():
                break
            assert self._deadline_ns is not None
            if self._host.clock.monotonic_ns() >= self._deadline_ns:
                if entry.state == "waiting":
                    await self._take_back(entry, "nobody confirmed it in time")
                    return
                break
            await self._host.clock.sleep(_LOOK_S)
        await self._close(replace(entry, state="kept"))

    def _trouble(self, entry: Entry, affected: set[str]) -> str:
        now_ns = self._host.clock.monotonic_ns()
        over = self._deadline_ns is not None and now_ns >= self._deadline_ns
        for status in self._host.statuses():
            if status.id not in affected or status.id not in entry.running:
                continue
            if status.state is PluginState.RUNNING:
                self._not_ready_ns.pop(status.id, None)
            elif status.state is PluginState.BACKOFF:
                self._not_ready_ns.setdefault(status.id, now_ns)
            since_ns = self._not_ready_ns.get(status.id, now_ns)
            late = now_ns - since_ns > self.patience.grace_s * 1e9 or (
                over and status.id in self._not_ready_ns
            )
            if status.state is PluginState.FAILED or late:
                return f"{status.title} does not run with it: {status.why or 'it is not ready'}"
        return ""

    async def _take_back(self, entry: Entry, why: str) -> None:
        log.error("change %d (%s) is taken back: %s", entry.id, ", ".join(entry.keys), why)
        try:
            plan = await self._thread(self.editor.restore, entry.files)
            await self._thread(self.editor.commit, plan)
        except ApiError as error:
            log.error("change %d cannot be taken back: %s", entry.id, error)
            await self._close(replace(entry, state="kept", why=f"{why}; it could not be taken back: {error}"))
            return
        needed = self.effects(plan.config)
        await self._close(replace(entry, state="reverted", why=why))
        if worst(needed) == "process" and self.restart is not None:
            self.restart()
            return
        await self._enact(plan.config, needed)

    async def resume(self) -> None:
        """Go on judging a change for which the process was started anew."""
        entry = await self._thread(self.history.pending)
        if entry is None:
            return
        entry = replace(entry, starts=entry.starts + 1)
        await self._put(entry)
        self._start_clock()
        self._work = spawn(self._judge(set(entry.running)), name="host:change")

    async def stop(self) -> None:
        if self._work is not None:
            self._work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({self._work})

    # -- parts ------------------------------------------------------------------------------------------------------

    def _start_clock(self) -> None:
        assert self._latest is not None
        waiting = self._latest.state == "waiting"
        length_s = self.patience.confirm_s if waiting else self.patience.watch_s
        self._kept.clear()
        self._judging = False
        self._not_ready_ns.clear()
        self._deadline_ns = self._host.clock.monotonic_ns() + int(length_s * 1e9)

    async def _put(self, entry: Entry) -> None:
        self._latest = entry
        await self._thread(self.history.update, entry)
        self._host.bus.publish(ConfigChanged(entry.id, entry.state, entry.actor, entry.keys, entry.why))

    async def _close(self, entry: Entry) -> None:
        self._deadline_ns = None
        await self._put(entry)

    def _provides(self, plugin_id: str) -> bool:
        return any(
            p.id == plugin_id and p.info is not None and p.info.provides for p in self._host.plugins.good()
        )

    async def _thread(self, fn: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._host.shared.threads, fn, *args)
