"""Checks of what a plugin contributes, asked as the appliance would ask."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from appliance.api.contrib import Finding, HealthCheck, Metric, Panel, Route

_METRIC = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LEVELS = ("ok", "degraded", "failing", "none")


def public_changes(routes: Iterable[Route]) -> Iterator[str]:
    """Routes that anybody may use and that change something."""
    for route in routes:
        if route.scope == "public" and route.unsafe:
            yield f"{route.method} {route.path} changes something and is public"


def metric_faults(metrics: Iterable[Metric]) -> Iterator[str]:
    """Metric families whose names or values a scraper would refuse."""
    for metric in metrics:
        if not _METRIC.fullmatch(metric.name):
            yield f"{metric.name!r} is no name for a metric"
        if (metric.kind == "counter") != metric.name.endswith("_total"):
            yield f"{metric.name}: counters end in _total, and nothing else does"
        if not metric.help.strip():
            yield f"{metric.name} has no help"
        try:
            value = metric.read()
        except Exception as error:  # noqa: BLE001 - a stranger's function may raise anything
            yield f"{metric.name} cannot be read: {type(error).__name__}: {error}"
            continue
        yield from (f"{metric.name}: {fault}" for fault in _value_faults(metric, value))


def _value_faults(metric: Metric, value: Any) -> Iterator[str]:
    if not metric.labels:
        if not isinstance(value, (int, float)):
            yield f"a number is wanted, not {value!r}"
        return
    if not isinstance(value, Iterable):
        yield f"pairs of labels and a number are wanted, not {value!r}"
        return
    seen = set()
    for labels, number in value:
        if len(labels) != len(metric.labels):
            yield f"{len(metric.labels)} labels are wanted, not {labels!r}"
        if tuple(labels) in seen:
            yield f"{labels!r} comes twice"
        seen.add(tuple(labels))
        if not isinstance(number, (int, float)):
            yield f"{labels!r}: a number is wanted, not {number!r}"


async def panel_faults(panels: Iterable[Panel]) -> list[str]:
    """Cards that the overview could not draw."""
    faults = []
    for panel in panels:
        try:
            value = await panel.data()
        except Exception as error:  # noqa: BLE001 - see above
            faults.append(f"{panel.id} cannot be shown: {type(error).__name__}: {error}")
        else:
            faults += [f"{panel.id}: {fault}" for fault in _card_faults(panel.kind, value)]
    return faults


def _card_faults(kind: str, value: Any) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"a mapping is wanted, not {type(value).__name__}"
    elif kind == "table":
        columns, rows = value.get("columns"), value.get("rows")
        if not isinstance(columns, Sequence) or not isinstance(rows, Sequence):
            yield "columns and rows are wanted"
        elif any(len(row) != len(columns) for row in rows):
            yield f"every row needs {len(columns)} values"
    else:
        if not isinstance(value.get("verdict"), str):
            yield "a verdict (one sentence) is wanted"
        if value.get("level", "ok") not in _LEVELS:
            yield f"level is one of {', '.join(_LEVELS)}, not {value.get('level')!r}"
        if any(len(fact) != 2 for fact in value.get("facts", ())):
            yield "facts are pairs of a label and a value"
        spark = value.get("spark") or ()
        if any(number is not None and not math.isfinite(number) for number in spark):
            yield "spark holds numbers"


async def health_faults(checks: Iterable[HealthCheck]) -> list[str]:
    """Questions that have no answer in words, or none in time."""
    faults = []
    for check in checks:
        try:
            async with asyncio.timeout(check.timeout_s + 5):
                said = await check.ping()
        except TimeoutError:
            faults.append(f"{check.name} has no answer after {check.timeout_s + 5:.0f} s")
        except Exception as error:  # noqa: BLE001 - see above
            faults.append(f"{check.name} raises {type(error).__name__}: {error}; say it in a sentence")
        else:
            if not _is_answer(said):
                faults.append(f"{check.name}: None, a sentence or a Finding is wanted, not {said!r}")
    return faults


def _is_answer(said: Any) -> bool:
    if said is None or isinstance(said, Finding):
        return True
    if isinstance(said, str):
        return bool(said.strip())
    return isinstance(said, Sequence) and all(isinstance(one, Finding) for one in said)
