"""A member's page: facts, points for the charts, and the table of its last probes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from appliance.api.model import Level, Member
from appliance_web import words
from appliance_web.charts import Thresholds
from appliance_web.charts.history import Point, classed
from appliance_web.journal import Entry
from appliance_web.views.standing import Probe, Row, Sentence, Shape


@dataclass(frozen=True, slots=True)
class Range:
    """How far back the charts go."""

    key: str
    label: str
    length_s: float


RANGES: Mapping[str, Range] = {
    r.key: r
    for r in (
        Range("1h", "1 hour", 3600),
        Range("6h", "6 hours", 6 * 3600),
        Range("1d", "1 day", 86400),
        Range("7d", "7 days", 7 * 86400),
        Range("30d", "30 days", 30 * 86400),
        Range("1y", "1 year", 365 * 86400),
    )
}
DEFAULT_RANGE = "6h"
CELLS = 48


def facts(row: Row, now: float, owner: str = "") -> list[tuple[str, str]]:
    """Label and value pairs, only those that say something."""
    m: Member = row.member
    pairs: list[tuple[str, str | None]] = [
        ("Address", row.place),
        ("Name", m.name or None),
        ("Weight (netspeed)", words.count(m.netspeed) + ("" if m.netspeed else ", watched only")),
        ("Zones", ", ".join(m.zones)),
        ("Operator", m.operator or None),
        ("Owner", owner or ("an account that is gone" if m.owner else None)),
        ("Tags", ", ".join(m.tags) or None),
        ("Stratum", None if row.last.stratum is None else str(row.last.stratum)),
        ("Leap second", words.leap(row.last.leap) if row.last.leap is not None else None),
        ("Share of its weight", _weight_factor(row)),
        ("Vouched for", {"admin": "by an administrator", "declared": "by the configuration file", "http": "by a token on its web server",
                         "txt": "by a DNS TXT record"}.get(m.verified_by, m.verified_by) or "not yet"),
        ("Comes from", "the configuration file, which alone can change it" if m.declared else "this page, the API or the command line"),
        ("Added", words.ago(m.added_at, now) if m.added_at else None),
        ("Will be removed", words.ago(m.remove_at, now) if m.remove_at else None),
        ("Note", m.note or None),
    ]  # fmt: skip
    return [(label, value) for label, value in pairs if value]


def since(said: Sentence, row: Row, turned: Sequence[Entry], now: float) -> Sentence:
    """The sentence with the moment from which it holds, where the journal remembers the member's last coming or going.

    Args:
        said: how it stands.
        row: the member.
        turned: its newest entry of kind "verdict", or nothing.
        now: epoch seconds.
    """
    if not turned or (turned[0].level is Level.OK) != row.in_pool or row.member.state != "active":
        return said
    when = words.moment(turned[0].ts)
    clock = f"{when[11:16]} UTC" if now - turned[0].ts < 20 * 3600 else f"{when[:16]} UTC"
    head, _, rest = said.text.partition(":")
    if row.in_pool:
        return replace(said, text=f"In the pool since {clock}{said.text.removeprefix('In the pool')}")
    if head in ("Out", "Out of the pool."):
        return replace(said, text=f"Out since {clock}{':' + rest if rest else '.'}")
    return said


def _weight_factor(row: Row) -> str | None:
    if row.verdict is None or row.verdict.weight_factor >= 1 or not row.verdict.in_pool:
        return None
    return f"{words.percent(row.verdict.weight_factor)} (it has entered lately, or its score falls)"


def siblings(member: Member, everybody: Iterable[Member]) -> list[Member]:
    """Other addresses of the same host."""
    return [m for m in everybody if member.name and m.name == member.name and m.id != member.id]


def beginning(found: Sequence[Point], now: float, chosen: Range) -> float:
    """Where the charts start: the range's start, or the first value when the history is younger than that."""
    start = now - chosen.length_s
    first = found[0].ts if found else start
    return first if start + chosen.length_s / 10 < first < now - 1 else start


def shape(probe: Probe, limits: Thresholds | None) -> Shape:
    """How good a single answer is."""
    return "failing" if probe.error or probe.offset_s is None else _CELL[classed(probe.offset_s, limits)]


_CELL: Mapping[str, Shape] = {"good": "ok", "fair": "degraded", "bad": "failing"}


def cell(offset_s: float | None, limits: Thresholds | None) -> Shape:
    """How an offset looks in a strip."""
    return "failing" if offset_s is None else _CELL[classed(offset_s, limits)]


_RANK = {"none": 0, "ok": 1, "degraded": 2, "failing": 3}


def cell_count(found: Iterable[Sequence[Point]]) -> int:
    """How many cells suit the points of all monitors: no finer than the probes, or a good server would look full of holes."""
    return max(1, min(CELLS, max((len(points) for points in found), default=0) * 2 // 3))


def cells(
    found: Sequence[Point], start: float, end: float, limits: Thresholds | None, number: int = CELLS
) -> list[str]:
    """The window cut into cells, each with the worst of what was seen in it: "ok", "degraded", "failing", "none".

    Of many probes in one point their median counts, as in the chart.
    """
    worst = ["none"] * number
    for p in found:
        at = int((p.ts - start) / (end - start) * number)
        if not 0 <= at < number:
            continue
        seen = cell(p.shown_s, limits)
        if _RANK[seen] > _RANK[worst[at]]:
            worst[at] = seen
    return worst
