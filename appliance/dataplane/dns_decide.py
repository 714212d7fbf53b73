"""One DNS query in, one reply out: no socket, no clock, no memory of earlier queries.

`decide` first tries the two shapes that nearly all queries have (a question alone, or with an empty OPT record): the name,
taken whole, is looked up as it lies in the packet, which also proves that it is well-formed. Everything else is parsed.
Both ways give the same bytes; a test compares them.
"""

from __future__ import annotations

import functools
import socket
import struct
from bisect import bisect_right

from appliance.dataplane import dns_slow
from appliance.dataplane.dns_limited import COOKIE_HEAD, is_proven, limited
from appliance.dataplane.dns_rate import ANSWERS, ERRORS, Limiter
from appliance.dataplane.dns_reply import DROP, HANDED_UP, Arrival, Decision, Reply, bare
from appliance.dataplane.dns_snapshot import (
    ONE,
    UDP_LIMIT,
    UDP_LIMIT_PLAIN,
    AnswerSnapshot,
    Node,
    Rotation,
    Section,
)
from appliance.wire.dns import (
    ANY,
    AXFR,
    BADVERS,
    CLASS_ANY,
    CLASS_CH,
    CLASS_IN,
    FORMERR,
    HEADER_BYTES,
    IXFR,
    MAILA,
    MAILB,
    NOERROR,
    NOTIMP,
    OPCODE_NOTIFY,
    OPCODE_QUERY,
    OPT,
    REFUSED,
    TKEY,
    TSIG,
    is_below,
)
from appliance.wire.dns_query import Query, parse_query
from appliance.wire.errors import WireError
from appliance.wire.siphash import siphash

#: EDE 20, Not Authoritative (RFC 8914 section 4.21).
NOT_AUTHORITATIVE = b"\x00\x14"

_DROPPED: Decision = (None, DROP, 0, -1)
_LOW = ONE - 1
#: What the rate limit counts as an answer.
_ANSWER_OUTCOMES = (NOERROR, HANDED_UP)

_COUNTS = struct.Struct("!HHHH")
_ONE_QUESTION = _COUNTS.pack(1, 0, 0, 0)
_ONE_QUESTION_OPT = _COUNTS.pack(1, 0, 0, 1)
_OPT_HEAD = b"\x00\x00\x29"
_OPT_REPLY = _OPT_HEAD + struct.pack("!H", UDP_LIMIT) + b"\x00\x00"
_OPT_PLAIN = _OPT_REPLY + b"\x00\x00\x00\x00"
_OPT_DO = _OPT_REPLY + b"\x80\x00\x00\x00"
_ANSWERS = tuple(_COUNTS.pack(1, answers, 0, 0) for answers in range(17))
_ANSWERS_OPT = tuple(_COUNTS.pack(1, answers, 0, 1) for answers in range(17))
#: QR and AA, and RD as it came.
_AUTHORITATIVE = (b"\x84\x00", b"\x85\x00")


@functools.lru_cache(maxsize=4096)
def draw(secret: bytes, source: str, slot: int) -> int:
    """64 bits for the client address `source` in time slot `slot`: the low half is u, the high half r.

    One address gets one draw for the whole slot, so that the names 0 to 3 asked at a client's start lie apart, and nobody
    without the secret can predict or steer what a victim gets.
    """
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    address = socket.inet_pton(family, source.partition("%")[0])
    return siphash(secret, address + struct.pack("!Q", slot & 0xFFFFFFFFFFFFFFFF), 1, 3)


def pick(rotation: Rotation, drawn: int) -> tuple[bytes, int]:
    """The records that a draw selects, and the mark to count them by."""
    position = (drawn & _LOW) + rotation.offset
    index = bisect_right(rotation.cuts, position & _LOW) - 1
    size = rotation.size
    first = (((drawn >> 32) * size >> 32) + (position >> 32) - rotation.turn) % size
    begin = first * rotation.stride
    return rotation.sets[index][begin : begin + size * rotation.stride], rotation.mark + 8 * index + first


def decide(
    query: bytes, source: str, transport: str, now_ns: int, snapshot: AnswerSnapshot, *,
    sequence: int = 0, mono_ns: int = 0, limiter: Limiter | None = None,
) -> Decision:  # fmt: skip
    """Answer one query.

    Args:
        query: the whole message, without the length prefix of TCP.
        source: the client's address as text. (Who listens must drop source port 0 before.)
        transport: "udp" or "tcp".
        now_ns: wall clock, ns since 1970: chooses the time slot and dates cookies.
        snapshot: what to answer from.
        sequence: number of this query, used as the slot when the snapshot has none.
        mono_ns: monotonic clock, for the limiter.
        limiter: what was sent to whom; over TCP an address is proven, and it is not asked.

    Returns:
        The reply or None, the outcome (an RCODE, DROP, HANDED_UP or one of `dns_limited`), the query type, and the mark of the answer
        drawn or -1.
    """
    decision = _unlimited(query, source, transport, now_ns, snapshot, sequence)
    rate, outcome = snapshot.rate_limit, decision[1]
    if limiter is None or rate is None or transport != "udp" or outcome == DROP:
        return decision
    # In these lines because every query goes through them: a call and a tuple more would be a tenth of the whole.
    if COOKIE_HEAD in query:
        arrival = Arrival(source, transport, now_ns, sequence, mono_ns)
        if is_proven(query, arrival, snapshot):
            return decision
    kind = ANSWERS if outcome in _ANSWER_OUTCOMES else ERRORS
    verdict = limiter.charge(rate, source, kind, mono_ns)
    if not verdict:
        return decision
    arrival = Arrival(source, transport, now_ns, sequence, mono_ns)
    return limited(verdict, decision, query, arrival, snapshot)


