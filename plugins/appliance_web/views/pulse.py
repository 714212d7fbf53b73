"""The overview's figures at a glance: what is asked, what the clock is worth, how the machine is, and the zones by family."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from appliance.core.ordering import natural
from appliance_web import words
from appliance_web.charts import share_bar, sparkline
from appliance_web.charts.scale import Linear
from appliance_web.views import traffic
from appliance_web.views.overview import Card
from appliance_web.views.standing import Row, Shape, number

#: Below this share of free room, and above this temperature, a person should know.
_LITTLE_ROOM, _NO_ROOM = 0.10, 0.02
_WARM_C, _HOT_C = 70.0, 80.0
_WORN = 0.8


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: large, with what it is and how it went."""

    label: str
    value: str
    unit: str
    spark: Markup
    link: str


def figures(asked: Any, clock: Any, history: Any) -> list[Figure]:
    """Queries a second and the clock.

    Args:
        asked: GET /api/v1/traffic.
        clock: GET /api/v1/clock.
        history: GET /api/v1/clock/history.
    """
    found = []
    for label, column, link in (("NTP", "ntp_per_s", "/time"), ("DNS", "dns_per_s", "/dns")):
        value, spark = traffic.spark(asked, column, f"{label} queries in the last quarter of an hour")
        found.append(
            Figure(
                f"{label} queries",
                value,
                "a second" if value != words.DASH else "not counted yet",
                spark,
                link,
            )
        )
    if isinstance(clock, Mapping):
        right = number(clock.get("root_distance_s")) if clock.get("synchronised") else None
        value, _, unit = words.seconds(right).partition(" ")
        rows = history.get("points") if isinstance(history, Mapping) else None
        offsets = [number(r.get("offset_s")) for r in rows or () if isinstance(r, Mapping)]
        known = [abs(v) for v in offsets if v is not None]
        spark = Markup("")
        if known:
            limit = max(*known, 1e-9)
            spark = sparkline(
                offsets,
                f"Offset of the clock in the last hour, at most {words.seconds(limit)}",
                Linear(-limit, limit, 16.0),
                zero=0.0,
            )
        said = f"{unit} at most wrong" if right is not None else "not synchronised"
        found.append(Figure("Clock", f"±{value}" if right is not None else words.DASH, said, spark, "/clock"))
    return found


@dataclass(frozen=True, slots=True)
class ZoneLine:
    """One zone: servers in and all, by family, and a bar of the share that is in."""

    name: str
    ipv4: str
    ipv6: str
    shape: Shape
    word: str
    bar: Markup


def zone_lines(rows: Iterable[Row], most: int = 12) -> list[ZoneLine]:
    """Zones by their name, the whole pool first; servers that are set aside do not count."""
    counts: dict[str, dict[int, list[int]]] = {}
    for row in rows:
        if row.word in ("paused", "leaving", "watched only"):
            continue
        for zone in {"@", *row.member.zones}:
            family = counts.setdefault(zone, {4: [0, 0], 6: [0, 0]})[row.member.family]
            family[0] += row.in_pool
            family[1] += 1
    return [
        _zone(zone, families)
        for zone, families in sorted(counts.items(), key=lambda z: (z[0] != "@", natural(z[0])))[:most]
    ]


def _zone(zone: str, families: Mapping[int, Sequence[int]]) -> ZoneLine:
    inside, all_ = (sum(families[f][i] for f in (4, 6)) for i in (0, 1))
    shape: Shape = "failing" if not inside else "degraded" if inside * 2 < all_ else "ok"
    word = f"{inside} of {all_} in"
    name = "the whole pool" if zone == "@" else zone
    return ZoneLine(name, _of(families[4]), _of(families[6]), shape, word, share_bar(inside / all_, word))


def _of(family: Sequence[int]) -> str:
    return f"{family[0]} of {family[1]}" if family[1] else words.DASH


def machine_card(value: Any) -> Card | None:
    """From GET /api/v1/machine: the machine as a card, with what needs a person in its verdict."""
    if not isinstance(value, Mapping):
        return None
    wrong: list[tuple[Shape, str]] = []
    facts: list[tuple[str, str]] = []
    disk, memory = _map(value.get("disk")), _map(value.get("memory"))
    total, free = number(disk.get("total_bytes")), number(disk.get("free_bytes"))
    if total and free is not None:
        facts.append(("Free on the disk", f"{words.size(free)} of {words.size(total)}"))
        if free / total < _LITTLE_ROOM:
            wrong.append(
                (
                    "failing" if free / total < _NO_ROOM else "degraded",
                    f"the disk has {words.size(free)} left",
                )
            )
    if disk.get("writable") is False:
        wrong.append(("failing", "the disk cannot be written"))
    total, free = number(memory.get("total_bytes")), number(memory.get("available_bytes"))
    if total and free is not None:
        facts.append(("Memory available", f"{words.size(free)} of {words.size(total)}"))
        if free / total < _LITTLE_ROOM / 2:
            wrong.append(("degraded", f"{words.size(free)} of memory are left"))
    load, cpus = number(value.get("load")), int(number(value.get("cpus")) or 1)
    if load is not None:
        facts.append(("Load", f"{load:.2f} on {words.plural(cpus, 'processor')}"))
    heat = number(value.get("temperature_c"))
    if heat is not None:
        facts.append(("Temperature", f"{heat:.0f} °C"))
        if heat >= _WARM_C:
            wrong.append(("failing" if heat >= _HOT_C else "degraded", f"it is {heat:.0f} °C hot"))
    life = number(value.get("life_used"))
    if life is not None:
        facts.append(("Life of the eMMC used", f"about {words.percent(life)}"))
        wrong += [("degraded", "the eMMC is worn")] if life >= _WORN else []
    wrong += [("degraded", str(w)) for w in value.get("throttled") or ()]
    before = [str(w) for w in value.get("throttled_before") or ()]
    facts += [("Since the start", ", ".join(before))] if before else []
    up = number(value.get("uptime_s"))
    facts += [("Running for", words.duration(up))] if up is not None else []
    shape: Shape = "ok" if not wrong else "failing" if any(s == "failing" for s, _ in wrong) else "degraded"
    said = "; ".join(text for _, text in wrong)
    return Card(
        "This box",
        "",
        shape,
        f"{said[:1].upper()}{said[1:]}." if said else "Room, memory and heat are well.",
        facts,
    )


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
