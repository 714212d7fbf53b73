"""Builds the whole zone as one snapshot: pure, and only when something that it depends on has changed.

Names: the pool's zone ("@") and every zone of its tree, each bare and with 0. to 3. in front, with A and AAAA that
rotate; SOA and NS with glue at the top; the records of the configuration and of other plugins.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from appliance.api.contrib import AnswerRecord
from appliance.core.figures import percent
from appliance.dataplane.dns_slow import chaos_sections
from appliance.dataplane.dns_snapshot import (
    ONE,
    AnswerSnapshot,
    Denial,
    HandUp,
    Node,
    Rotation,
    Section,
    TcpLimits,
    soa_pieces,
)
from appliance.wire.dns import (
    HINFO,
    MX,
    NS,
    NXDOMAIN,
    QUESTION_POINTER,
    ROOT,
    SERVFAIL,
    SOA,
    address_rdata,
    address_type,
    encode_name,
    is_below,
    mx_rdata,
    name_text,
    parents,
    record,
    type_name,
)
from appliance.wire.errors import WireError
from appliance.wire.siphash import siphash
from appliance_dns.config import DnsConfig, NameServer
from appliance_dns.live import owner_name
from appliance_dns.pools import APEX
from appliance_dns.records import Records, ZoneRecord
from appliance_dns.selection import Choice, Table, table

#: How long resolvers remember that a family has nobody: short, because that ends at any moment.
EMPTY_TTL_S = 30
#: EDE 0, Other Error, with words (RFC 8914 section 4.1). It must not tell anything about members.
_NOBODY = b"\0\0" + b"no usable time server now"
_STATIC_TTL_S = 3600
_ANY_TTL_S = 3600
_TYPES = {4: 1, 6: 28}


@dataclass(frozen=True, slots=True)
class Pool:
    """What one zone may answer in one family.

    Attributes:
        choices: usable addresses.
        wanted: whether the family has members at all, usable or not.
    """

    choices: tuple[Choice, ...] = ()
    wanted: bool = False


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the draw and the cookies rest on."""

    draw: bytes
    cookies: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the zone depends on, except its serial. Equal plans give equal zones.

    Attributes:
        pools: by zone path and family.
        contributed: records of other plugins, by the name of their source.
        own_addresses: of this box, for a zone without name servers in the configuration.
        epoch: the order of the circle changes with it.
        live: labels in front of the zone that are answered anew for each query.
    """

    config: DnsConfig
    pools: Mapping[tuple[str, int], Pool]
    secrets: Secrets
    contributed: tuple[tuple[str, tuple[AnswerRecord, ...]], ...] = ()
    own_addresses: tuple[str, ...] = ()
    epoch: int = 0
    live: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Zone:
    """A built zone.

    Attributes:
        snapshot: what the data plane answers from.
        tables: by zone path and family: the draw's table, whose choices are those of the plan.
        names: by lower-case wire name of each rotating name, the zone path that it belongs to and the label before it.
        records: the records that never rotate, but for the SOA.
        soa: its RDATA as text.
        problems: what could not go into the zone, in words.
    """

    plan: Plan
    snapshot: AnswerSnapshot
    tables: Mapping[tuple[str, int], Table]
    names: Mapping[bytes, tuple[str, str]]
    records: tuple[ZoneRecord, ...]
    soa: str
    problems: tuple[str, ...] = ()


def build(plan: Plan, serial: int, before: Zone | None = None) -> Zone:
    """Turn a plan into a zone; what did not change is taken over from the zone `before`."""
    config = plan.config
    zone = config.zone_name()
    names, problems = _rotating_names(plan)
    records = Records(zone, frozenset(names), problems)
    _own_records(plan, records, names)
    for source, contributed in plan.contributed:
        records.add_contributed(contributed, source)

    soa = _soa(plan, serial)
    negative = soa_pieces(zone, *soa.names, min(config.soa.ttl, config.soa.minimum), soa.numbers)
    brief = soa_pieces(zone, *soa.names, min(config.soa.ttl, config.soa.minimum, EMPTY_TTL_S), soa.numbers)
    apex_soa = Section(1, QUESTION_POINTER.join(soa_pieces(zone, *soa.names, config.soa.ttl, soa.numbers)))

    tables = {key: _table(plan, key, before) for key in plan.pools}
    rotations = _rotations(plan, tables, brief)
    nodes = {name: records.node(name) for name in records.names()}
    for name, (path, label) in names.items():
        static = records.sections(name) | ({SOA: apex_soa} if name == zone else {})
        rotating, denied = rotations(path, label)
        nodes[name] = Node(static=static, rotating=rotating, denied=denied)
        for above in parents(name):
            if not is_below(above, zone):
                break
            nodes.setdefault(above, Node())
    snapshot = AnswerSnapshot(
        zone=zone,
        serial=serial,
        names=nodes,
        nodata=Denial(0, negative),
        nxdomain=Denial(NXDOMAIN, negative),
        any_section=Section(1, record(HINFO, _ANY_TTL_S, b"\x07RFC8482\x00")),
        expire_s=config.soa.expire,
        nsid=config.nsid.encode(),
        chaos=chaos_sections(config.version, config.nsid),
        draw_secret=plan.secrets.draw,
        slot_ns=config.coherence_s * 1_000_000_000,
        cookie_secrets=plan.secrets.cookies,
        hand_up=HandUp(names=_live_names(plan, nodes, records.problems)),
        rate_limit=config.rate_limit.compiled(),
        largest_unproven=config.largest_without_cookie,
        tcp=TcpLimits(idle=round(config.tcp_idle_s * 10), clients=config.tcp_clients),
    )
    return Zone(plan, snapshot, tables, names, tuple(records), soa.text, tuple(records.problems))


def _rotating_names(plan: Plan) -> tuple[dict[bytes, tuple[str, str]], list[str]]:
    """Wire names that give members, with zone path and label of each; and zone paths that cannot be names."""
    names: dict[bytes, tuple[str, str]] = {}
    problems = []
    for path in dict.fromkeys(path for path, _ in plan.pools):
        zone = plan.config.zone if path == APEX else f"{path}.{plan.config.zone}"
        for label in plan.config.names():
            try:
                name = encode_name(f"{label}.{zone}" if label else zone).lower()
            except WireError as error:
                problems.append(f"zone {path}: {error}")
                break
            if names.setdefault(name, (path, label)) != (path, label):
                problems.append(f"zone {path}: {name_text(name)} is a numbered name already")
                break
    return names, problems


def name_servers(plan: Plan) -> list[tuple[bytes, NameServer]]:
    """The zone's name servers by wire name: those of the configuration, or ns1 with our own addresses."""
    configured = plan.config.ns or (NameServer(name="ns1", addresses=plan.own_addresses),)
    return [
        (encode_name(ns.name if "." in ns.name else f"{ns.name}.{plan.config.zone}").lower(), ns)
        for ns in configured
    ]


