"""What the clock contributes to the overview page, to /metrics and to /health."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.api.contrib import HealthCheck, Metric, Panel
from appliance_clock import view
from appliance_clock.service import ClockService


def panel(service: ClockService) -> Panel:
    """The card "Clock"."""

    async def data() -> Mapping[str, Any]:
        return view.facts(service)

    return Panel(id="clock", title="Clock", data=data, order=10)


def health_checks(service: ClockService) -> list[HealthCheck]:
    """Is the time right, and is anything odd about it?"""

    async def synchronised() -> str | None:
        state, mono_ns = service.state.get(), service.now().mono_ns
        return None if state.synchronised(mono_ns) else view.verdict(state, mono_ns)

    async def undisputed() -> str | None:
        return "; ".join(service.warnings) or None

    return [
        HealthCheck(
            "synchronised",
            synchronised,
            remedy=view.REMEDY,
            why="Until the clock is known to be right, every reply says that it is not, and clients look elsewhere.",
            well="the clock is synchronised",
        ),
        HealthCheck(
            "undisputed",
            undisputed,
            remedy="let one program set the clock, and give it sources that are not this pool",
            why="A clock that follows its own pool agrees with whatever error the pool makes.",
            well="nothing is odd about the clock",
        ),
    ]


def metrics(service: ClockService) -> list[Metric]:
    """The figures of the clock state as of now."""

    def synchronised() -> float:
        return float(service.state.get().synchronised(service.now().mono_ns))

    def stratum() -> float:
        return service.state.get().stratum if synchronised() else 16

    def distance() -> float:
        return service.state.get().distance_s(service.now().mono_ns)

    def dispersion() -> float:
        return service.state.get().dispersion_s(service.now().mono_ns)

    return [
        Metric("clock_synchronised", "1 when replies may claim synchronised time", "gauge", synchronised),
        Metric("clock_stratum", "Stratum of our replies, 16 when not synchronised", "gauge", stratum),
        Metric(
            "clock_correction_seconds", "What is added to the system clock in our replies", "gauge",
            lambda: service.state.get().correction_s,
        ),
        Metric(
            "clock_root_delay_seconds", "Round trip to the reference clock", "gauge",
            lambda: service.state.get().root_delay_s,
        ),
        Metric("clock_root_dispersion_seconds", "Root dispersion as of now", "gauge", dispersion),
        Metric("clock_root_distance_seconds", "The most that our time may be wrong", "gauge", distance),
        Metric("clock_steps_total", "Steps of the system clock", "counter", lambda: service.steps),
        Metric("clock_warnings", "What is odd about the clock", "gauge", lambda: len(service.warnings)),
    ]  # fmt: skip
