"""Puts replies together: what fits, the header, the sections and OPT."""

from __future__ import annotations

import struct
from typing import NamedTuple

from appliance.dataplane import dns_slow
from appliance.dataplane.dns_edns import cookie_age_s, opt_record, option, reply_options
from appliance.dataplane.dns_snapshot import UDP_LIMIT, UDP_LIMIT_PLAIN, AnswerSnapshot, Denial, Section
from appliance.wire.dns import BADVERS, HEADER_BYTES, NOERROR, NOTAUTH
from appliance.wire.dns_query import EXTENDED_ERROR, Query

#: Outcome of a packet that gets no reply; every other outcome is an RCODE (RFC 6895 section 2.3).
DROP = -1
#: Outcome of a query that is not answered from the snapshot: see `dns_hand_up`.
HANDED_UP = -7

#: reply or None, outcome, query type (0 when unknown), mark of the answer drawn (-1 for none)
Decision = tuple[bytes | None, int, int, int]

_COUNTS = struct.Struct("!HHHH")


class Arrival(NamedTuple):
    """Where, how and when a query came; see `decide`."""

    source: str
    transport: str
    now_ns: int
    sequence: int
    mono_ns: int = 0


def bare(query: bytes, rcode: int, *, keep_rd: bool = True) -> Decision:
    """A header alone: for what could not be read, or not even its kind understood."""
    flags = 0x80 | query[2] & (0x79 if keep_rd else 0x78)
    return query[:2] + bytes((flags, rcode)) + bytes(8), rcode, 0, -1


class Reply:
    """Puts the reply to one parsed query together."""

    __slots__ = ("arrival", "asked", "query", "snapshot")

    def __init__(self, query: bytes, asked: Query, arrival: Arrival, snapshot: AnswerSnapshot) -> None:
        self.query = query
        self.asked = asked
        self.arrival = arrival
        self.snapshot = snapshot

    def records(
        self,
        answers: int,
        body: bytes,
        additional: int = 0,
        extra: bytes = b"",
        *,
        aa: bool = True,
        mark: int = -1,
    ) -> Decision:
        """An answer; glue is left out when it does not fit, and everything is when the answer does not (TC)."""
        tail = self._tail(NOERROR)
        if self._fits(body, extra, tail):
            return self.message(NOERROR, (answers, 0, additional), body + extra, tail, aa=aa, mark=mark)
        if self._fits(body, b"", tail):
            return self.message(NOERROR, (answers, 0, 0), body, tail, aa=aa, mark=mark)
        return self.message(NOERROR, (0, 0, 0), b"", tail, aa=aa, tc=True)

    def section(self, section: Section, *, aa: bool) -> Decision:
        return self.records(section.answers, section.body, section.additional, section.extra, aa=aa)

    def denial(self, denial: Denial, *, aa: bool) -> Decision:
        """NODATA, NXDOMAIN or SERVFAIL with the SOA that says for how long (RFC 2308)."""
        # The name may be long and the zone's name is its end: the pointer is the same for every spelling of it.
        offset = HEADER_BYTES + len(self.asked.name) - len(self.snapshot.zone)
        body = struct.pack("!H", 0xC000 | offset).join(denial.soa)
        tail = self._tail(denial.rcode, denial.extended_error)
        if not self._fits(body, b"", tail):
            return self.message(denial.rcode, (0, 0, 0), b"", tail, aa=aa, tc=True)
        return self.message(denial.rcode, (0, 1 if body else 0, 0), body, tail, aa=aa)

    def refuse(self, rcode: int, extended_error: bytes = b"") -> Decision:
        """The question and nothing else; never authoritative."""
        return self.message(rcode, (0, 0, 0), b"", self._tail(rcode, extended_error), aa=False)

    def empty(self, rcode: int) -> Decision:
        """A header and OPT: the answer to a query that has no question."""
        return self.message(rcode, (0, 0, 0), b"", self._tail(rcode), aa=False)

    def unknown_key(self) -> Decision:
        """We have no TSIG keys: NOTAUTH, and a TSIG record that says so where there is room for it."""
        tsig = dns_slow.unknown_key_record(self.query, self.asked, self.arrival.now_ns)
        tail = self._tail(NOTAUTH)
        if not self._fits(tsig, b"", tail):
            return self.refuse(NOTAUTH)
        return self.message(NOTAUTH, (0, 0, 1), b"", tail + tsig, aa=False)

    def _tail(self, rcode: int, extended_error: bytes = b"") -> bytes:
        if self.asked.edns is None:
            return b""
        if rcode == BADVERS:
            return opt_record(rcode, b"", dnssec_ok=self.asked.edns.dnssec_ok)
        source, transport, now_ns, *_ = self.arrival
        options = reply_options(self.asked, self.snapshot, source, transport, now_ns // 1_000_000_000)
        if extended_error:
            options += option(EXTENDED_ERROR, extended_error)
        return opt_record(rcode, options, dnssec_ok=self.asked.edns.dnssec_ok)

    def _fits(self, body: bytes, extra: bytes, tail: bytes) -> bool:
        whole = self.asked.question_end + len(body) + len(extra) + len(tail)
        if self.arrival.transport == "tcp":
            return whole <= 65535
        edns = self.asked.edns
        limit = UDP_LIMIT_PLAIN if edns is None else min(max(edns.udp_size, UDP_LIMIT_PLAIN), UDP_LIMIT)
        return whole <= limit and (
            whole <= self.snapshot.largest_unproven or edns is None or self.is_proven()
        )

    def is_proven(self) -> bool:
        """Whether the client has shown a cookie of ours, and so that it is where it says."""
        cookie = self.asked.edns.cookie if self.asked.edns is not None else None
        if cookie is None:
            return False
        source, _transport, now_ns, *_ = self.arrival
        return cookie_age_s(cookie, source, now_ns // 1_000_000_000, self.snapshot.cookie_secrets) is not None

    def message(
        self,
        rcode: int,
        counts: tuple[int, int, int],
        body: bytes,
        tail: bytes,
        *,
        aa: bool,
        tc: bool = False,
        mark: int = -1,
    ) -> Decision:
        asked = self.asked
        answers, authority, additional = counts
        flags = 0x80 | self.query[2] & 0x79 | (4 if aa else 0) | (2 if tc else 0)
        head = self.query[:2] + bytes((flags, rcode & 15))
        opt = 1 if asked.edns is not None else 0
        sections = _COUNTS.pack(1 if asked.name else 0, answers, authority, additional + opt)
        question = self.query[HEADER_BYTES : asked.question_end]
        return head + sections + question + body + tail, rcode, asked.qtype, mark
