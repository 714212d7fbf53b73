"""The OPT record of a reply: what each option of the query is answered with (RFC 6891), and DNS cookies (RFC 9018)."""

from __future__ import annotations

import socket
import struct

from appliance.dataplane.dns_snapshot import UDP_LIMIT, AnswerSnapshot
from appliance.wire.dns import OPT, ROOT, SOA
from appliance.wire.dns_query import CLIENT_SUBNET, COOKIE, EXPIRE, KEEPALIVE, NSID, Query
from appliance.wire.siphash import siphash

_COOKIE_HEAD = struct.Struct("!B3xI")
_HASH = struct.Struct("<Q")

#: RFC 9018 section 4.3: how far a server cookie may lie in the past and in the future, and when to make a new one.
COOKIE_LIFE_S = 3600
COOKIE_AHEAD_S = 300
COOKIE_RENEW_S = 1800


def option(code: int, value: bytes) -> bytes:
    return struct.pack("!HH", code, len(value)) + value


def opt_record(rcode: int, options: bytes, *, dnssec_ok: bool) -> bytes:
    """Our OPT record: version 0, our size, DO as it came, the upper bits of `rcode`."""
    ttl = (rcode >> 4) << 24 | (0x8000 if dnssec_ok else 0)
    return ROOT + struct.pack("!HHIH", OPT, UDP_LIMIT, ttl, len(options)) + options


def reply_options(asked: Query, snapshot: AnswerSnapshot, source: str, transport: str, now_s: int) -> bytes:
    """What the options of a query are answered with; options that we do not know are never echoed."""
    edns = asked.edns
    assert edns is not None
    options = b""
    if edns.nsid and snapshot.nsid:
        options += option(NSID, snapshot.nsid)
    if edns.subnet is not None:
        # Scope 0: the answer does not depend on where the client is (RFC 7871 section 7.2.1).
        options += option(CLIENT_SUBNET, edns.subnet[:3] + b"\0" + edns.subnet[4:])
    if edns.expire and asked.qtype == SOA and asked.name.lower() == snapshot.zone and snapshot.expire_s:
        options += option(EXPIRE, struct.pack("!I", snapshot.expire_s))
    if edns.cookie is not None and snapshot.cookie_secrets:
        options += option(COOKIE, answer_cookie(edns.cookie, source, now_s, snapshot.cookie_secrets))
    if edns.keepalive and transport == "tcp":
        options += option(KEEPALIVE, struct.pack("!H", snapshot.tcp.idle))
    return options


def answer_cookie(cookie: bytes, source: str, now_s: int, secrets: tuple[bytes, ...]) -> bytes:
    """The 24 octets to answer with: the client's own when they are good and young, else fresh ones."""
    age_s = cookie_age_s(cookie, source, now_s, secrets)
    if age_s is not None and age_s <= COOKIE_RENEW_S:
        return cookie
    return make_cookie(cookie[:8], source, now_s, secrets[0])


def make_cookie(client: bytes, source: str, now_s: int, secret: bytes) -> bytes:
    """A version 1 cookie for the client's 8 octets and its address (RFC 9018 section 4)."""
    head = client + _COOKIE_HEAD.pack(1, now_s & 0xFFFFFFFF)
    return head + _cookie_hash(head, source, secret)


def cookie_age_s(cookie: bytes, source: str, now_s: int, secrets: tuple[bytes, ...]) -> int | None:
    """Age of a cookie that one of `secrets` made for `source`; None when it is not ours or not of this time."""
    # The three reserved octets may hold anything: they are part of what is hashed (RFC 9018 section 4.2).
    if len(cookie) != 24 or cookie[8] != 1:
        return None
    made_s = int.from_bytes(cookie[12:16], "big")
    age_s = (now_s - made_s + 0x80000000 & 0xFFFFFFFF) - 0x80000000  # serial number arithmetic, RFC 1982
    if not -COOKIE_AHEAD_S <= age_s <= COOKIE_LIFE_S:
        return None
    head = cookie[:16]
    # Comparing early-out is fine: a hash that can be guessed byte by byte would need thousands of timed packets from
    # the very address that the cookie is meant to prove.
    return age_s if any(cookie[16:] == _cookie_hash(head, source, secret) for secret in secrets) else None


def _cookie_hash(head: bytes, source: str, secret: bytes) -> bytes:
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    return _HASH.pack(siphash(secret, head + socket.inet_pton(family, source.partition("%")[0])))
