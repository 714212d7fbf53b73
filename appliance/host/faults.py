"""What plugins do wrong while they run on: a card that raises, a stalled event loop, tasks that were left behind.

A plugin's state says whether it runs, and health what its own checks found. This is the rest, so that all of it has a name.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from appliance.api.contrib import Fix
from appliance.core.clock import Clock

log = logging.getLogger("timeball.host")

#: What happened once is told for so long after the last time.
FADES_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that a plugin does wrong.

    Attributes:
        what: words with hyphens, unique within the plugin: "card-queue", "stalls", "left-behind".
        text: what is wrong, in one sentence without the plugin's name.
        remedy: what its author can do, or "".
        times: how often it was seen.
        seen_s: when it was seen last, monotonic seconds.
        lasts: true until it is taken back; else it fades.
        told: health tells it already.
        fix: the doctor's repair, where there is one.
        often: it comes and goes with what is asked: it fades, and is logged when it begins.
    """

    plugin: str
    what: str
    text: str
    remedy: str = ""
    times: int = 1
    seen_s: float = 0.0
    lasts: bool = False
    told: bool = False
    often: bool = False
    fix: Fix | None = None


class Faults:
    """The book of faults, by plugin. Each is logged when it begins, not as long as it lasts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[tuple[str, str], Fault] = {}

    def note(self, fault: Fault, *, logged: bool = False) -> None:
        """Something was seen to be wrong.

        Args:
            fault: what; how often and when is known here.
            logged: somebody else writes it into the log.
        """
        key = fault.plugin, fault.what
        before = self._still(key)
        times = before.times + 1 if before else 1
        self._known[key] = replace(fault, times=times, seen_s=self._now_s())
        if not logged and (before is None or not (fault.lasts or fault.often)):
            log.warning("the plugin %s: %s", fault.plugin, fault.text)

    def well(self, plugin: str, what: str) -> None:
        """It works again."""
        if self._known.pop((plugin, what), None) is not None:
            log.info("the plugin %s: %s works again", plugin, what)

    def forget(self, plugin: str) -> None:
        """The plugin begins anew: what lasted is over."""
        self._known = {k: f for k, f in self._known.items() if f.plugin != plugin or not (f.lasts or f.often)}

    def of(self, plugin: str) -> list[Fault]:
        """What is wrong with one plugin and told nowhere else."""
        return [fault for fault in self if fault.plugin == plugin]

    def __iter__(self) -> Iterator[Fault]:
        for key in sorted(self._known):
            fault = self._still(key)
            if fault is not None and not fault.told:
                yield fault

    def _still(self, key: tuple[str, str]) -> Fault | None:
        fault = self._known.get(key)
        if fault is not None and not fault.lasts and self._now_s() - fault.seen_s > FADES_S:
            del self._known[key]
            return None
        return fault

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9
