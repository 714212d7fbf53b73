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
from appliance_web.views.standing import Row, Shape, is_beginning, number

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


def pool_figure(rows: Sequence[Row], past: Sequence[float | None]) -> Figure:
    """How many servers are in the pool.

    Args:
        rows: all servers.
        past: how many were in over the last day, oldest first.
    """
    inside = sum(r.in_pool for r in rows)
    values = [*past, float(inside)]
    most = max(v for v in values if v is not None)
    title = f"Servers in the pool in the last day, {inside} now"
    spark = sparkline(values, title, Linear(0.0, max(most, 1.0) * 1.05, 16.0)) if past else Markup("")
    return Figure(
        "In the pool", words.count(inside), f"of {words.plural(len(rows), 'server')}", spark, "/members"
    )


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
    members: dict[str, list[Row]] = {}
    for row in rows:
        if row.word in ("paused", "leaving", "watched only"):
            continue
        for zone in {"@", *row.member.zones}:
            members.setdefault(zone, []).append(row)
    return [
        _zone(zone, inside)
        for zone, inside in sorted(members.items(), key=lambda z: (z[0] != "@", natural(z[0])))[:most]
    ]


def _zone(zone: str, rows: Sequence[Row]) -> ZoneLine:
    inside = sum(r.in_pool for r in rows)
    word = f"{inside} of {len(rows)} in"
    # Who is new is not expected to be in, and takes nothing from a zone that is in order.
    expected = sum(r.word != "new" for r in rows)
    shape: Shape = (
        "none"
        if is_beginning(rows)
        else "failing"
        if not inside
        else "degraded"
        if inside * 2 < expected
        else "ok"
    )
    name = "the whole pool" if zone == "@" else zone
    return ZoneLine(name, _of(rows, 4), _of(rows, 6), shape, word, share_bar(inside / len(rows), word))


def _of(rows: Sequence[Row], family: int) -> str:
    among = [r for r in rows if r.member.family == family]
    return f"{sum(r.in_pool for r in among)} of {len(among)}" if among else words.DASH


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
