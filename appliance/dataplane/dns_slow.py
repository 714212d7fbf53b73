"""What is asked rarely: transfers, signed messages, CHAOS. Kept apart from the path of every query."""

from __future__ import annotations

import struct

from appliance.dataplane.dns_snapshot import Section
from appliance.wire.dns import (
    CLASS_ANY,
    CLASS_CH,
    FORMERR,
    IXFR,
    NOTIMP,
    REFUSED,
    TSIG,
    TXT,
    encode_name,
    record,
    txt_rdata,
)
from appliance.wire.dns_query import Query

#: EDE 18, Prohibited (RFC 8914 section 4.19).
PROHIBITED = b"\x00\x12"
_BADKEY = 17
_FUDGE_S = 300


def transfer_refusal(qtype: int, transport: str, asked: Query) -> tuple[int, bytes]:
    """RCODE and EDE content for a zone transfer that nobody was allowed to make."""
    if transport == "udp":
        if qtype != IXFR:
            return NOTIMP, b""  # RFC 5936 section 4.2: AXFR over UDP is not defined
        if not asked.authority:
            return FORMERR, b""  # RFC 1995 section 3: the client's SOA belongs there
    return REFUSED, PROHIBITED


def unknown_key_record(query: bytes, asked: Query, now_ns: int) -> bytes:
    """The unsigned TSIG record that says BADKEY (RFC 8945 section 5.2.1), for any key: we have none."""
    assert asked.tsig_at is not None
    key, algorithm = _tsig_names(query, asked.tsig_at)
    signed_s = now_ns // 1_000_000_000 & 0xFFFFFFFFFFFF
    fixed = (
        signed_s.to_bytes(6, "big")
        + struct.pack("!HH", _FUDGE_S, 0)
        + query[:2]
        + struct.pack("!HH", _BADKEY, 0)
    )
    return record(TSIG, 0, algorithm + fixed, rrclass=CLASS_ANY, owner=key)


def _tsig_names(query: bytes, at: int) -> tuple[bytes, bytes]:
    """Key and algorithm name of the TSIG record, uncompressed; the root for what cannot be read."""
    key, at = _plain_name(query, at)
    algorithm, _ = _plain_name(query, at + 10)
    return key, algorithm


def _plain_name(query: bytes, at: int) -> tuple[bytes, int]:
    """The name at `at` if it is written out, else the root; and the offset after it."""
    begin = at
    while at < len(query) and query[at] < 64:
        if not query[at]:
            return query[begin : at + 1], at + 1
        at += 1 + query[at]
    return b"\0", min(at + 2, len(query))


def chaos_sections(version: str, identity: str) -> dict[bytes, Section]:
    """TXT records of class CH that tools ask for; what is "" stays hidden and is refused."""
    texts = {
        "version.bind": version,
        "version.server": version,
        "id.server": identity,
        "hostname.bind": identity,
    }
    return {
        encode_name(name): Section(1, record(TXT, 0, txt_rdata(text), rrclass=CLASS_CH))
        for name, text in texts.items()
        if text
    }
