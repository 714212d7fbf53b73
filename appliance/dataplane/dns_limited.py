"""What a client over the limit is sent instead of a reply: mostly nothing, now and then a way to show that it is real.

Nothing here is larger than the query, but for the 16 octets that a fresh cookie may add: forging the queries wins nothing.
"""

from __future__ import annotations

from appliance.dataplane.dns_edns import make_cookie, opt_record, option
from appliance.dataplane.dns_rate import Verdict
from appliance.dataplane.dns_reply import Arrival, Decision, Reply
from appliance.dataplane.dns_snapshot import AnswerSnapshot
from appliance.wire.dns import BADCOOKIE, HEADER_BYTES, NOERROR, OPCODE_NOTIFY, OPCODE_QUERY
from appliance.wire.dns_query import COOKIE, Query, parse_query
from appliance.wire.errors import WireError

#: Outcomes: dropped, sent truncated, sent BADCOOKIE because of the limit.
LIMITED, LIMITED_TRUNCATED, LIMITED_BADCOOKIE = -4, -5, -6

#: Code and length of an option that may be one of our cookies; without these octets, a query has none.
COOKIE_HEAD = b"\x00\x0a\x00\x18"
_TC = 2


def is_proven(query: bytes, arrival: Arrival, snapshot: AnswerSnapshot) -> bool:
    """Whether the client has shown a cookie of ours: it is never limited (RFC 7873 section 5.2.5)."""
    opcode = query[2] >> 3 & 15
    if opcode not in (OPCODE_QUERY, OPCODE_NOTIFY) and opcode not in snapshot.hand_up.opcodes:
        return False
    try:
        asked = parse_query(query)
    except WireError:
        return False
    return Reply(query, asked, arrival, snapshot).is_proven()


def limited(
    verdict: Verdict, decision: Decision, query: bytes, arrival: Arrival, snapshot: AnswerSnapshot
) -> Decision:
    """What is left of `decision` for a client whose network has been sent enough."""
    reply, outcome, qtype, _mark = decision
    if verdict is Verdict.DROP:
        return None, LIMITED, qtype, -1
    if reply is not None and len(reply) == HEADER_BYTES:
        return reply[:2] + bytes((reply[2] | _TC,)) + reply[3:], LIMITED_TRUNCATED, qtype, -1
    short = Reply(query, parse_query(query), arrival, snapshot)
    # What is handed up has no reply yet: its short form is that of an empty one.
    return _slipped(short, outcome, aa=bool(reply[2] & 4)) if reply else _slipped(short, NOERROR, aa=False)


def _cookie(asked: Query) -> bytes | None:
    return asked.edns.cookie if asked.edns is not None else None


def _slipped(short: Reply, rcode: int, *, aa: bool) -> Decision:
    """BADCOOKIE for clients that speak cookies (RFC 7873 section 5.2.3), else the reply without its records and with TC."""
    asked, arrival, snapshot = short.asked, short.arrival, short.snapshot
    client = _cookie(asked)
    if client is not None and snapshot.cookie_secrets:
        now_s = arrival.now_ns // 1_000_000_000
        fresh = make_cookie(client[:8], arrival.source, now_s, snapshot.cookie_secrets[0])
        tail = _opt(asked, BADCOOKIE, option(COOKIE, fresh))
        message = short.message(BADCOOKIE, (0, 0, 0), b"", tail, aa=False)[0]
        return message, LIMITED_BADCOOKIE, asked.qtype, -1
    message = short.message(rcode, (0, 0, 0), b"", _opt(asked, rcode, b""), aa=aa, tc=True)[0]
    return message, LIMITED_TRUNCATED, asked.qtype, -1


def _opt(asked: Query, rcode: int, options: bytes) -> bytes:
    return b"" if asked.edns is None else opt_record(rcode, options, dnssec_ok=asked.edns.dnssec_ok)
