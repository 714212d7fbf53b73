"""Why this answer: what a client would get now, and every candidate with its chance and its reason."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from appliance.api.errors import Invalid, NotFound
from appliance.core import ordering
from appliance.dataplane.dns_decide import decide
from appliance.dataplane.dns_reply import HANDED_UP, Arrival
from appliance.dataplane.dns_snapshot import ONE
from appliance.wire.dns import (
    AAAA,
    ANY,
    CLASS_IN,
    CNAME,
    HEADER_BYTES,
    RCODE_NAMES,
    SOA,
    A,
    encode_name,
    is_below,
    name_text,
    type_name,
    type_number,
)
from appliance.wire.errors import WireError
from appliance_dns.pools import Place
from appliance_dns.zone import Zone

if TYPE_CHECKING:
    from appliance_dns.answers import Answers

_FAMILIES = {A: 4, AAAA: 6}


def explain(answers: Answers, name: str, rrtype: str, client: str | None) -> dict[str, Any]:
    """See `appliance.api.services.AnswerTable.explain`."""
    zone = answers.zone
    assert zone is not None
    owner = full_name(name, zone)
    number = _type(rrtype)
    source = _client(client)
    now_ns = answers.inputs.wall_ns()
    query = struct.pack("!HHHHHH", 0, 0, 1, 0, 0, 0) + owner + struct.pack("!HH", number, CLASS_IN)
    reply, rcode, _, _ = decide(query, source, "tcp", now_ns, zone.snapshot)
    live = rcode == HANDED_UP
    if live:
        arrival = Arrival(source, "tcp", now_ns, 0)
        reply, rcode, _, _ = answers.inputs.live(query, arrival, zone.snapshot)
    assert reply is not None
    path, _label = zone.names.get(owner, ("", ""))
    key = (path, _FAMILIES.get(number, 0))
    if key in zone.tables:
        given, ttl_s = addresses(reply, len(query))
        candidates = _candidates(zone, key, answers.standing.get(key, ()), given)
        note = answers.notes.get(key, "") or _note(candidates, zone)
    elif live:
        given, ttl_s = _texts(reply)
        candidates, note = [], "this name is answered anew for each query"
    else:
        given, ttl_s = _static(zone, owner, number)
        candidates, note = [], ""
    return {
        "name": name_text(owner),
        "type": type_name(number),
        "zone": path,
        "client": source,
        "rcode": RCODE_NAMES.get(rcode, str(rcode)),
        "serial": zone.snapshot.serial,
        "ttl": ttl_s,
        "answer": given,
        "candidates": candidates,
        "stale": answers.stale,
        "note": note,
    }


def full_name(text: str, zone: Zone) -> bytes:
    """Wire name of what a person writes: "0", "@", "de", "0.pool.example.org", "pool.example.org.".

    Raises:
        NotFound: there is no such name in the zone.
        Invalid: no name at all.
    """
    apex = zone.snapshot.zone
    short = text.strip().lower()
    try:
        name = apex if short in ("", "@") else encode_name(short)
        if not is_below(name, apex) and not short.endswith("."):
            name = name[:-1] + apex
            name = encode_name(name_text(name))
    except WireError as error:
        raise Invalid(str(error), errors={"name": str(error)}) from None
    live = any(is_below(name.lower(), owner) for owner in zone.snapshot.hand_up.names)
    if name not in zone.snapshot.names and not live:
        raise NotFound(f"{name_text(name)} is not in the zone {name_text(apex)}")
    return name


def _type(text: str) -> int:
    try:
        return type_number(text)
    except WireError as error:
        raise Invalid(str(error), errors={"type": str(error)}) from None


def _client(text: str | None) -> str:
    try:
        return str(ipaddress.ip_address((text or "127.0.0.1").strip()))
    except ValueError:
        raise Invalid(f"{text!r} is not an IP address", errors={"from": "expected an IP address"}) from None


def addresses(reply: bytes, at: int) -> tuple[list[str], int | None]:
    """Addresses and TTL in a reply whose answers all point to the question."""
    count = struct.unpack_from("!H", reply, 6)[0]
    found = []
    ttl_s = None
    for _ in range(count):
        _pointer, _rrtype, _class, ttl_s, length = struct.unpack_from("!HHHIH", reply, at)
        at += HEADER_BYTES + length
        found.append(str(ipaddress.ip_address(reply[at - length : at])))
    return found, ttl_s


def _texts(reply: bytes) -> tuple[list[str], int | None]:
    """Texts and TTL of the records in any reply."""
    import dns.message

    found = dns.message.from_wire(reply).answer
    return [item.to_text() for group in found for item in group], found[0].ttl if found else None


def _static(zone: Zone, owner: bytes, number: int) -> tuple[list[str], int | None]:
    """Texts and TTL of records that never rotate."""
    config = zone.plan.config
    if number == SOA:
        return ([zone.soa], config.soa.ttl) if owner == zone.snapshot.zone else ([], None)
    if number == ANY:
        return ['"RFC8482" ""'], 3600
    found = [r for r in zone.records if r.owner == owner and r.rrtype in (number, CNAME)]
    return [r.text for r in found], found[0].ttl_s if found else None


def _candidates(
    zone: Zone, key: tuple[str, int], standing: Sequence[Place], given: list[str]
) -> list[dict[str, Any]]:
    pool, drawn = zone.plan.pools[key], zone.tables[key]
    chance = {c.address: p / ONE for c, p in zip(pool.choices, drawn.probabilities, strict=True)}
    rows: list[dict[str, Any]] = []
    for place in standing:
        member, verdict = place.candidate.member, place.candidate.verdict
        inside = place.choice is not None
        rows.append(
            {
                "id": member.id,
                "address": member.address,
                "port": member.port,
                "name": member.name,
                "operator": member.operator,
                "netspeed": member.netspeed,
                "weight": place.candidate.weight if inside else 0,
                "probability": chance.get(member.address, 0.0) if inside else 0.0,
                "in": inside,
                "in_answer": inside and member.address in given,
                "reason": place.reason,
                "code": verdict.code if verdict is not None else "unknown",
                "score": verdict.score if verdict is not None else None,
            }
        )
    rows.sort(key=lambda row: ordering.server(row["name"], row["address"], row["port"]))
    return rows


def _note(candidates: Sequence[dict[str, Any]], zone: Zone) -> str:
    inside = sum(1 for row in candidates if row["in"])
    if not candidates:
        return "no member of this family is registered"
    if inside == 0:
        return "nobody is usable"
    if inside <= zone.plan.config.max_records:
        return f"all {inside} usable members are in every answer" if inside > 1 else "the only usable member"
    return ""
