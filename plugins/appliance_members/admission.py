"""The live check: a server is asked before it becomes a member, and a refusal says what it answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from appliance.api.model import ProbeResult, Sample, Target
from appliance.api.services import Prober
from appliance.core.figures import seconds
from appliance_members.addresses import endpoint

#: The NTP Pool registers servers of stratum 1 to 5; we accept more and say so.
POOL_STRATUM: Final = 5
#: From here on the score rules take points for the stratum alone.
SCORED_DOWN_STRATUM: Final = 8
#: A steady offset above this keeps the score below the 10 points that the pool asks for.
POOL_OFFSET_S: Final = 0.100


@dataclass(frozen=True, slots=True)
class Limits:
    """What an answer must hold to.

    Attributes:
        attempts: requests until the first answer, at most.
        max_stratum: 1..15.
        max_offset_s: beyond what half the round trip explains.
        judge_offset: False while our own clock is not to be trusted: then nobody's offset is held against them.
    """

    attempts: int = 3
    max_stratum: int = 10
    max_offset_s: float = 1.0
    judge_offset: bool = True


@dataclass(frozen=True, slots=True)
class Check:
    """What the live check found.

    Attributes:
        why: one sentence with the figures in it.
        warnings: what is accepted but will cost the member points.
        forced: it was accepted against the finding, or without one.
    """

    address: str
    port: int
    accepted: bool
    why: str
    warnings: tuple[str, ...] = ()
    offset_s: float | None = None
    rtt_s: float | None = None
    stratum: int | None = None
    leap: int | None = None
    error: str | None = None
    forced: bool = False

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


async def examine(prober: Prober, address: str, port: int, limits: Limits) -> Check:
    """Ask the server until it answers, `limits.attempts` times at most, and judge what it says."""
    check = None
    for _ in range(limits.attempts):
        result = await prober.probe(Target(address, port), samples=1)
        check = judge(result, limits)
        # Only silence deserves a second question: an answer does not get better by asking again.
        if check.accepted or result.responded:
            break
    assert check is not None
    return check


def judge(result: ProbeResult, limits: Limits) -> Check:
    """Whether one probe's outcome is good enough; the best sample counts."""
    target = result.target
    best = min(_answers(result.samples), key=lambda s: s.rtt_s or 0.0, default=None)
    if best is None:
        error = result.error or "no answer"
        spoke = "answered, but not usably" if result.responded else "gave no answer"
        why = f"{_at(target)} {spoke}: {error}{_hint(error, responded=result.responded)}"
        return Check(
            target.address,
            target.port,
            accepted=False,
            why=why,
            stratum=result.stratum,
            leap=result.leap,
            error=error,
        )
    fault, warnings = _faults(best, limits)
    offset_s, rtt_s = best.offset_s or 0.0, best.rtt_s or 0.0
    figures = f"stratum {best.stratum}, {seconds(offset_s, signed=True)}, round trip {seconds(rtt_s)}"
    return Check(
        target.address, target.port, accepted=not fault, why=f"{_at(target)}: {fault} ({figures})" if fault else f"answered: {figures}",
        warnings=() if fault else warnings,
        offset_s=best.offset_s, rtt_s=best.rtt_s, stratum=best.stratum, leap=best.leap, error=fault or None,
    )  # fmt: skip


def _at(target: Target) -> str:
    return endpoint(target.address, target.port)


def _answers(samples: Sequence[Sample]) -> list[Sample]:
    return [s for s in samples if s.error is None and s.offset_s is not None and s.stratum is not None]


def _faults(sample: Sample, limits: Limits) -> tuple[str, tuple[str, ...]]:
    """What rules the answer out ("" when nothing does), and what merely deserves a word."""
    stratum, offset_s = sample.stratum or 0, abs(sample.offset_s or 0.0)
    if sample.leap == 3 or not 1 <= stratum <= 15:
        return "it says itself that it is not synchronised; wait until it is", ()
    if stratum > limits.max_stratum:
        return f"its stratum is {stratum}; at most {limits.max_stratum} is accepted", ()
    warnings = []
    if stratum >= SCORED_DOWN_STRATUM:
        warnings.append(f"stratum {stratum} loses points at every probe: it will not enter the answers")
    elif stratum > POOL_STRATUM:
        warnings.append(f"stratum {stratum} is more than the NTP Pool would take (1 to {POOL_STRATUM})")
    if not limits.judge_offset:
        warnings.append("our own clock is not synchronised, so nothing can be said about its time")
        return "", tuple(warnings)
    # A slow path may be slow in one direction only, which looks like an offset of up to half the round trip.
    unexplained_s = offset_s - (sample.rtt_s or 0.0) / 2
    if unexplained_s > limits.max_offset_s:
        return (
            f"its time is {seconds(offset_s)} away from ours; at most {limits.max_offset_s:g} s is accepted",
            (),
        )
    if unexplained_s > POOL_OFFSET_S:
        warnings.append(
            f"{seconds(offset_s)} off: it enters the answers when it comes below {POOL_OFFSET_S * 1e3:.0f} ms"
        )
    return "", tuple(warnings)


def _hint(error: str, *, responded: bool) -> str:
    if not responded:
        return "; see that it runs, and that firewalls let UDP through"
    kiss = {
        "RATE": "; it limits our requests: allow this box there, or try again in a minute",
        "DENY": "; it denies us service: allow this box there",
        "RSTR": "; it denies us service: allow this box there",
    }
    return kiss.get(error, "")


def forced(check: Check) -> Check:
    """The same finding, accepted because somebody insists."""
    return Check(**{**asdict(check), "accepted": True, "forced": not check.accepted})


def unchecked(address: str, port: int) -> Check:
    """What stands in for a finding when somebody insists and nobody can look."""
    return Check(address, port, accepted=True, why="nobody looked: no monitor is running", forced=True)
