"""Health is a fold: plugin states, health checks and the host's own readings, the worst wins."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from appliance.api.contrib import Finding, HealthCheck
from appliance.api.events import ClockStepped, MembersChanged, PluginChanged, VerdictChanged
from appliance.api.model import Health, Level, PluginState, PluginStatus, Problem

#: After these an earlier reading would contradict what the pages show: above all the first, when plugins still start.
TURNS = (PluginChanged, VerdictChanged, MembersChanged, ClockStepped)
#: How long what follows from them gets to settle; readings are twice as far apart at least.
SETTLE_S = 1.0

Answer = str | Finding | Sequence[Finding] | None

_RANK = {Level.OK: 0, Level.DEGRADED: 1, Level.FAILING: 2}

#: What a plugin's state means for the whole.
_STATES = {
    PluginState.BACKOFF: (Level.DEGRADED, "waits and tries again"),
    PluginState.FAILED: (Level.FAILING, "has failed"),
    PluginState.STARTING: (Level.OK, "is starting"),
}


def fold(statuses: Iterable[PluginStatus], found: Iterable[Problem], as_of: float) -> Health:
    """One verdict from many.

    Args:
        statuses: every plugin.
        found: problems from health checks and the host.
        as_of: epoch seconds.
    """
    problems = [problem for status in statuses if (problem := _judge(status)) is not None]
    problems += found
    problems.sort(key=lambda p: (-_RANK[p.level], p.source))
    level = max((p.level for p in problems), key=_RANK.__getitem__, default=Level.OK)
    return Health(level, tuple(problems), as_of)


def _judge(status: PluginStatus) -> Problem | None:
    level, words = _STATES.get(status.state, (Level.OK, ""))
    if level is Level.OK:
        return None
    text = f"{status.title} {words}: {status.why}" if status.why else f"{status.title} {words}"
    return Problem(status.id, level, text, f"see `timeball plugin list` and the log of {status.id}")


async def until_next(
    turned: asyncio.Event, sleep: Callable[[float], Awaitable[None]], interval_s: float
) -> None:
    """Wait for the next reading: `interval_s`, or less when something turned since the last one began to wait."""
    waited_s = 0.0
    while waited_s < interval_s and not turned.is_set():
        await sleep(SETTLE_S)
        waited_s += SETTLE_S
    if turned.is_set():
        await sleep(SETTLE_S)
        turned.clear()


async def ask(
    checks: Iterable[tuple[str, HealthCheck]], run: Callable[[float], asyncio.Timeout] = asyncio.timeout
) -> list[Problem]:
    """Ask every check at once, each within its own time; pairs are (plugin id, check)."""
    pairs = tuple(checks)
    answers = await asyncio.gather(*(_ask_one(check, run) for _, check in pairs))
    return [
        problem
        for (plugin, check), answer in zip(pairs, answers, strict=True)
        for problem in _problems(plugin, check, answer)
    ]


def _problems(plugin: str, check: HealthCheck, answer: Answer) -> list[Problem]:
    """What is worth knowing only is for the doctor, not for health."""
    if answer is None:
        return []
    if isinstance(answer, str):
        return [Problem(plugin, check.level, answer, check.remedy)]
    found = (answer,) if isinstance(answer, Finding) else answer
    return [
        Problem(plugin, one.level or check.level, one.text, one.remedy or check.remedy)
        for one in found
        if not one.info
    ]


async def _ask_one(check: HealthCheck, run: Callable[[float], asyncio.Timeout]) -> Answer:
    try:
        async with run(check.timeout_s):
            return await check.ping()
    except TimeoutError:
        return f"did not answer within {check.timeout_s:.0f} s"
    except Exception as error:  # noqa: BLE001 - a check that breaks is a finding, not an accident
        return f"the check itself failed: {type(error).__name__}: {error}"