def _own_records(plan: Plan, records: Records, names: Mapping[bytes, tuple[str, str]]) -> None:
    config, zone = plan.config, records.zone
    for owner, server in name_servers(plan):
        records.add(zone, NS, _STATIC_TTL_S, owner, f"{name_text(owner)}.")
        if not is_below(owner, zone):
            continue
        if owner in names:
            records.problems.append(
                f"name server {name_text(owner)}: this name gives members; choose another"
            )
        elif not server.addresses:
            records.problems.append(
                f"name server {name_text(owner)}: it is inside the zone and has no addresses"
            )
        else:
            for address in server.addresses:
                records.add_address(owner, address, _STATIC_TTL_S)
    if config.null_mx:
        for name in names:
            records.add(name, MX, _STATIC_TTL_S, mx_rdata(0, ROOT), "0 .")


def _live_names(plan: Plan, nodes: Mapping[bytes, Node], problems: list[str]) -> tuple[bytes, ...]:
    """Wire names of what is answered live; a name that the zone has stays as it is."""
    found = []
    for label in plan.live:
        try:
            name = owner_name(label, plan.config.zone_name())
            if name in nodes:
                raise WireError("the zone has records there")
        except WireError as error:
            problems.append(f"live name {label}: {error}")
            continue
        found.append(name)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _SoaParts:
    names: tuple[bytes, bytes]
    numbers: tuple[int, int, int, int, int]
    text: str


def _soa(plan: Plan, serial: int) -> _SoaParts:
    soa = plan.config.soa
    mname, rname = name_servers(plan)[0][0], plan.config.mailbox()
    numbers = (serial, soa.refresh, soa.retry, soa.expire, soa.minimum)
    text = f"{name_text(mname)}. {name_text(rname)}. {' '.join(map(str, numbers))}"
    return _SoaParts((mname, rname), numbers, text)


