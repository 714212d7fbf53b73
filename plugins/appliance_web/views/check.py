"""What a live check of a server found, line by line as it comes: pure words from samples; every text may be hostile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.api.model import ProbeResult, Sample
from appliance.wire.ntp import refid_text
from appliance_web import words
from appliance_web.charts import Thresholds
from appliance_web.charts.history import classed
from appliance_web.views.standing import Sentence, Shape

#: The NTP Pool registers stratum 1 to 5; from 8 on the score rules take points.
_POOL_STRATUM = 5
_SCORED_DOWN_STRATUM = 8
#: RFC 5905 calls a distance of more than this no fit source (MAXDIST).
_MOST_DISTANCE_S = 1.5
_CELL: dict[str, Shape] = {"good": "ok", "fair": "degraded", "bad": "failing"}
_KISSES = {
    "RATE": "it asks us to slow down",
    "DENY": "it refuses to serve us",
    "RSTR": "it refuses to serve us",
    "INIT": "its clock is not set yet",
    "STEP": "its clock was just stepped",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was found out.

    Attributes:
        shape: how good that is.
        text: in words.
    """

    shape: Shape
    text: str


def sample_line(number: int, sample: Sample, limits: Thresholds | None) -> Line:
    """What one request brought."""
    if sample.offset_s is None or sample.error:
        return Line("failing", f"Request {number}: {sample.error or 'no answer'}")
    shape = _CELL[classed(sample.offset_s, limits)]
    return Line(
        shape,
        f"Request {number}: {words.offset(sample.offset_s)} from our clock, {words.seconds(sample.rtt_s)} there and back",
    )


def findings(result: ProbeResult) -> list[Line]:
    """What all requests together say about the server."""
    heard = [s for s in result.samples if s.stratum is not None]
    if not heard:
        return [Line("failing", "Not reachable: is it running, and does a firewall let UDP through?")]
    good = [s for s in heard if s.error is None and s.offset_s is not None]
    best = min(good, key=lambda s: s.rtt_s or 0.0) if good else heard[-1]
    lines = [
        Line(
            "ok" if len(heard) == len(result.samples) else "degraded",
            f"Reachable: {len(heard)} of {words.plural(len(result.samples), 'request')} answered",
        )
    ]
    kisses = sorted({s.error for s in heard if s.error and s.stratum == 0})
    lines += [Line("failing", f"Kiss code {k}{': ' + _KISSES[k] if k in _KISSES else ''}") for k in kisses]
    if not kisses:
        lines.append(Line("ok", "No kiss code, also when asked several times in a row"))
    stratum = best.stratum or 0
    if stratum:
        lines.append(_stratum(stratum))
    if best.leap is not None and not (kisses and not good):
        bad = best.leap == 3
        lines.append(Line("failing" if bad else "ok", f"Leap indicator: {words.leap(best.leap)}"))
    refid = refid_text(best.refid, stratum)
    if refid and stratum:
        lines.append(Line("none", f"It follows {refid}"))
    if best.root_delay_s is not None and best.root_dispersion_s is not None and good:
        distance_s = best.root_delay_s / 2 + best.root_dispersion_s
        shape: Shape = "ok" if distance_s < _MOST_DISTANCE_S else "failing"
        lines.append(
            Line(
                shape, f"Root distance {words.seconds(distance_s)}: the most that it says it may be wrong by"
            )
        )
    if best.version is not None:
        lines.append(
            Line("ok" if best.version in (3, 4) else "degraded", f"Answers in NTP version {best.version}")
        )
    return lines


def _stratum(stratum: int) -> Line:
    if stratum >= _SCORED_DOWN_STRATUM:
        return Line("failing", f"Stratum {stratum} loses points at every probe")
    if stratum > _POOL_STRATUM:
        return Line(
            "degraded", f"Stratum {stratum} is more than the NTP Pool would take (1 to {_POOL_STRATUM})"
        )
    return Line("ok", f"Stratum {stratum}")


def verdict(result: ProbeResult, limits: Thresholds | None) -> Sentence:
    """The check of one address in one sentence."""
    if result.offset_s is None:
        why = result.error or "no answer"
        text = f"It answers, but not with time: {why}." if result.responded else f"No answer: {why}."
        return Sentence("failing", text)
    if result.leap == 3:
        return Sentence("failing", "It says that its clock is not synchronised.")
    shape = _CELL[classed(result.offset_s, limits)]
    figures = f"{words.offset(result.offset_s)} from our clock, stratum {result.stratum}, {words.seconds(result.rtt_s)} there and back."
    head = {"ok": "Good time:", "degraded": "Usable time:", "failing": "Wrong time:"}[shape]
    return Sentence(shape, f"{head} {figures}")


def offsets(samples: Sequence[Sample]) -> list[float]:
    """For the dot plot."""
    return [s.offset_s for s in samples if s.offset_s is not None and s.error is None]
