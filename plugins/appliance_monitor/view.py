"""A single look at a server, told as values and as words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from appliance.api.contrib import ScoreRule
from appliance.api.model import ProbeResult, Sample
from appliance.core.figures import seconds
from appliance.wire.ntp import refid_text
from appliance_monitor.samples import chosen
from appliance_monitor.steps import judge


def told(result: ProbeResult, rules: Sequence[ScoreRule]) -> dict[str, Any]:
    """The result as JSON-able values, with a verdict in words and the step that a member would get for it."""
    step = judge(result, rules)
    best = chosen(result)
    return {
        "target": f"[{result.target.address}]:{result.target.port}" if ":" in result.target.address else f"{result.target.address}:{result.target.port}",
        "verdict": sentence(result),
        "responded": result.responded,
        "offset_s": result.offset_s,
        "rtt_s": result.rtt_s,
        "stratum": result.stratum,
        "leap": result.leap,
        "refid": refid_text(best.refid, best.stratum or 0) if best and best.stratum is not None else None,
        "root_delay_s": best.root_delay_s if best else None,
        "root_dispersion_s": best.root_dispersion_s if best else None,
        "error": result.error,
        "warnings": list(best.warnings) if best else [],
        "rule": step.rule,
        "step": step.step,
        "why": step.why,
        "ts": result.ts,
        "samples": [_sample(sample) for sample in result.samples],
    }  # fmt: skip


def sentence(result: ProbeResult) -> str:
    """What this look says, for people."""
    if not result.responded:
        return f"No answer: {result.error}."
    if result.error:
        return f"It answers, but not with time: {result.error}."
    if result.leap == 3:
        return "It answers, but says that its clock is not synchronised."
    assert result.offset_s is not None
    assert result.rtt_s is not None
    return f"Stratum {result.stratum}, {seconds(result.offset_s, signed=True)} from our clock, {seconds(result.rtt_s)} away."


def _sample(sample: Sample) -> dict[str, Any]:
    return {
        "offset_s": sample.offset_s,
        "rtt_s": sample.rtt_s,
        "stratum": sample.stratum,
        "leap": sample.leap,
        "version": sample.version,
        "error": sample.error,
        "warnings": list(sample.warnings),
        "t1_ns": sample.t1_ns,
        "t2_ns": sample.t2_ns,
        "t3_ns": sample.t3_ns,
        "t4_ns": sample.t4_ns,
    }
