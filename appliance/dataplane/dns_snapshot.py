"""What DNS answers, worked out in advance: plain immutable data that any data plane turns into the same bytes.

There is nothing to call in a snapshot. A reply is cut and joined from what lies here:

    header (id and RD from the query) | counts | question as sent | section | OPT

Every record's owner is a pointer to the question (c0 0c), so a section depends neither on the id nor on the spelling of
the name. Only the SOA of a denial points elsewhere, to where the zone begins inside the question: it is kept as pieces
between which that pointer goes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from appliance.dataplane.dns_rate import RateLimit
from appliance.wire.dns import QUESTION_POINTER, ROOT, SOA, record

#: Probabilities and cut points are integers; this is one.
ONE = 1 << 32

#: A reply over UDP has at most this many bytes (DNS flag day 2020), and 512 for clients without EDNS.
UDP_LIMIT = 1232
UDP_LIMIT_PLAIN = 512

_SOA_NUMBERS = struct.Struct("!IIIII")


@dataclass(frozen=True, slots=True)
class Section:
    """Records that never change within a snapshot.

    Attributes:
        answers: how many records `body` holds.
        body: the answer section.
        additional: how many records `extra` holds.
        extra: records for the additional section (glue); left out when they would not fit.
    """

    answers: int
    body: bytes
    additional: int = 0
    extra: bytes = b""


@dataclass(frozen=True, slots=True)
class Rotation:
    """Records of which each reply holds a few, by the draw of `dns_decide.draw`.

    With u (32 bits) and r (32 bits) of the draw: position = u + offset, carry = position >> 32, x = position mod 2^32; the
    set is the last one whose cut is <= x; its first record is number (floor(r * size / 2^32) + carry - turn) mod size.

    Attributes:
        cuts: ascending, the first is 0.
        sets: one per cut: `size` records one after the other, and then all of them again, so that every order that
            begins anywhere in the circle is one slice.
        size: records in an answer.
        stride: bytes of one record.
        offset: where on the circle this name looks, as a fraction of 2^32.
        turn: by how many places this name turns the order against the others.
        mark: base of the number that is counted for each answer: mark + 8 * set + first record.
    """

    cuts: tuple[int, ...]
    sets: tuple[bytes, ...]
    size: int
    stride: int
    offset: int = 0
    turn: int = 0
    mark: int = 0


@dataclass(frozen=True, slots=True)
class Denial:
    """A reply without records that answer.

    Attributes:
        rcode: NOERROR for NODATA, NXDOMAIN or SERVFAIL.
        soa: pieces of the SOA record to be joined with a pointer to the zone; empty for none.
        extended_error: content of an EDE option (RFC 8914) for clients with EDNS, or empty.
    """

    rcode: int
    soa: tuple[bytes, ...] = ()
    extended_error: bytes = b""


@dataclass(frozen=True, slots=True)
class Node:
    """A name of the zone; one without anything is an empty non-terminal (RFC 8020).

    Attributes:
        static: sections by type.
        rotating: rotations by type.
        denied: what to say for a type that rotates but has nothing usable now.
        alias: the CNAME that answers every other type, if there is one.
    """

    static: Mapping[int, Section] = field(default_factory=dict)
    rotating: Mapping[int, Rotation] = field(default_factory=dict)
    denied: Mapping[int, Denial] = field(default_factory=dict)
    alias: Section | None = None


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """What TCP clients, each and all together, may take. Times are in units of 100 ms, as RFC 7828 tells them.

    Attributes:
        idle: a connection without a complete query for so long is closed.
        send: so is one that has not read its answers for so long.
        clients: connections at a time; one more ends the one that has been idle longest.
    """

    idle: int = 100
    send: int = 50
    clients: int = 256


@dataclass(frozen=True, slots=True)
class HandUp:
    """What the workers do not answer but hand to Python (`dns_hand_up`).

    Attributes:
        names: lower-case wire names: these, and whatever is below them and not in the zone.
        opcodes: messages of these opcodes, never QUERY.
        signed: messages with a TSIG record.
    """

    names: tuple[bytes, ...] = ()
    opcodes: frozenset[int] = frozenset()
    signed: bool = False


@dataclass(frozen=True, slots=True)
class AnswerSnapshot:
    """Everything a data plane needs to answer for one zone.

    Attributes:
        zone: its lower-case wire name; the root for "no zone yet: everything is refused".
        serial: of the SOA.
        names: nodes by lower-case wire name.
        nodata, nxdomain: what to say for what is not there.
        any_section: the answer to type ANY (RFC 8482).
        expire_s: of the SOA, for the EXPIRE option (RFC 7314).
        nsid: what the NSID option answers (RFC 5001); empty for none.
        chaos: TXT sections by lower-case wire name for class CH.
        draw_secret: 16 bytes; those who share it draw alike.
        slot_ns: how long one client address sees the same draw; 0 draws anew for each query.
        cookie_secrets: 16 bytes each; the first makes cookies, all are accepted (RFC 9018 section 5).
        largest_unproven: longest reply over UDP to a client that has not shown a cookie of ours; 512 to 1232.
        tcp: what connections may take.
        hand_up: what is not answered from here.
        rate_limit: how many replies a network may be sent over UDP; None for any number.
    """

    zone: bytes = ROOT
    serial: int = 0
    names: Mapping[bytes, Node] = field(default_factory=dict)
    nodata: Denial = field(default_factory=lambda: Denial(0))
    nxdomain: Denial = field(default_factory=lambda: Denial(3))
    any_section: Section = field(default_factory=lambda: Section(0, b""))
    expire_s: int = 0
    nsid: bytes = b""
    chaos: Mapping[bytes, Section] = field(default_factory=dict)
    draw_secret: bytes = bytes(16)
    slot_ns: int = 8_000_000_000
    cookie_secrets: tuple[bytes, ...] = ()
    largest_unproven: int = UDP_LIMIT
    tcp: TcpLimits = TcpLimits()
    hand_up: HandUp = HandUp()
    rate_limit: RateLimit | None = None


def soa_pieces(
    zone: bytes, mname: bytes, rname: bytes, ttl_s: int, numbers: tuple[int, int, int, int, int]
) -> tuple[bytes, ...]:
    """The SOA record as pieces: put a pointer to the zone's name between them (`pointer.join(pieces)`).

    Args:
        zone: lower-case wire name.
        mname: primary name server.
        rname: mailbox of the person in charge.
        ttl_s: of this copy.
        numbers: serial, refresh, retry, expire, minimum.
    """
    names = [_tail_cut(name, zone) for name in (mname, rname)]
    length = sum(len(head) + (2 if cut else 0) for head, cut in names) + _SOA_NUMBERS.size
    pieces = [b""]  # the owner is the zone: a pointer comes first
    text = record(SOA, ttl_s, bytes(length))[len(QUESTION_POINTER) : -length]
    for head, cut in names:
        text += head
        if cut:
            pieces.append(text)
            text = b""
    return (*pieces, text + _SOA_NUMBERS.pack(*numbers))


def _tail_cut(name: bytes, zone: bytes) -> tuple[bytes, bool]:
    """`name` without its end when that end is `zone`, and whether it is."""
    cut = len(name) - len(zone)
    at = 0
    while at < cut:
        at += 1 + name[at]
    if zone != ROOT and at == cut and name[cut:].lower() == zone:
        return name[:cut], True
    return name, False
