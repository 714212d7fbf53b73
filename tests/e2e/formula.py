"""The NTP Pool's score, written down a second time from its description, to judge the appliance's own figures by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

TOLERANCE = 0.01


def expected_step(probe: dict[str, Any]) -> tuple[float, float | None]:
    """Step and cap for a probe as `timeball member show --json` lists it; the first rule that fits."""
    offset_s, stratum, error = probe["offset_s"], probe["stratum"], probe["error"]
    if stratum is None:
        return -5.0, None  # nothing valid came back
    if stratum == 0 and error == "RATE":
        return -3.5, None
    if stratum == 0 and error in ("RSTR", "DENY"):
        return -10.0, -50.0
    if stratum == 0 and not error:
        return -2.0, 5.0
    if error or offset_s is None:
        return -4.0, None
    off = abs(offset_s)
    if off > 3 or stratum >= 8:
        return -4.0, -20.0 if off > 3 else None
    if off > 0.75:
        return -2.0, None
    if off > 0.1:
        return -2.308 * off + 0.731, None
    if off > 0.025:
        return min(1.0, -6.667 * off + 1.167), None
    return 1.0, None


class Ledger:
    """Collects the probes of one member over time and checks the chain of scores."""

    def __init__(self) -> None:
        self.probes: dict[float, dict[str, Any]] = {}

    def add(self, probes: Iterable[dict[str, Any]]) -> None:
        for probe in probes:
            known = self.probes.setdefault(probe["ts"], probe)
            assert known["score"] == probe["score"], f"two rows of one moment: {known} and {probe}"

    def faults(self, *, begins_at: float | None = 0.0) -> list[str]:
        """What disagrees with the formula, in words; `begins_at` is the score before the first probe, if that is known."""
        found, score, before = [], begins_at, None
        for ts, probe in sorted(self.probes.items()):
            step, cap = expected_step(probe)
            if abs(step - probe["step"]) > TOLERANCE:
                found.append(f"step {step} was due: {probe}")
            if score is not None:
                wanted = 0.95 * score + step
                wanted = wanted if cap is None else min(wanted, cap)
                if abs(wanted - probe["score"]) > TOLERANCE:
                    found.append(
                        f"score {wanted} was due: {probe}, {ts - (before or ts):.3f} s after {score}"
                    )
            score, before = probe["score"], ts
        return found