def _unlimited(
    query: bytes, source: str, transport: str, now_ns: int, snapshot: AnswerSnapshot, sequence: int
) -> Decision:
    size = len(query)
    if size < HEADER_BYTES or query[2] & 0x80:
        return _DROPPED
    counts = query[4:12]
    if counts == _ONE_QUESTION:
        edge, tail, limit = size, b"", UDP_LIMIT_PLAIN
    elif (
        counts == _ONE_QUESTION_OPT
        and query[-11:-8] == _OPT_HEAD
        and query[-5] == 0
        and query[-2:] == b"\0\0"
    ):
        edge = size - 11
        tail = _OPT_DO if query[-4] & 0x80 else _OPT_PLAIN
        limit = min(max(query[-8] << 8 | query[-7], UDP_LIMIT_PLAIN), UDP_LIMIT)
    else:
        return examine(query, Arrival(source, transport, now_ns, sequence), snapshot)

    node = snapshot.names.get(query[12 : edge - 4].lower())
    if node is None or query[edge - 2 : edge] != b"\x00\x01" or query[2] & 0x78:
        return examine(query, Arrival(source, transport, now_ns, sequence), snapshot)
    qtype = query[edge - 4] << 8 | query[edge - 3]
    rotation = node.rotating.get(qtype)
    limit = min(limit, snapshot.largest_unproven)
    if rotation is None or edge + rotation.size * rotation.stride + 11 > limit:
        return examine(query, Arrival(source, transport, now_ns, sequence), snapshot)
    slot = now_ns // snapshot.slot_ns if snapshot.slot_ns else sequence
    records, mark = pick(rotation, draw(snapshot.draw_secret, source, slot))
    head = query[:2] + _AUTHORITATIVE[query[2] & 1] + (_ANSWERS_OPT if tail else _ANSWERS)[rotation.size]
    return head + query[12:edge] + records + tail, NOERROR, qtype, mark


def examine(query: bytes, arrival: Arrival, snapshot: AnswerSnapshot) -> Decision:
    """The whole decision table, for any message that is at least a header and not a reply."""
    opcode = query[2] >> 3 & 15
    hand_up = snapshot.hand_up
    wanted = opcode != OPCODE_QUERY and opcode in hand_up.opcodes
    if opcode not in (OPCODE_QUERY, OPCODE_NOTIFY) and not wanted:
        return bare(query, NOTIMP, keep_rd=False)
    try:
        asked = parse_query(query)
    except WireError:
        return bare(query, FORMERR)
    reply = Reply(query, asked, arrival, snapshot)
    if asked.edns is not None and asked.edns.version:
        return reply.refuse(BADVERS)
    if wanted or (hand_up.signed and asked.tsig_at is not None):
        return None, HANDED_UP, asked.qtype, -1
    if asked.tsig_at is not None:
        return reply.unknown_key()
    if opcode == OPCODE_NOTIFY:
        return reply.refuse(REFUSED)
    if not asked.name:
        return reply.empty(NOERROR)
    return _answer_question(reply, asked, arrival, snapshot)


def refuse(query: bytes, arrival: Arrival, snapshot: AnswerSnapshot) -> Decision:
    """The reply to a query that was to be handed up and that nobody takes."""
    try:
        asked = parse_query(query)
    except WireError:
        return bare(query, FORMERR)
    return Reply(query, asked, arrival, snapshot).refuse(REFUSED)


def _answer_question(reply: Reply, asked: Query, arrival: Arrival, snapshot: AnswerSnapshot) -> Decision:
    qtype, qclass = asked.qtype, asked.qclass
    name = asked.name.lower()
    if qtype in (OPT, TSIG, TKEY):
        return bare(reply.query, FORMERR)
    if qtype in (MAILA, MAILB):
        return reply.refuse(NOTIMP)
    if qclass == CLASS_CH:
        section = snapshot.chaos.get(name)
        shown = section is not None and qtype in (16, ANY)
        return reply.section(section, aa=False) if section is not None and shown else reply.refuse(REFUSED)
    if qtype in (AXFR, IXFR):
        rcode, extended_error = dns_slow.transfer_refusal(qtype, arrival.transport, asked)
        return bare(reply.query, FORMERR) if rcode == FORMERR else reply.refuse(rcode, extended_error)
    if qclass not in (CLASS_IN, CLASS_ANY) or not snapshot.names or not is_below(name, snapshot.zone):
        return reply.refuse(REFUSED, NOT_AUTHORITATIVE)

    aa = qclass == CLASS_IN
    node = snapshot.names.get(name)
    if node is None:
        if any(is_below(name, above) for above in snapshot.hand_up.names):
            return None, HANDED_UP, qtype, -1
        return reply.denial(snapshot.nxdomain, aa=aa)
    rotation = node.rotating.get(qtype)
    if rotation is not None:
        slot = arrival.now_ns // snapshot.slot_ns if snapshot.slot_ns else arrival.sequence
        records, mark = pick(rotation, draw(snapshot.draw_secret, arrival.source, slot))
        return reply.records(rotation.size, records, aa=aa, mark=mark)
    section = _static(node, qtype, snapshot)
    if section is not None:
        return reply.section(section, aa=aa)
    return reply.denial(node.denied.get(qtype, snapshot.nodata), aa=aa)


def _static(node: Node, qtype: int, snapshot: AnswerSnapshot) -> Section | None:
    section = node.static.get(qtype)
    if section is not None:
        return section
    if qtype == ANY and (node.static or node.rotating or node.denied or node.alias):
        return snapshot.any_section
    return node.alias
