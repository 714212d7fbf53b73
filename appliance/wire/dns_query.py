"""Reads one DNS query, believing nothing: what a server must refuse with FORMERR raises `WireError`.

Sources: RFC 1035 section 4, RFC 6891 (EDNS), RFC 9619 (one question), RFC 7873 (cookies), RFC 7871 (client subnet),
RFC 8945 section 5.1 (TSIG comes last).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from appliance.wire.dns import CLASS_ANY, HEADER_BYTES, MAX_LABEL_BYTES, MAX_NAME_BYTES, OPT, TSIG
from appliance.wire.errors import WireError

NSID, CLIENT_SUBNET, EXPIRE, COOKIE, KEEPALIVE, PADDING, EXTENDED_ERROR = 3, 8, 9, 10, 11, 12, 15

_HEADER = struct.Struct("!HHHHHH")
_QUESTION_TAIL = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")
_OPTION = struct.Struct("!HH")


@dataclass(slots=True)
class Edns:
    """The OPT record of a query.

    Attributes:
        udp_size: what the client can take, as it says.
        version: above 0 the options were not looked at (RFC 6891 section 6.1.3).
        dnssec_ok: the DO bit.
        nsid, expire, keepalive: whether that option is there.
        cookie: its first COOKIE option, 8 or 16 to 40 octets.
        subnet: its first client subnet option: family, source prefix, scope 0, address.
        options: how many options it has.
    """

    udp_size: int
    version: int
    dnssec_ok: bool
    nsid: bool = False
    expire: bool = False
    keepalive: bool = False
    cookie: bytes | None = None
    subnet: bytes | None = None
    options: int = 0


@dataclass(slots=True)
class Query:
    """A well-formed query.

    Attributes:
        flags: the second 16 bits of the header.
        name: the question's name as sent, uncompressed; empty when there is no question.
        question_end: offset of the first byte after the question.
        edns: its OPT record, if any.
        tsig_at: offset of its TSIG record, if any.
        authority: number of records in the authority section (an IXFR query carries its SOA there).
    """

    flags: int
    name: bytes
    qtype: int
    qclass: int
    question_end: int
    edns: Edns | None = None
    tsig_at: int | None = None
    authority: int = 0


def parse_query(message: bytes) -> Query:
    """Read a query of at least 12 octets. Bytes after the last record are ignored.

    Raises:
        WireError: the sender must be told FORMERR.
    """
    if len(message) < HEADER_BYTES:
        raise WireError("shorter than a header")
    _id, flags, questions, answers, authority, additional = _HEADER.unpack_from(message)
    if questions > 1:
        raise WireError("more than one question")
    query = Query(flags, b"", 0, 0, HEADER_BYTES, authority=authority)
    if questions:
        end = question_name_end(message, HEADER_BYTES)
        if end + 4 > len(message):
            raise WireError("the question is cut short")
        query.name = message[HEADER_BYTES:end]
        query.qtype, query.qclass = _QUESTION_TAIL.unpack_from(message, end)
        query.question_end = end + 4
    _read_records(message, query, answers + authority, additional)
    if not questions and (
        answers or authority or query.edns is None or query.edns.options != 1 or not query.edns.cookie
    ):
        # RFC 7873 section 5.4: a query that only renews its cookie needs no question.
        raise WireError("no question")
    return query


def question_name_end(message: bytes, at: int) -> int:
    """Offset after the uncompressed name that begins at `at`.

    Raises:
        WireError: a pointer, a reserved label type, a name past 255 octets or past the end.
    """
    begin, size = at, len(message)
    while at < size:
        length = message[at]
        if length > MAX_LABEL_BYTES:
            raise WireError("a pointer or reserved label type in the question")
        at += 1 + length
        if at - begin > MAX_NAME_BYTES:
            raise WireError("a name of more than 255 octets")
        if not length:
            return at
    raise WireError("the name is cut short")


def _skip_owner(message: bytes, at: int) -> int:
    """Offset after a possibly compressed owner; where a pointer leads does not matter to us."""
    size = len(message)
    while at < size:
        length = message[at]
        if length >= 0xC0:
            return at + 2
        if length > MAX_LABEL_BYTES:
            raise WireError("a reserved label type in an owner")
        at += 1 + length
        if not length:
            return at
    raise WireError("an owner is cut short")


def _read_records(message: bytes, query: Query, before: int, additional: int) -> None:
    """Walk over the records after the question: only OPT and TSIG matter, and only in the additional section."""
    at = query.question_end
    size = len(message)
    total = before + additional
    for index in range(total):
        begin = at
        at = _skip_owner(message, at)
        if at + 10 > size:
            raise WireError("a record is cut short")
        rrtype, rrclass, ttl, rdlength = _RECORD.unpack_from(message, at)
        at += 10 + rdlength
        if at > size:
            raise WireError("a record runs over the end")
        if rrtype == OPT:
            if index < before or query.edns is not None or message[begin]:
                raise WireError("OPT twice, outside the additional section or not at the root")
            query.edns = _read_edns(rrclass, ttl, message[at - rdlength : at])
        elif rrtype == TSIG:
            if index != total - 1 or index < before or rrclass != CLASS_ANY:
                raise WireError("TSIG is not the last record")
            query.tsig_at = begin


def _read_edns(udp_size: int, ttl: int, rdata: bytes) -> Edns:
    edns = Edns(udp_size, ttl >> 16 & 255, bool(ttl & 0x8000))
    if edns.version:
        return edns
    at, size = 0, len(rdata)
    while at < size:
        if at + 4 > size:
            raise WireError("an option is cut short")
        code, length = _OPTION.unpack_from(rdata, at)
        at += 4
        value = rdata[at : at + length]
        at += length
        if at > size:
            raise WireError("an option runs over the end")
        edns.options += 1
        if code == NSID:
            edns.nsid = True
        elif code == COOKIE:
            if length != 8 and not 16 <= length <= 40:
                raise WireError("a cookie of impossible length")
            edns.cookie = edns.cookie or value
        elif code == CLIENT_SUBNET:
            _check_subnet(value)
            edns.subnet = edns.subnet or value
        elif code == EXPIRE:
            edns.expire = True
        elif code == KEEPALIVE:
            edns.keepalive = True
    return edns


def _check_subnet(value: bytes) -> None:
    """RFC 7871 section 6 and 7.1.1: what a server must refuse."""
    if len(value) < 4:
        raise WireError("a client subnet without its fields")
    family, prefix, scope = value[0] << 8 | value[1], value[2], value[3]
    address = value[4:]
    longest = {0: 0, 1: 32, 2: 128}.get(family)
    if longest is None or prefix > longest or scope or len(address) != (prefix + 7) // 8:
        raise WireError("a client subnet of unknown family or impossible length")
    if prefix % 8 and address[-1] & (0xFF >> prefix % 8):
        raise WireError("a client subnet with bits beyond its prefix")
