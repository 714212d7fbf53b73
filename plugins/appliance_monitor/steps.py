"""What one probe is worth: the NTP Pool's table, first rule that fits, and rules of ours that can be added.

The constants are those of the pool's `statusscore`: profile "ntppool" as it stands since July 2025, "legacy" as it was before.
The two differ only in how an answered offset below 750 ms is weighed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from appliance.api.contrib import ScoreRule
from appliance.api.model import ProbeResult, Step
from appliance.core.figures import seconds
from appliance_monitor.samples import answered, chosen
from appliance_monitor.wording import count, listed

#: Past this root distance a member's time is worth little even when its offset looks good (ntpd's MAXDIST).
ROOT_DISTANCE_S = 1.5


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table, as the documentation prints it and as the code runs it.

    Attributes:
        id: what log rows say.
        when: the condition in words.
        worth: the step in words.
        cap: the score after it is at most this.
        profiles: where the line belongs.
        apply: the line itself.
    """

    id: str
    when: str
    worth: str
    cap: float | None
    profiles: tuple[str, ...]
    apply: Callable[[ProbeResult], Step | None]


BOTH = ("ntppool", "legacy")


def _no_response(result: ProbeResult) -> Step | None:
    if result.responded:
        return None
    return Step(
        "no_response", -5, why=f"no answer to {count(len(result.samples), 'request')}: {_failures(result)}"
    )


def _rate(result: ProbeResult) -> Step | None:
    if result.stratum != 0 or result.error != "RATE":
        return None
    return Step("rate", -3.5, why="it asks us to slow down (kiss code RATE)")


def _denied(result: ProbeResult) -> Step | None:
    if result.stratum != 0 or result.error not in ("RSTR", "DENY"):
        return None
    return Step("denied", -10, cap=-50, why=f"it refuses to serve us (kiss code {result.error})")


def _stratum_zero(result: ProbeResult) -> Step | None:
    if result.stratum != 0 or result.error:
        return None
    return Step("stratum_zero", -2, cap=5, why="stratum 0 without a kiss code")


def _error(result: ProbeResult) -> Step | None:
    if result.error is None and result.offset_s is not None:
        return None
    return Step("error", -4, why=f"an answer that cannot be used: {result.error or 'it holds no time'}")


def _over_3s(result: ProbeResult) -> Step | None:
    if _size(result) <= 3:
        return None
    return Step("offset_over_3s", -4, cap=-20, why=f"{_offset(result)}, more than 3 s")


def _stratum_high(result: ProbeResult) -> Step | None:
    if result.stratum is None or result.stratum < 8:
        return None
    return Step("stratum_8_up", -4, why=f"stratum {result.stratum}, 8 or more")


def _over_750ms(result: ProbeResult) -> Step | None:
    if _size(result) <= 0.750:
        return None
    return Step("offset_over_750ms", -2, why=f"{_offset(result)}, more than 750 ms")


def _over_100ms(result: ProbeResult) -> Step | None:
    size = _size(result)
    if size <= 0.100:
        return None
    return Step("offset_over_100ms", -2.308 * size + 0.731, why=f"{_offset(result)}, between 100 and 750 ms")


def _over_25ms(result: ProbeResult) -> Step | None:
    size = _size(result)
    if size <= 0.025:
        return None
    return Step(
        "offset_over_25ms", min(1.0, -6.667 * size + 1.167), why=f"{_offset(result)}, between 25 and 100 ms"
    )


def _over_75ms(result: ProbeResult) -> Step | None:
    size = _size(result)
    if size <= 0.075:
        return None
    return Step("offset_over_75ms", -4 * size + 1, why=f"{_offset(result)}, between 75 and 750 ms")


def _offset_ok(result: ProbeResult) -> Step | None:
    return Step("offset_ok", 1, why=_offset(result))


#: The table in the order in which it is asked.
TABLE: tuple[Line, ...] = (
    Line("no_response", "no valid answer to any request", "-5", None, BOTH, _no_response),
    Line("rate", "stratum 0, kiss code RATE", "-3.5", None, BOTH, _rate),
    Line("denied", "stratum 0, kiss code RSTR or DENY", "-10", -50, BOTH, _denied),
    Line("stratum_zero", "stratum 0 without any error text", "-2", 5, BOTH, _stratum_zero),
    Line("error", "any other error text, or no offset", "-4", None, BOTH, _error),
    Line("offset_over_3s", "abs(offset) > 3 s", "-4", -20, BOTH, _over_3s),
    Line("stratum_8_up", "stratum >= 8", "-4", None, BOTH, _stratum_high),
    Line("offset_over_750ms", "abs(offset) > 0.750 s", "-2", None, BOTH, _over_750ms),
    Line("offset_over_100ms", "abs(offset) > 0.100 s", "-2.308*abs(offset) + 0.731", None, ("ntppool",), _over_100ms),
    Line("offset_over_25ms", "abs(offset) > 0.025 s", "min(1, -6.667*abs(offset) + 1.167)", None, ("ntppool",), _over_25ms),
    Line("offset_over_75ms", "abs(offset) > 0.075 s", "-4*abs(offset) + 1", None, ("legacy",), _over_75ms),
    Line("offset_ok", "otherwise", "+1", None, BOTH, _offset_ok),
)  # fmt: skip


