"""Contributions whose failures are noted under the name of the plugin that made them; whoever asks for one still gets them."""

from __future__ import annotations

import asyncio
import inspect
import ipaddress
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from appliance.api.contrib import AnswerSource, HealthCheck, Metric, Panel, ProbeKind, ScoreRule
from appliance.api.model import ProbeResult, Sample, Step, Target
from appliance.core.contained import contained
from appliance.core.tasks import current_plugin
from appliance.host.faults import Fault, Faults

#: Places of its own that a probe kind may bring along.
MOST_PLACES: Final = 1000
#: Characters of a card, with all that is in it.
MOST_CARD: Final = 100_000
#: Who waits for a card gives up about now; sooner it was the reader who went away.
_PATIENCE_S: Final = 1.0
_IN_TIME: Final = "`sample` is told how long it may take: end within it, with Sample(error=...)"


def guarded(faults: Faults, plugin: str, item: Any) -> Any:
    """A contribution whose failures are noted under its plugin's name; whoever asks for it still gets them."""
    if isinstance(item, Panel):
        return replace(item, data=_card(faults, plugin, item))
    if isinstance(item, HealthCheck):
        return replace(item, ping=_check(faults, plugin, item))
    if isinstance(item, Metric):
        return replace(item, read=_metric(faults, plugin, item))
    if isinstance(item, ProbeKind):
        return _kind(faults, plugin, item)
    if isinstance(item, ScoreRule):
        return _rule(faults, plugin, item)
    if isinstance(item, AnswerSource):
        return _source(faults, plugin, item)
    return item


def _card(faults: Faults, plugin: str, panel: Panel) -> Callable[[], Any]:
    what = f"card-{panel.id}"

    async def data() -> Mapping[str, Any]:
        began_s = time.monotonic()
        try:
            with contained():
                found = await panel.data()
            if not isinstance(found, Mapping):
                raise TypeError(f"it returned {type(found).__name__}, not a mapping")
            if heavier_than(found, MOST_CARD):
                raise ValueError(f"it is longer than {MOST_CARD:,} characters")
        except asyncio.CancelledError:
            if (took_s := time.monotonic() - began_s) > _PATIENCE_S:
                text = f'the card "{panel.title}" was not there within {took_s:.1f} s'
                faults.note(Fault(plugin, what, text, lasts=True))
            raise
        except Exception as error:
            text = f'the card "{panel.title}" cannot be shown: {type(error).__name__}: {error}'
            faults.note(Fault(plugin, what, text, lasts=True))
            raise
        faults.well(plugin, what)
        return found

    return data


def heavier_than(value: Any, most: int) -> bool:
    """Whether a value of texts, numbers, lists and mappings has more than `most` characters; looks at no more than that."""
    waiting, weight = [value], 0
    while waiting:
        item = waiting.pop()
        weight += 1 + (len(item) if isinstance(item, str | bytes) else 0)
        if weight > most:
            return True
        if isinstance(item, Mapping):
            waiting += islice(item.keys(), most)
            waiting += islice(item.values(), most)
        elif isinstance(item, list | tuple):
            waiting += item[:most]
    return False


def _check(faults: Faults, plugin: str, check: HealthCheck) -> Callable[[], Any]:
    what = f"check-{check.name.replace(' ', '-')}"

    async def ping() -> Any:
        try:
            with contained():
                found = await check.ping()
        except Exception as error:
            text = f'the check "{check.name}" itself fails: {type(error).__name__}: {error}'
            faults.note(Fault(plugin, what, text, lasts=True, told=True))
            raise
        faults.well(plugin, what)
        return found

    return ping


def _metric(faults: Faults, plugin: str, metric: Metric) -> Callable[[], Any]:
    what = f"metric-{metric.name}"

    def read() -> Any:
        try:
            with contained(cancelling=True):
                found: Any = metric.read()
                if inspect.isgenerator(found):
                    found = tuple(found)  # it raises here, where it has a name
        except Exception as error:
            text = f"the metric {metric.name} cannot be read: {type(error).__name__}: {error}"
            # Whoever shows metrics logs it, with those whose values are of the wrong kind.
            faults.note(Fault(plugin, what, text, lasts=True), logged=True)
            raise
        faults.well(plugin, what)
        return found

    return read


def _called(
    faults: Faults, plugin: str, what: tuple[str, str], function: Callable[..., Any]
) -> Callable[..., Any]:
    """A function that is asked often, of this and that: what it raises is noted; `what` is its key, and what to call it."""

    def call(*arguments: Any) -> Any:
        try:
            with contained(cancelling=True):
                found = function(*arguments)
                if inspect.isgenerator(found):
                    found = tuple(found)  # as above
        except Exception as error:
            text = f"{what[1]} fails: {type(error).__name__}: {error}"
            faults.note(
                Fault(plugin, what[0], text, often=True), logged=True
            )  # by who asked, with the traceback
            raise
        return found

    return call


def _rule(faults: Faults, plugin: str, rule: ScoreRule) -> ScoreRule:
    def apply(probe: ProbeResult) -> Step | None:
        step = rule.apply(probe)
        if step is not None and not (isinstance(step, Step) and math.isfinite(step.step)):
            raise TypeError(f"it gave {step!r}: a Step with a number is wanted, or None")
        return step

    what = f"rule-{rule.name}", f"the score rule {rule.name}, which is passed over,"
    return replace(rule, apply=_called(faults, plugin, what, apply))


def _source(faults: Faults, plugin: str, source: AnswerSource) -> AnswerSource:
    what = f"answers-{source.name}", f"the answer source {source.name}"
    return replace(
        source,
        records=source.records and _called(faults, plugin, what, source.records),
        reweigh=source.reweigh and _called(faults, plugin, what, source.reweigh),
    )


def _kind(faults: Faults, plugin: str, kind: ProbeKind) -> ProbeKind:
    what, called = f"kind-{kind.name}", f"the probe kind {kind.name}"

    async def sample(target: Target, timeout_s: float) -> Sample:
        token = current_plugin.set(plugin)
        began_s = time.monotonic()
        try:
            with contained():
                found = await kind.sample(target, timeout_s)
            if not isinstance(found, Sample):
                raise TypeError(f"it returned {type(found).__name__}, not a Sample")
        except asyncio.CancelledError:
            if (took_s := time.monotonic() - began_s) > timeout_s + 1:
                text = f"{called} does not keep its time limit of {timeout_s:g} s: it was cut off after {took_s:.1f} s"
                faults.note(Fault(plugin, what, text, _IN_TIME, often=True))
            raise
        except Exception as error:
            text = f"{called} fails: {type(error).__name__}: {error}"
            faults.note(Fault(plugin, what, text, often=True), logged=True)
            raise
        finally:
            current_plugin.reset(token)
        return found

    where = f"{what}-places", f"{called}, asked where to look,"
    at, own = kind.target, kind.targets
    return replace(
        kind,
        sample=sample,
        target=at
        and _called(faults, plugin, where, lambda member: None if (t := at(member)) is None else _place(t)),
        targets=own
        and _called(faults, plugin, where, lambda: tuple(_place(t) for t in islice(own(), MOST_PLACES))),
    )


def _place(target: Target) -> Target:
    if not isinstance(target, Target):
        raise TypeError(f"it gave {target!r}: a Target is wanted")
    ipaddress.ip_address(target.address)
    if not 1 <= target.port <= 65535:
        raise ValueError(f"a port is 1 to 65535, not {target.port}")
    return target