def _table(plan: Plan, key: tuple[str, int], before: Zone | None) -> Table:
    pool, most, secret = plan.pools[key], plan.config.max_records, plan.secrets.draw
    if before is not None and key in before.tables:
        old = before.plan
        if (old.pools[key], old.epoch, old.secrets, old.config.max_records) == (
            pool,
            plan.epoch,
            plan.secrets,
            most,
        ):
            return before.tables[key]
    salt = struct.pack("!Q", plan.epoch)
    return table(pool.choices, most, lambda address: siphash(secret, salt + address_rdata(address), 1, 3))


_Rotating = Callable[[str, str], tuple[dict[int, Rotation], dict[int, Denial]]]


def _rotations(plan: Plan, tables: Mapping[tuple[str, int], Table], brief: tuple[bytes, ...]) -> _Rotating:
    """What a name of a zone path rotates; names of one path share their tables and look at different places of them."""
    shared: dict[tuple[str, int], tuple[tuple[bytes, ...], int]] = {}
    mark = 0
    for key, drawn in tables.items():
        shared[key] = (tuple(_encoded(drawn, plan.pools[key].choices)), mark)
        mark += 8 * len(drawn.sets)

    def of_name(path: str, label: str) -> tuple[dict[int, Rotation], dict[int, Denial]]:
        rotating: dict[int, Rotation] = {}
        denied: dict[int, Denial] = {}
        for family, rrtype in _TYPES.items():
            key = (path, family)
            if key not in tables:
                continue
            drawn = tables[key]
            if not drawn.size:
                denied[rrtype] = _denial(plan.config.on_empty, brief, wanted=plan.pools[key].wanted)
                continue
            sets, mark = shared[key]
            offset, turn = place_of(label)
            stride = len(sets[0]) // (2 * drawn.size)
            rotating[rrtype] = Rotation(drawn.cuts, sets, drawn.size, stride, offset, turn, mark)
        return rotating, denied

    return of_name


def place_of(label: str) -> tuple[int, int]:
    """Where on the circle a name looks, and by how many places it turns the order.

    The numbered names lie a quarter apart, so that together they show as many members as there can be; the bare name
    lies between 0 and 1.
    """
    return (int(label) * ONE // 4, int(label)) if label else (ONE // 8, 2)


def _encoded(drawn: Table, choices: tuple[Choice, ...]) -> Iterator[bytes]:
    """Each set's records, twice over; all of one set live as long as its shortest."""
    rdata = [(address_type(choice.address), address_rdata(choice.address)) for choice in choices]
    ready: dict[tuple[int, int], bytes] = {}
    for members in drawn.sets:
        ttl_s = min(choices[i].ttl_s for i in members)
        records = b""
        for i in members:
            if (i, ttl_s) not in ready:
                ready[i, ttl_s] = record(rdata[i][0], ttl_s, rdata[i][1])
            records += ready[i, ttl_s]
        yield records + records


def _denial(on_empty: str, brief: tuple[bytes, ...], *, wanted: bool) -> Denial:
    if not wanted:
        return Denial(0, brief)
    if on_empty == "servfail":
        return Denial(SERVFAIL, (), _NOBODY)
    return Denial(0, brief, _NOBODY)


def zone_file(zone: Zone) -> str:
    """The zone in presentation form (RFC 1035 section 5), rotating names with every address they may give."""
    config = zone.plan.config
    lines = [f"$ORIGIN {config.zone}.", f"{config.zone}. {config.soa.ttl} IN SOA {zone.soa}"]
    lines += [
        f"{name_text(entry.owner)}. {entry.ttl_s} IN {type_name(entry.rrtype)} {entry.text}"
        for entry in sorted(zone.records, key=lambda r: (r.rrtype != NS, r.owner, r.rrtype))
    ]
    for name, (path, _label) in zone.names.items():
        for family, rrtype in _TYPES.items():
            pool, drawn = zone.plan.pools[path, family], zone.tables[path, family]
            lines += [
                f"{name_text(name)}. {choice.ttl_s} IN {type_name(rrtype)} {choice.address}"
                f" ; in {percent(probability / ONE)} of the answers"
                for choice, probability in zip(pool.choices, drawn.probabilities, strict=True)
            ]
    return "\n".join(lines) + "\n"
