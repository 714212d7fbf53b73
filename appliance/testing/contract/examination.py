"""Runs a plugin in an appliance of its own and asks everything that is asked of any plugin."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from appliance.api.contrib import (
    AnswerSource,
    HealthCheck,
    LiveName,
    Metric,
    PacketPolicy,
    Panel,
    ProbeKind,
    Route,
    ScoreRule,
)
from appliance.api.model import PluginState
from appliance.core.tasks import current_plugin, spawn
from appliance.host import loader, patches
from appliance.host.backoff import Timing
from appliance.kit import measure
from appliance.testing import RunningAppliance, running
from appliance.testing.contract import answers, belongings, described, judgements
from appliance.testing.contract.outcome import NOTHING, Outcome
from appliance.testing.contract.stalls import Stalls

#: Under this configuration the built-in plugins that yours may need take no port that somebody else has.
COMPANIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "clock": {"source": "local"},
    "ntp": {"listen": ["127.0.0.1:0"]},
    "dns": {"zone": "pool.example.org", "listen": ["127.0.0.1:0"]},
    "web": {"listen": "127.0.0.1:0"},
    "demo": {"enabled": True, "port": 0},
}
#: How often `run` is cancelled at a random point.
ROUNDS = 5
READY_S = 30.0
_TIMING = Timing(
    backoff_first_s=0.05, backoff_most_s=0.5, settled_s=60, strike_window_s=60, ready_s=30, stop_s=10
)
_DONE = (PluginState.RUNNING, PluginState.STOPPED)


def broken(outcomes: Iterable[Outcome]) -> list[str]:
    """What failed, in words."""
    return [f"{f.check}: {f.why}" for f in outcomes if f.state == "failed"]


async def examine(
    plugin: str | ModuleType,
    config: Mapping[str, Any] | None = None,
    *,
    state_dir: Path,
    exempt: Mapping[str, str] | None = None,
    provide: Mapping[type, object] | None = None,
    seed: int = 0,
) -> list[Outcome]:
    """Ask everything; never raises for what the plugin does.

    Args:
        plugin: the id of an installed plugin, or its module.
        config: its table of the configuration, without what has a good default.
        state_dir: an empty folder.
        exempt: checks that do not apply, each with the reason.
        provide: services that stand in for plugins that are not there.
        seed: of the random points at which it is cancelled.
    """
    outcomes, _ = await examine_and_measure(
        plugin, config, state_dir=state_dir, exempt=exempt, provide=provide, seed=seed
    )
    return outcomes


async def examine_and_measure(
    plugin: str | ModuleType,
    config: Mapping[str, Any] | None = None,
    *,
    state_dir: Path,
    exempt: Mapping[str, str] | None = None,
    provide: Mapping[type, object] | None = None,
    seed: int = 0,
) -> tuple[list[Outcome], dict[str, str]]:
    """The same, and what was seen of each rule of the quality checklist: "" where it holds, else why not."""
    rng = random.Random(seed)  # noqa: S311 - the same points each time, so that a failure can be seen again
    examination = _Examination(state_dir, rng, exempt or {})
    await examination.all(plugin, dict(config or {}), provide or {})
    return examination.outcomes, examination.measured


class _Examination:
    def __init__(self, state_dir: Path, rng: random.Random, exempt: Mapping[str, str]) -> None:
        self.outcomes: list[Outcome] = []
        self.measured: dict[str, str] = {}
        self._state_dir = state_dir
        self._database = state_dir / "timeball.db"
        self._rng = rng
        self._exempt = exempt

    def _tell(self, check: str, faults: Iterable[str], *, applies: bool = True, besides: str = "") -> None:
        found = list(faults)
        if not applies:
            self.outcomes.append(Outcome(check, "skipped", NOTHING))
        elif found and check in self._exempt:
            self.outcomes.append(Outcome(check, "exempt", self._exempt[check]))
        else:
            self.outcomes.append(
                Outcome(check, "failed" if found else "passed", "; ".join(found[:5]) or besides)
            )

    async def all(
        self, plugin: str | ModuleType, config: dict[str, Any], provide: Mapping[type, object]
    ) -> None:
        loaded, module = _load(plugin)
        self._tell("info", [loaded.error] if loaded.error else [])
        if loaded.error or module is None or loaded.info is None:
            return
        own = {**COMPANIONS.get(loaded.id, {}), "enabled": True, **config} if loaded.builtin else config
        self._tell("hooks", described.hook_faults(module, loaded), besides="; ".join(loaded.deprecated))
        self._tell(
            "config", described.config_faults(loaded.info, own), applies=loaded.info.config is not None
        )
        companions = _companions(loaded, provide)
        tables = {key: COMPANIONS.get(key, {}) for key in companions} | {loaded.id: {"enabled": True, **own}}
        before = belongings.of_process(self._database)
        attribution = belongings.Attribution(loaded.id)
        try:
            with attribution.watching():
                async with running(
                    [*companions, plugin if isinstance(plugin, ModuleType) else loaded.id],
                    {"plugins": tables}, state_dir=self._state_dir, provide=provide, timing=_TIMING,
                ) as app:  # fmt: skip
                    await self._alive(app, loaded, module, attribution)
        except AssertionError as error:
            self._tell("stops", [str(error)])
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a outcome
            self._tell("starts", [f"{type(error).__name__}: {error}"])
            return
        else:
            self._tell("stops", [])
        left = await belongings.growth(before, self._database)
        self._tell("leaves-nothing-behind", [f"left {thing}" for thing in left])

    async def _alive(
        self,
        app: RunningAppliance,
        loaded: loader.Loaded,
        module: ModuleType,
        attribution: belongings.Attribution,
    ) -> None:
        if why := await _until_ready(app, loaded.id):
            self._tell("starts", [why])
            return
        self._tell("starts", [])
        found = await measure.seen({loaded.id: app.host.shared.contributions.get(loaded.id, {})}, app.store)
        self.measured = measure.measured(app.host.loaded(loaded.id), found[loaded.id])
        folder = Path(module.__file__).parent if module.__file__ else self._state_dir
        stalls = Stalls(loaded.id, folder)
        with stalls.watching():
            await _as_plugin(loaded.id, self._answers(app, loaded.id))
            if "run" in loaded.hooks:
                await self._lives(app, loaded.id, attribution)
            else:
                for check in ("survives-cancellation", "leaves-nothing", "restarts"):
                    self._tell(check, [], applies=False)
        self._tell("does-not-block", [f"held the loop over 50 ms at {place}" for place in stalls.confirmed()])
        put = [f"put code of its own in the place of {place}" for place in patches.made_by(module.__name__)]
        self._tell("leaves-others-alone", put)

    async def _answers(self, app: RunningAppliance, plugin_id: str) -> None:
        def own(kind: type[Any]) -> list[Any]:
            hooks = app.host.shared.contributions.get(plugin_id, {})
            return [item for items in hooks.values() for item in items if isinstance(item, kind)]

        routes, metrics = own(Route), own(Metric)
        panels, checks = own(Panel), own(HealthCheck)
        for _ in range(2):  # what blocks must be seen twice
            metric_faults = list(answers.metric_faults(metrics))
            panel_faults = await answers.panel_faults(panels)
            health_faults = await answers.health_faults(checks)
        self._tell("routes", answers.public_changes(routes), applies=bool(routes))
        self._tell("metrics", metric_faults, applies=bool(metrics))
        self._tell("panels", panel_faults, applies=bool(panels))
        self._tell("health-checks", health_faults, applies=bool(checks))
        kinds = own(ProbeKind)
        self._tell("probe-kinds", await judgements.kind_faults(kinds), applies=bool(kinds))
        asked: tuple[tuple[str, type[Any], Callable[[list[Any]], Iterable[str]]], ...] = (
            ("score-rules", ScoreRule, judgements.rule_faults),
            ("answer-sources", AnswerSource, judgements.source_faults),
            ("live-names", LiveName, judgements.live_faults),
            ("packet-policies", PacketPolicy, judgements.policy_faults),
        )
        for check, kind, faults in asked:
            self._tell(check, faults(own(kind)), applies=bool(own(kind)))

    async def _lives(
        self, app: RunningAppliance, plugin_id: str, attribution: belongings.Attribution
    ) -> None:
        """Cancel it at random points, and look at what stays."""
        supervised = app.host.supervised[plugin_id]
        loop = asyncio.get_running_loop()
        faults: list[str] = []
        left: list[str] = []
        if not await supervised.stop():
            self._tell("survives-cancellation", ["it did not stop when it ran"])
            return
        before = belongings.of_process(self._database)
        began = loop.time()
        supervised.start()
        why = await _until_ready(app, plugin_id)
        ready_s = loop.time() - began
        for number in range(ROUNDS):
            if not await supervised.stop():
                faults.append(f"it did not stop (cancellation {number + 1})")
                break
            left += [thing for thing in await attribution.left() if thing not in left]
            supervised.start()
            # Early rounds end it a few steps of the loop after its start, later ones anywhere up to when it is ready.
            for _ in range(self._rng.randrange(40)):
                await asyncio.sleep(0)
            if number >= ROUNDS // 2:
                await asyncio.sleep(self._rng.uniform(0, min(ready_s, 1.0)))
        else:
            if not await supervised.stop():
                faults.append("it did not stop (last cancellation)")
        left += [thing for thing in await attribution.left() if thing not in left]
        left += await belongings.growth(before, self._database)
        self._tell("survives-cancellation", faults)
        self._tell("leaves-nothing", [f"left {thing}" for thing in left])
        if not faults:
            supervised.start()
            why = await _until_ready(app, plugin_id)
        self._tell("restarts", [f"after being cancelled {ROUNDS + 1} times: {why}"] if why else [])


async def _as_plugin(plugin_id: str, coro: Any) -> None:
    context = contextvars.copy_context()
    context.run(current_plugin.set, plugin_id)
    await spawn(coro, name=f"{plugin_id}:asked", context=context)


async def _until_ready(app: RunningAppliance, plugin_id: str) -> str:
    """Wait until it runs; why it does not, or ""."""
    loop = asyncio.get_running_loop()
    end = loop.time() + READY_S
    while (status := app.status(plugin_id)).state not in _DONE:
        if status.state in (PluginState.FAILED, PluginState.DISABLED):
            return status.why
        if loop.time() > end:
            return f"not ready after {READY_S:.0f} s: {status.why or status.state.value}"
        await asyncio.sleep(0.01)
    return ""


def _load(plugin: str | ModuleType) -> tuple[loader.Loaded, ModuleType | None]:
    if isinstance(plugin, ModuleType):
        found = loader.discover(only=[])
        return loader.add(found, loader.Loaded(plugin.__name__, "test"), lambda: plugin), plugin
    found = loader.discover(only=[plugin])
    for loaded in found.found:
        return loaded, loaded.module
    return loader.Loaded(plugin, "nowhere", error=f"there is no plugin {plugin}"), None


def _companions(loaded: loader.Loaded, provide: Mapping[type, object]) -> Sequence[str]:
    """Built-in plugins that provide what this one requires, and what those require."""
    builtin = [p for p in loader.discover().good() if p.builtin and p.id != loaded.id]
    provider = {kind: p for p in builtin if p.info is not None for kind in p.info.provides}
    wanted: dict[str, loader.Loaded] = {}
    ahead = [loaded]
    while ahead:
        info = ahead.pop().info
        for kind in info.requires if info is not None else ():
            needed = provider.get(kind)
            if kind not in provide and needed is not None and needed.id not in wanted:
                wanted[needed.id] = needed
                ahead.append(needed)
    return sorted(wanted)
