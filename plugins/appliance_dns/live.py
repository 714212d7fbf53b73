"""Names that are answered from memory for each query: those of other plugins, and two of our own.

`_whoami` tells a client the address that we see, which is its resolver's; `_status` tells how the pool is, in numbers.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Iterable, Sequence

from appliance.api.contrib import AnswerRecord, LiveName, LiveQuestion
from appliance.dataplane.dns_decide import refuse
from appliance.dataplane.dns_reply import Arrival, Decision, Reply
from appliance.dataplane.dns_snapshot import AnswerSnapshot, Denial, Section
from appliance.wire.dns import (
    ANY,
    CLASS_ANY,
    CLASS_IN,
    NXDOMAIN,
    OPCODE_QUERY,
    SERVFAIL,
    encode_name,
    is_below,
    name_text,
    record,
    txt_text,
    type_name,
    type_number,
)
from appliance.wire.dns_query import Query, parse_query
from appliance.wire.errors import WireError
from appliance_dns.records import rdata_from_text

_WHOAMI_TTL_S = 0
_STATUS_TTL_S = 2
#: Records of one answer that are sent; more of them are a mistake.
_MOST_RECORDS = 20


class Live:
    """Answers what the data plane hands up; see `dns_hand_up.Responder`.

    Args:
        names: what plugins contribute; asked for late, when all have been set up.
    """

    def __init__(self, names: Callable[[], Iterable[LiveName]], log: logging.Logger) -> None:
        self._names = names
        self._log = log
        self._complained: set[str] = set()

    def owners(self) -> tuple[str, ...]:
        """Labels that are answered live now."""
        return tuple(dict.fromkeys(live.owner.lower() for live in self._names() if live.shown()))

    def __call__(self, message: bytes, arrival: Arrival, snapshot: AnswerSnapshot) -> Decision:
        """Answer one query; nothing that a plugin does wrong is an exception here."""
        try:
            asked = parse_query(message)
        except WireError:
            return refuse(message, arrival, snapshot)
        live = self._of(asked, snapshot)
        if message[2] >> 3 & 15 != OPCODE_QUERY or asked.tsig_at is not None or live is None:
            return refuse(message, arrival, snapshot)
        reply = Reply(message, asked, arrival, snapshot)
        aa = asked.qclass == CLASS_IN
        if asked.qtype == ANY:
            return reply.section(snapshot.any_section, aa=aa)
        try:
            found = live.answer(_question(live, asked, arrival, snapshot))
            section = None if found is None else _section(list(found), asked.qtype, snapshot)
        except Exception as error:  # noqa: BLE001 - a plugin's mistake must not take the answers away
            self._complain(f"live name {live.owner}: {error!r}")
            return reply.denial(Denial(SERVFAIL), aa=aa)
        if section is None:
            return reply.denial(Denial(NXDOMAIN, snapshot.nxdomain.soa), aa=aa)
        return reply.section(section, aa=aa) if section.answers else reply.denial(snapshot.nodata, aa=aa)

    def _of(self, asked: Query, snapshot: AnswerSnapshot) -> LiveName | None:
        name = asked.name.lower()
        if asked.qclass not in (CLASS_IN, CLASS_ANY):
            return None
        for live in self._names():
            owner = owner_name(live.owner, snapshot.zone)
            if owner in snapshot.hand_up.names and is_below(name, owner):
                return live
        return None

    def _complain(self, problem: str) -> None:
        if problem not in self._complained and len(self._complained) < 100:
            self._complained.add(problem)
            self._log.warning("%s; clients are told SERVFAIL", problem)


def owner_name(label: str, zone: bytes) -> bytes:
    """Wire name of a live name.

    Raises:
        WireError: it is no label.
    """
    wire = encode_name(label).lower()
    if wire[0] + 2 != len(wire):
        raise WireError(f"{label!r} is not one label")
    return wire[:-1] + zone


def _question(live: LiveName, asked: Query, arrival: Arrival, snapshot: AnswerSnapshot) -> LiveQuestion:
    owner = owner_name(live.owner, snapshot.zone)
    above = asked.name[: len(asked.name) - len(owner)].lower()
    subnet = asked.edns.subnet if asked.edns is not None else None
    return LiveQuestion(
        above=name_text(above + b"\0") if above else "",
        rrtype=type_name(asked.qtype),
        client=arrival.source.partition("%")[0],
        transport=arrival.transport,
        subnet=_subnet(subnet) if subnet else "",
    )


def _subnet(option: bytes) -> str:
    """A client subnet option (RFC 7871) in words: "192.0.2.0/24", "" for no subnet."""
    size = {1: 4, 2: 16}.get(option[0] << 8 | option[1])
    return "" if size is None else f"{ipaddress.ip_address(option[4:].ljust(size, bytes(1)))}/{option[2]}"


def _section(found: Sequence[AnswerRecord], qtype: int, snapshot: AnswerSnapshot) -> Section:
    records = [entry for entry in found if type_number(entry.rrtype) == qtype]
    if len(records) > _MOST_RECORDS:
        raise ValueError(f"{len(records)} records are too many for one answer")
    body = b"".join(
        record(qtype, entry.ttl_s, rdata_from_text(qtype, entry.rdata, snapshot.zone)) for entry in records
    )
    return Section(len(records), body)


# -- our own


def whoami(question: LiveQuestion) -> list[AnswerRecord]:
    """The client's address as we see it; what is asked for in front of the name does not matter, so that no cache can know it."""
    rrtype = "AAAA" if ":" in question.client else "A"
    texts = [question.client, f"transport={question.transport}"]
    if question.subnet:
        texts.append(f"subnet={question.subnet}")
    return [
        AnswerRecord("_whoami", rrtype, question.client, _WHOAMI_TTL_S),
        *(AnswerRecord("_whoami", "TXT", txt_text(text), _WHOAMI_TTL_S) for text in texts),
    ]


def status(question: LiveQuestion, figures: Callable[[], dict[str, object]]) -> list[AnswerRecord] | None:
    """How the pool is, one figure in each record; never who is in it."""
    if question.above:
        return None
    return [
        AnswerRecord("_status", "TXT", txt_text(f"{key}={value}"), _STATUS_TTL_S)
        for key, value in figures().items()
    ]
