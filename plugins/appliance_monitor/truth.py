"""Whether a member's time can be believed: a question apart from its score, because wrong time is worse than none.

The score stays exactly the NTP Pool's; what is found here only keeps a member out of the answers.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.api.model import ProbeResult, Step
from appliance.core.figures import seconds
from appliance_monitor.samples import chosen

#: Kiss codes of RFC 5905 figure 13 that say "my clock is not set", rather than something about us.
UNSET_CODES = ("INIT", "STEP")
#: RFC 5905's MAXDISP: past it a server is as good as not synchronised.
MAX_DISTANCE_S = 16.0
#: No honest server keeps a request that long (chrony draws the same line).
MAX_TURNAROUND_S = 4.0


@dataclass(frozen=True, slots=True)
class Untruth:
    """Why a member's time is not to be believed.

    Attributes:
        code: stable word for programs.
        why: a sentence with the figures.
        certain: the member says so itself: once is enough. Otherwise the network may have played a trick on us,
            and it takes two in a row.
    """

    code: str
    why: str
    certain: bool = False


def untruth(result: ProbeResult, tolerance_s: float, step: Step | None = None) -> Untruth | None:
    """What makes this answer untrue, or None. Silence and kiss codes say nothing about the time.

    `tolerance_s` is the largest offset that is still a true time; `step` is what the rules said, for a rule may call a
    probe untruthful too.
    """
    best = chosen(result)
    if not result.responded or best is None:
        return None
    found = _says_so_itself(result) or _cannot_be(result, tolerance_s)
    if found is None and step is not None and step.untruthful:
        return Untruth(step.rule, step.why)
    return found


def _says_so_itself(result: ProbeResult) -> Untruth | None:
    if result.error in UNSET_CODES:
        return Untruth(
            "unsynchronised", f"it says that its clock is not set (kiss code {result.error})", certain=True
        )
    if result.error is not None and result.stratum == 0 and not result.error.startswith("bad stratum"):
        return None  # any other kiss code is about us, not about its time
    if result.leap == 3 or result.stratum in (0, 16):
        said = f"leap indicator {result.leap}, stratum {result.stratum}"
        return Untruth("unsynchronised", f"it says that its clock is not synchronised ({said})", certain=True)
    return None


def _cannot_be(result: ProbeResult, tolerance_s: float) -> Untruth | None:
    best = chosen(result)
    assert best is not None
    if result.error is None and result.offset_s is not None and abs(result.offset_s) > tolerance_s:
        limit = seconds(tolerance_s)
        return Untruth(
            "wrong_time", f"its time is off by {seconds(result.offset_s, signed=True)}, more than {limit}"
        )
    if best.t2_ns is not None and best.t3_ns is not None and best.t3_ns - best.t2_ns > MAX_TURNAROUND_S * 1e9:
        kept_s = (best.t3_ns - best.t2_ns) / 1e9
        return Untruth("implausible", f"it claims to have held our request for {seconds(kept_s)}")
    if best.root_delay_s is not None and best.root_dispersion_s is not None:
        distance_s = best.root_delay_s / 2 + best.root_dispersion_s
        if distance_s >= MAX_DISTANCE_S:
            return Untruth(
                "root_distance",
                f"it says that its time may be wrong by {seconds(distance_s)}",
                certain=True,
            )
    return None
