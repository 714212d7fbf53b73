"""The zone of the check list: pool.example.org with the bare name, 0 to 3, two name servers and an empty non-terminal."""

from __future__ import annotations

import functools
import random
import socket
import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import dns.edns
import dns.flags
import dns.message

from appliance.api.contrib import AnswerRecord
from appliance.core.clock import Clock, SystemClock
from appliance.dataplane import python_dns
from appliance.dataplane.dns_decide import decide
from appliance.dataplane.dns_hand_up import Responder, nobody
from appliance.dataplane.dns_snapshot import AnswerSnapshot, TcpLimits
from appliance.dataplane.interface import DnsServer, Endpoint
from appliance.dataplane.native import NativePlane
from appliance_dns.config import DnsConfig
from appliance_dns.extras import configured_records
from appliance_dns.selection import Choice
from appliance_dns.zone import Plan, Pool, Secrets, build
from tests.support.native import need_native

ZONE = "pool.example.org"
NOW_NS = 1_800_000_000_000_000_000
V4 = tuple(f"192.0.2.{n}" for n in range(1, 13))
V6 = tuple(f"2001:db8::{n}" for n in range(1, 7))
NSID = "ball-1"
COOKIE_SECRET = bytes(range(16))


def stub(
    *, v4: int = 12, v6: int = 6, big: int = 1100, secret: bytes = b"0123456789abcdef", weights: list[int] | None = None,
    cookie_secrets: tuple[bytes, ...] = (COOKIE_SECRET,), tcp: TcpLimits | None = None, **config: object,
) -> AnswerSnapshot:  # fmt: skip
    """The zone with `v4` and `v6` members."""
    settings = DnsConfig.model_validate(
        {
            "zone": ZONE,
            "ns": [
                {"name": "ns1", "addresses": ["192.0.2.53", "2001:db8::53"]},
                {"name": "ns2", "addresses": ["198.51.100.53"]},
            ],
            "txt": ["the pool"],
            "caa": [{"tag": "issue", "value": ";"}],
            "nsid": NSID,
            "version": "timeball",
            "coherence_s": 0,
            "largest_without_cookie": 1232,
            **config,
        }
    )
    weights = weights or [1000] * v4
    pools = {
        ("@", 4): Pool(
            tuple(Choice(a, w, ttl_s=settings.ttl) for a, w in zip(V4[:v4], weights, strict=True)),
            wanted=v4 > 0,
        ),
        ("@", 6): Pool(tuple(Choice(a, 1000, ttl_s=settings.ttl) for a in V6[:v6]), wanted=v6 > 0),
    }
    records = (
        AnswerRecord("a.b", "TXT", '"below an empty non-terminal"', 300),
        AnswerRecord("big", "TXT", " ".join(f'"{"x" * 200}"' for _ in range(big // 201)), 300),
        AnswerRecord("www", "CNAME", "web.example.net.", 300),
        AnswerRecord("exact", "TXT", _exact_txt(), 300),
        AnswerRecord("huge", "TXT", " ".join(f'"{"y" * 250}"' for _ in range(200)), 300),
    )
    plan = Plan(
        settings,
        pools,
        Secrets(secret, cookie_secrets),
        (("test", (*configured_records(settings), *records)),),
    )
    zone = build(plan, 2026112301)
    assert not zone.problems, zone.problems
    return replace(zone.snapshot, tcp=tcp or TcpLimits())


@functools.cache
def plain_stub() -> AnswerSnapshot:
    """The zone as it is when nothing special is wanted."""
    return stub()


def _exact_txt() -> str:
    """A TXT record whose answer fills exactly 1232 bytes when asked for as exact.pool.example.org with EDNS."""
    question = 12 + len("exact.pool.example.org") + 2 + 4
    room = 1232 - question - 12 - 11
    parts = []
    while room > 0:
        size = min(255, room - 1)
        parts.append('"' + "z" * size + '"')
        room -= size + 1
    return " ".join(parts)


class Asker(Protocol):
    """One way to put a message before the service: on paper, or through sockets."""

    snapshot: AnswerSnapshot

    def raw(self, message: bytes, transport: str = "udp") -> bytes | None: ...


class OnPaper:
    """`decide` itself."""

    def __init__(self, snapshot: AnswerSnapshot, source: str = "127.0.0.1") -> None:
        self.snapshot = snapshot
        self.source = source
        self.now_ns = NOW_NS
        self.sequence = 0
        self.outcome = 0

    def raw(self, message: bytes, transport: str = "udp") -> bytes | None:
        self.sequence += 1
        reply, self.outcome, _, _ = decide(
            message, self.source, transport, self.now_ns, self.snapshot, sequence=self.sequence
        )
        return reply


def serve(
    plane: str,
    listen: Sequence[Endpoint],
    snapshot: AnswerSnapshot,
    clock: Clock | None = None,
    responder: Responder = nobody,
) -> DnsServer:
    """A service of the plane "python" or "native"; what the outside sees of them must be the same."""
    if plane == "native":
        need_native()
        return NativePlane(clock=clock).serve_dns(listen, snapshot, responder)
    return python_dns.serve(listen, snapshot, clock or SystemClock(), responder)


class OverSockets:
    """A running server. Silence is told by the answer to a second query that comes first."""

    def __init__(
        self,
        snapshot: AnswerSnapshot,
        clock: Clock | None = None,
        host: str = "127.0.0.1",
        plane: str = "python",
    ) -> None:
        self.snapshot = snapshot
        self.server = serve(plane, [Endpoint(host, 0)], snapshot, clock)
        self.address = (host, self.server.endpoints[0].port)
        self.udp = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.settimeout(10)
        self.udp.connect(self.address)
        self._ids = iter(random.Random(1).sample(range(65536), 65536))

    def close(self) -> None:
        self.udp.close()
        self.server.close()
        assert self.server.failure() is None

    def raw(self, message: bytes, transport: str = "udp") -> bytes | None:
        if transport == "tcp":
            with self.stream() as stream:
                stream.sendall(framed(message))
                return read_frame(stream)
        self.udp.send(message)
        last = struct.pack("!H", next(self._ids)) + query("ns1", "A").to_wire()[2:]
        self.udp.send(last)
        first = self.udp.recv(65535)
        if is_answer_to(first, last):
            return None
        second = self.udp.recv(65535)
        assert is_answer_to(second, last)
        return first

    def stream(self) -> socket.socket:
        stream = socket.create_connection(self.address, timeout=10)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return stream


def is_answer_to(reply: bytes, message: bytes) -> bool:
    return reply[:2] == message[:2] and reply[12 : len(message)] == message[12:]


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message


def read_frame(stream: socket.socket) -> bytes | None:
    """One message, or None when the other side ended the connection."""
    head = read_exactly(stream, 2)
    return None if head is None else read_exactly(stream, int.from_bytes(head, "big"))


def read_exactly(stream: socket.socket, size: int) -> bytes | None:
    octets = b""
    while len(octets) < size:
        try:
            more = stream.recv(size - len(octets))
        except ConnectionError:
            return None
        if not more:
            return None
        octets += more
    return octets


def query(name: str = "0", rrtype: str = "A", **fields: object) -> dns.message.QueryMessage:
    """A query without RD for a name in the zone ("@" is the zone, a final dot makes it absolute)."""
    full = name if name.endswith(".") else ZONE if name == "@" else f"{name}.{ZONE}"
    message = dns.message.make_query(full, rrtype, **fields)
    if "flags" not in fields:
        message.flags = dns.flags.Flag(0)
    return message


def edns(
    name: str = "0", rrtype: str = "A", *options: dns.edns.Option, **fields: object
) -> dns.message.QueryMessage:
    """The same with an OPT record."""
    return query(name, rrtype, **{"use_edns": 0, "payload": 1232, "options": list(options), **fields})


def option(code: int, data: bytes = b"") -> dns.edns.GenericOption:
    return dns.edns.GenericOption(code, data)


def with_header(
    wire: bytes, *, flags: int | None = None, counts: tuple[int, int, int, int] | None = None
) -> bytes:
    """The message with other flags or counts."""
    out = bytearray(wire)
    if flags is not None:
        out[2:4] = struct.pack("!H", flags)
    if counts is not None:
        out[4:12] = struct.pack("!4H", *counts)
    return bytes(out)
