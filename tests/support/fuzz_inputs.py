"""The inputs of the fuzz targets, read in Python: `rust/core/fuzz/harness/*.rs` read the same bytes in the same order.

So every input that fuzzing kept also compares the two planes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from appliance.api.model import ClockState
from appliance.dataplane.dns_snapshot import AnswerSnapshot, Denial, Node, Rotation, Section
from appliance.dataplane.interface import NtpPolicy, PrefixRule, RateLimit
from tests.support.programs import REPOSITORY

CORPUS = REPOSITORY / "appliance" / "dataplane" / "rust" / "core" / "fuzz" / "corpus"
MOST_PACKETS = 24

NTP_WALL_NS = 2_085_978_495_000_000_000
DNS_NOW_NS = 1_800_000_000_000_000_000


def corpus(target: str) -> list[Path]:
    """Every input that is kept for `target` ("ntp", "dns")."""
    return sorted((CORPUS / target).iterdir())


class Input:
    """What is left of an input; past its end everything is zero."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def bytes(self, most: int) -> bytes:
        taken = self._data[self._at : self._at + most]
        self._at += len(taken)
        return taken

    def array(self, size: int) -> bytes:
        return self.bytes(size).ljust(size, b"\0")

    def number(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.array(size), signed=signed)

    def below(self, below: int) -> int:
        return self.number(1) % below


# -- ntp


class NtpPacket(NamedTuple):
    """One step of a sequence."""

    packet: bytes
    source: tuple[int, int, int]
    own: tuple[int, int]
    rx_ns: int
    tx_ns: int
    mono_ns: int
    noise: int


def ntp(data: bytes) -> tuple[ClockState, NtpPolicy, int, Iterator[NtpPacket]]:
    """Clock, policy, monotonic time of the begin and the packets of an input."""
    source = Input(data)
    clock, policy = _clock(source), _policy(source)
    begin_ns = source.number(4) * 1000
    return clock, policy, begin_ns, _packets(source, begin_ns)


def _clock(source: Input) -> ClockState:
    number = source.number
    return ClockState(
        leap=number(1) & 3, stratum=number(1) & 15, refid=source.array(4),
        reference_ns=NTP_WALL_NS + number(4, signed=True) * 1_000_000,
        root_delay_s=number(2) / 16384, root_dispersion_s=number(2) / 16384, dispersion_rate=number(1) / 1_048_576,
        as_of_mono_ns=number(4) * 1000, correction_s=number(2, signed=True) / 16384, precision=-source.below(33),
        max_distance_s=number(1) / 64,
        expires_mono_ns=2**63 - 1 if (n := number(4)) == 2**32 - 1 else n * 1000,
    )  # fmt: skip