def leap(result: ProbeResult) -> Step | None:
    """Extra "leap": a member that says itself that it is not synchronised."""
    if not result.responded or result.leap != 3 or result.error is not None:
        return None
    return Step("leap", -4, why="it says that its clock is not synchronised (leap indicator 3)")


def root_distance(result: ProbeResult) -> Step | None:
    """Extra "root_distance": half the root delay plus the root dispersion is more than 1.5 s."""
    best = chosen(result)
    if best is None or best.error is not None or best.root_delay_s is None or best.root_dispersion_s is None:
        return None
    distance_s = best.root_delay_s / 2 + best.root_dispersion_s
    if distance_s <= ROOT_DISTANCE_S:
        return None
    return Step("root_distance", -2, why=f"its time may be wrong by {seconds(distance_s)} (root distance)")


def loss(profile: str) -> Callable[[ProbeResult], Step | None]:
    """Extra "loss": lost samples cost their share of a point, on top of what `profile` says of the answered one."""
    lines = [line for line in TABLE if profile in line.profiles]

    def apply(result: ProbeResult) -> Step | None:
        lost = sum(1 for sample in result.samples if not answered(sample))
        if not lost or not result.responded or result.error is not None:
            return None
        plain = next((step for line in lines if (step := line.apply(result)) is not None), None)
        if plain is None:
            return None
        why = f"{lost} of {count(len(result.samples), 'sample')} lost; {plain.why}"
        return replace(plain, rule="loss", step=plain.step - lost / len(result.samples), why=why)

    return apply


def rules(extras: Sequence[str] = (), profile: str = "ntppool") -> list[ScoreRule]:
    """Our contributions to the `score_rules` hook: both profiles of the table, and the extras that are asked for."""
    found = [
        ScoreRule(line.id, line.apply, order=10 * (at + 1), profile=name)
        for name in BOTH
        for at, line in enumerate(line for line in TABLE if name in line.profiles)
    ]
    wanted = {"leap": leap, "root_distance": root_distance, "loss": loss(profile)}
    found += [
        ScoreRule(name, wanted[name], order=900 + at) for at, name in enumerate(wanted) if name in extras
    ]
    return found


def in_order(contributed: Iterable[ScoreRule], profile: str) -> tuple[ScoreRule, ...]:
    """The rules that judge under `profile`, in the order in which they are asked: those of no profile first."""
    return tuple(
        sorted(
            (r for r in contributed if r.profile in ("", profile)), key=lambda r: (r.profile != "", r.order)
        )
    )


def judge(
    result: ProbeResult,
    rules_in_order: Sequence[ScoreRule],
    fault: Callable[[ScoreRule, Exception], None] | None = None,
) -> Step:
    """The step of the first rule that fits; a profile without a last rule leaves the score to fade.

    Args:
        result: the probe.
        rules_in_order: see `in_order`.
        fault: told of a rule that raises or gives no number; it is passed over. Without it, it raises.
    """
    for rule in rules_in_order:
        try:
            step = rule.apply(result)
            if step is not None and not math.isfinite(step.step):
                raise ValueError(f"the step {step.step} is not a number")
        except Exception as error:
            if fault is None:
                raise
            fault(rule, error)
            continue
        if step is not None:
            return step
    return Step("no_rule", 0, why="no rule of the profile fits this answer")


def _size(result: ProbeResult) -> float:
    assert result.offset_s is not None  # the rule "error" took every result without one
    return abs(result.offset_s)


def _offset(result: ProbeResult) -> str:
    assert result.offset_s is not None
    return f"offset {seconds(result.offset_s, signed=True)}"


def _failures(result: ProbeResult) -> str:
    """The kinds of failure, as in "timeout and refused", when the samples failed in different ways."""
    kinds = dict.fromkeys(sample.error for sample in result.samples if sample.error)
    return listed(list(kinds)) or result.error or "timeout"
