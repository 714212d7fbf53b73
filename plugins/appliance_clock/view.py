"""The clock for people and programs: a sentence, the figures, the rows of a table. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance.api.model import ClockState
from appliance.core.figures import seconds
from appliance.wire.ntp import refid_text
from appliance_clock.advice import advice

if TYPE_CHECKING:
    from appliance_clock.service import ClockService

REMEDY = (
    "`timeball clock` says more. chronyd must run and have a source that it can reach and trust (`chronyc sources`); "
    'on an island without any better time, set [plugins.clock] source = "local"'
)


def verdict(state: ClockState, mono_ns: int) -> str:
    """One sentence: is the time right, how right, and who says so."""
    if state.synchronised(mono_ns):
        return f"Synchronised, stratum {state.stratum}, right to {seconds(state.distance_s(mono_ns))}: {state.why}."
    return f"Not synchronised: {_why_not(state, mono_ns)}."


def details(service: ClockService) -> dict[str, Any]:
    """Everything as JSON-able values: what `GET /api/v1/clock` answers."""
    state = service.state.get()
    now = service.now()
    synchronised = state.synchronised(now.mono_ns)
    kernel = service.kernel
    told: dict[str, Any] = {
        "synchronised": synchronised,
        "verdict": verdict(state, now.mono_ns),
        "source": state.source,
        "configured": service.config.source,
        "leap": state.leap if synchronised else 3,
        "stratum": state.stratum if synchronised else 0,
        "refid": state.refid.hex(),
        "refid_text": refid_text(state.refid, state.stratum),
        "reference_ts": state.reference_ns / 1e9,
        "root_delay_s": state.root_delay_s,
        "root_dispersion_s": state.dispersion_s(now.mono_ns),
        "root_distance_s": state.distance_s(now.mono_ns),
        "max_distance_s": state.max_distance_s,
        "dispersion_rate": state.dispersion_rate,
        "correction_s": state.correction_s,
        "precision": state.precision,
        "age_s": max(0.0, (now.mono_ns - state.as_of_mono_ns) / 1e9),
        "why": state.why,
        "warnings": service.warnings,
        "steps": {
            "count": service.steps,
            "last_ts": service.last_step[0] if service.last_step else None,
            "last_step_s": service.last_step[1] if service.last_step else None,
        },
        "chrony": service.chrony_view,
        "kernel": None
        if kernel is None
        else {
            "synchronised": kernel.synchronised,
            "leap": kernel.leap,
            "offset_s": kernel.offset_s,
            "frequency_ppm": kernel.frequency_ppm,
            "max_error_s": kernel.max_error_s,
            "est_error_s": kernel.est_error_s,
            "tai_offset_s": kernel.tai_offset_s,
        },
    }
    return told | {"better": advice(told)}


def facts(service: ClockService) -> dict[str, Any]:
    """The card on the overview page."""
    state = service.state.get()
    now = service.now()
    synchronised = state.synchronised(now.mono_ns)
    rows: list[list[str]] = [["Source", state.source]]
    if synchronised:
        rows += [
            ["Stratum", str(state.stratum)],
            ["Reference", refid_text(state.refid, state.stratum)],
            ["Right to", seconds(state.distance_s(now.mono_ns))],
            ["Still to correct", seconds(state.correction_s)],
        ]
    if service.steps:
        rows.append(["Steps", str(service.steps)])
    level = "failing" if not synchronised else "degraded" if service.warnings else "ok"
    return {"verdict": verdict(state, now.mono_ns), "level": level, "facts": rows}


def _why_not(state: ClockState, mono_ns: int) -> str:
    """The state's own reason, or what became of a state that was good when it was made."""
    if state.leap == 3 or not state.stratum:
        return state.why
    if mono_ns >= state.expires_mono_ns:
        return f"the last good answer of the source is too old ({state.why})"
    return f"the clock may be wrong by {seconds(state.distance_s(mono_ns))} by now ({state.why})"