def _policy(source: Input) -> NtpPolicy:
    names = ("allow", "ignore", "deny")
    shape, rules = source.number(1), []
    for _ in range(shape >> 2 & 3):
        what = source.number(1)
        bits = 128 if what & 1 else 32
        network = source.number(bits // 8)
        length = source.number(1) % (bits + 1)
        kind = ipaddress.IPv6Network if what & 1 else ipaddress.IPv4Network
        rules.append(PrefixRule(kind((network, length), strict=False), names[(what >> 1) % 3]))
    # The two highest bits make a tight limit, a loose one, one that tells, or none.
    tightness, limit = shape >> 6, None
    if tightness:
        exempt = (ipaddress.ip_network("127.0.0.0/8"),)
        limit = RateLimit(3 - tightness * 2, 2, 1, tightness - 1, exempt, prefix_interval=0, prefix_burst=3)
    return NtpPolicy(tuple(rules), names[(shape & 3) % 3], limit)


def _packets(source: Input, mono_ns: int) -> Iterator[NtpPacket]:
    wall_ns, ports = NTP_WALL_NS, (40000, 123, 0, 1)
    for _ in range(MOST_PACKETS):
        if not source:
            return
        passed_ns = source.number(2) * 10_000
        mono_ns, wall_ns = mono_ns + passed_ns, wall_ns + passed_ns
        shape = source.number(1)
        six = shape & 1
        match shape >> 1 & 3:
            case 0:
                address = (0x20010DB8 << 96 if six else 0xC0000200) + (source.number(1) & 7)
            case 1:
                address = 0x7F000001
            case _:
                address = source.number(16 if six else 4)
        choice = shape >> 3 & 3
        port = source.number(2) if choice == 3 else ports[choice]
        own = 0x7F000001, ports[(shape >> 5 & 1) + 1]
        waited_ns = source.number(2, signed=True) * 3000 if shape & 0x40 else 20_000
        packet = source.bytes(source.number(1))
        if shape & 0x80:
            source.number(2)
        noise = source.number(8)
        client = (6 if six else 4, address, port)
        yield NtpPacket(packet, client, own, wall_ns - waited_ns, wall_ns, mono_ns, noise)


# -- dns

LABELS = (b"0", b"a", b"pool", b"x" * 63, b"\0\xff", b"-")
SIZES = (0, 1, 17, 200, 460, 480, 1150, 1190, 1300)
TYPES = (1, 28, 2, 6, 16, 255, 666, 5)
STRIDES = (1, 16, 28, 150)


class DnsQuery(NamedTuple):
    """One step of a sequence."""

    message: bytes
    source: str
    now_ns: int
    sequence: int


def dns(data: bytes) -> tuple[AnswerSnapshot, Iterator[DnsQuery]]:
    """Snapshot and queries of an input."""
    source = Input(data)
    snapshot = _snapshot(source)
    return snapshot, _queries(source, sorted({*snapshot.names, *snapshot.chaos, snapshot.zone}))


def _name(source: Input, below: bytes) -> bytes:
    labels = [LABELS[source.below(len(LABELS))] for _ in range(source.below(4))]
    return b"".join(bytes((len(label),)) + label for label in labels) + below


def _octets(source: Input) -> bytes:
    return bytes(i & 255 for i in range(SIZES[source.below(len(SIZES))]))


def _section(source: Input) -> Section:
    return Section(source.below(10), _octets(source), source.below(10), _octets(source))


def _denial(source: Input) -> Denial:
    rcode = (0, 2, 3)[source.below(3)]
    soa = tuple(_octets(source) for _ in range(source.below(5)))
    return Denial(rcode, soa, b"\0\x16why" if source.below(2) else b"")


def _rotation(source: Input) -> Rotation:
    size, stride = source.below(8) + 1, STRIDES[source.below(len(STRIDES))]
    cuts = tuple(sorted([0, *(source.number(4) for _ in range(source.below(5)))]))
    sets = tuple(bytes((7 * n + i) & 255 for i in range(size * stride)) * 2 for n in range(len(cuts)))
    mark, offset, turn = source.number(2), source.number(4), source.number(1, signed=True)
    return Rotation(cuts, sets, size, stride, offset, turn, mark)


def _node(source: Input) -> Node:
    shape = source.number(1)
    rotating, fixed, denied = {}, {}, {}
    if shape & 1:
        qtype = TYPES[source.below(len(TYPES))]
        rotating[qtype] = _rotation(source)
    if shape & 2:
        qtype = TYPES[source.below(len(TYPES))]
        fixed[qtype] = _section(source)
    if shape & 4:
        qtype = TYPES[source.below(len(TYPES))]
        denied[qtype] = _denial(source)
    return Node(fixed, rotating, denied, _section(source) if shape & 8 else None)


def _snapshot(source: Input) -> AnswerSnapshot:
    zone = _name(source, b"\0")
    names = {}
    for _ in range(source.below(5)):
        owner = _name(source, zone)
        node = _node(source)
        if len(owner) <= 255:
            names[owner] = node
    shape = source.number(1)
    chaos = {}
    if shape & 1:
        owner = _name(source, b"\0")
        chaos[owner] = _section(source)
    return AnswerSnapshot(
        zone=zone, names=names, chaos=chaos, nsid=(b"", b"ball-1", b"n" * 400, b"n" * 400)[shape >> 1 & 3],
        slot_ns=(0, 1, 8 * 10**9, 0)[shape >> 3 & 3], expire_s=1_209_600 if shape & 0x20 else 0,
        nodata=_denial(source), nxdomain=_denial(source), any_section=_section(source), draw_secret=source.array(16),
        cookie_secrets=(b"\x09" * 16, b"\x07" * 16)[: shape >> 6 & 3],
    )  # fmt: skip


def _queries(source: Input, names: list[bytes]) -> Iterator[DnsQuery]:
    now_ns = DNS_NOW_NS
    for sequence in range(1, MOST_PACKETS + 1):
        if not source:
            return
        now_ns += source.number(2) * 1_000_000
        match source.below(4):
            case 0:
                client = f"192.0.2.{source.number(1) & 7}"
            case 1:
                client = f"2001:db8::{source.number(1) & 7:x}"
            case 2:
                client = str(ipaddress.IPv4Address(source.array(4)))
            case _:
                client = str(ipaddress.IPv6Address(source.array(16)))
        yield DnsQuery(_query(source, names), client, now_ns, sequence)


def _query(source: Input, names: list[bytes]) -> bytes:
    shape, length = source.number(1), source.number(1)
    if shape & 1:
        return source.bytes(length * 16 % 4097)
    owner = names[source.below(len(names))]
    above = b"\1z" if shape & 2 else b""
    qtype = source.number(2) if shape & 4 else TYPES[source.below(len(TYPES))]
    qclass = (1, 1, 3, 255)[shape >> 3 & 3]
    head = b"\x12\x34\x01\0\0\x01\0\0\0\0\0" + bytes((shape >> 5 & 3,))
    owner = owner.upper() if shape & 0x80 else owner
    return head + above + owner + qtype.to_bytes(2) + bytes((0, qclass)) + source.bytes(length)
