"""What receiver and pulse contribute to the overview page, to /metrics and to /health."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.api.contrib import HealthCheck, Metric, Panel
from appliance.core.figures import seconds
from appliance_gps.service import Receiver


def details(receiver: Receiver) -> dict[str, Any]:
    """Everything as JSON-able values: what `GET /api/v1/gps` answers."""
    told = receiver.told
    return {
        "configured": receiver.wanted,
        "verdict": receiver.verdict(),
        "problems": receiver.problems(),
        "read_by": "" if told is None else "child" if receiver.child else "service",
        "facts": facts(receiver),
        **({"pulse": None, "receiver": None, "late_s": None} if told is None else told.model_dump(include={"pulse", "receiver", "late_s"})),
        "gps": None if told is None else told.gps.model_dump(),
        "pps": None if told is None else told.pps.model_dump(),
    }  # fmt: skip


def facts(receiver: Receiver) -> list[list[str]]:
    """Label and value, only those that say something."""
    told = receiver.told
    rows: list[list[str]] = []
    if told is None:
        return rows
    pulse, said = told.pulse, told.receiver
    if pulse is not None:
        rows.append(
            [
                "Pulse",
                {"locked": "one a second", "searching": "not yet regular", "silent": "none"}[pulse.standing],
            ]
        )
        if pulse.chip:
            rows.append(["Pin", f"line {pulse.line} of {pulse.chip}"])
        if pulse.leading:
            width = f", {seconds(pulse.width_s)} long" if pulse.width_s else ""
            rows.append(["Marked by", f"the {pulse.leading} edge{width}"])
        if pulse.jitter_s is not None:
            rows.append(["Jitter", seconds(pulse.jitter_s)])
        rows.append(["Pulses", f"{pulse.good} good, {pulse.missed} missed, {pulse.glitches} out of place"])
        rows.append(["Taken by chronyd", str(told.pps.sent)])
    if said is not None:
        rows.append(["Receiver", said.standing])
        if said.speed:
            rows.append(["Speed", f"{said.speed} bit/s"])
        if told.late_s is not None:
            rows.append(["Speaks after its pulse", seconds(told.late_s)])
        rows.append(["Sentences", f"{said.sentences} good, {said.damaged} damaged"])
    return rows


def panel(receiver: Receiver) -> Panel:
    """The card, on boxes that have a receiver."""

    async def data() -> Mapping[str, Any]:
        level = "degraded" if receiver.problems() else "ok"
        return {"verdict": receiver.verdict(), "level": level, "facts": facts(receiver)[:4]}

    return Panel(id="gps", title="GPS and PPS", data=data, order=11, link="/clock")


def health_checks(receiver: Receiver) -> list[HealthCheck]:
    """Does time flow from the receiver?"""

    async def flows() -> str | None:
        return "; ".join(receiver.problems()) or None

    return [
        HealthCheck(
            "receiver", flows,
            remedy="`timeball gps` tells pin, polarity, fix and what chronyd took; the manual's page on the clock has a table of causes",
            why="Without it the time comes from the network alone, or, without a network, from nowhere.",
            well="the receiver and its pulse are in order, or none is configured",
        )
    ]  # fmt: skip


def metrics(receiver: Receiver) -> list[Metric]:
    """Figures of the last second; nothing where no receiver is configured."""

    def pulses() -> list[tuple[tuple[str, ...], float]]:
        pulse = receiver.told.pulse if receiver.told else None
        if pulse is None:
            return []
        return [(("good",), pulse.good), (("missed",), pulse.missed), (("glitch",), pulse.glitches)]

    def locked() -> float:
        pulse = receiver.told.pulse if receiver.told else None
        return float(pulse is not None and pulse.standing == "locked" and not receiver.problems())

    def jitter() -> float:
        pulse = receiver.told.pulse if receiver.told else None
        return (pulse.jitter_s or 0.0) if pulse else 0.0

    def fix() -> float:
        said = receiver.told.receiver if receiver.told else None
        return float(said is not None and said.standing == "fix")

    def taken() -> list[tuple[tuple[str, ...], float]]:
        told = receiver.told
        return [] if told is None else [(("gps",), told.gps.sent), (("pps",), told.pps.sent)]

    return [
        Metric(
            "gps_pulses_total",
            "Edges on the pulse's pin, by what they were taken for",
            "counter",
            pulses,
            ("kind",),
        ),
        Metric("gps_pulse_locked", "1 when a pulse comes each second and is handed on", "gauge", locked),
        Metric("gps_pulse_jitter_seconds", "What pulses are off their mean rate (RMS)", "gauge", jitter),
        Metric("gps_fix", "1 when the receiver knows the time from satellites", "gauge", fix),
        Metric(
            "gps_samples_total", "Samples that chronyd took, by reference clock", "counter", taken, ("clock",)
        ),
    ]
