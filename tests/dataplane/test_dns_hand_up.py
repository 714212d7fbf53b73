"""What the workers hand up: answered by Python, from the address that was asked, without ever holding up a worker."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import dns.message
import dns.rcode
import dns.tsigkeyring
import pytest

from appliance.dataplane import dns_hand_up
from appliance.dataplane.dns_hand_up import MOST_WAITING
from appliance.dataplane.dns_rate import rate_limit
from appliance.dataplane.dns_reply import Arrival, Decision, Reply
from appliance.dataplane.dns_snapshot import AnswerSnapshot, HandUp, Section
from appliance.dataplane.interface import DnsServer, Endpoint
from appliance.wire.dns import TXT, encode_name, record, txt_rdata
from appliance.wire.dns_query import parse_query
from tests.dataplane.dns_stub import ZONE, framed, plain_stub, query, read_frame, serve
from tests.support.wait import wait_until

LIVE = encode_name(f"live.{ZONE}")


@dataclass
class Live:
    """Answers every question with the client's address; holds everybody up while `free` is not set."""

    asked: list[tuple[bytes, Arrival]] = field(default_factory=list)
    free: threading.Event = field(default_factory=threading.Event)
    broken: bool = False

    def __call__(self, message: bytes, arrival: Arrival, snapshot: AnswerSnapshot) -> Decision:
        self.asked.append((message, arrival))
        if self.broken:
            raise ZeroDivisionError
        self.free.wait(60)
        reply = Reply(message, parse_query(message), arrival, snapshot)
        return reply.section(
            Section(1, record(TXT, 0, txt_rdata(f"{arrival.transport} {arrival.source}"))), aa=True
        )


@contextmanager
def running(plane: str, live: Live, host: str = "127.0.0.1", **snapshot: object) -> Iterator[DnsServer]:
    told = replace(plain_stub(), **{"hand_up": HandUp(names=(LIVE,)), **snapshot})  # type: ignore[arg-type]
    live.free.set()
    server = serve(plane, [Endpoint(host, 0)], told, responder=live)
    try:
        yield server
    finally:
        live.free.set()
        server.close()
    assert server.failure() is None


def client(server: DnsServer, host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(20)
    sock.connect((host, server.endpoints[0].port))
    return sock


def counted(server: DnsServer, outcome: str) -> int:
    return sum(number for (_, _, told), number in server.counters().items() if told == outcome)


def texts(reply: bytes) -> list[str]:
    return [item.to_text() for group in dns.message.from_wire(reply).answer for item in group]


@pytest.mark.parametrize(("listen", "asked"), [("0.0.0.0", "127.0.0.2"), ("127.0.0.1", "127.0.0.1"), ("::", "::1"), ("::1", "::1")])  # fmt: skip
def test_a_name_that_is_declared_live_is_answered_by_python_from_the_address_that_was_asked(
    plane: str, listen: str, asked: str
) -> None:
    live = Live()
    with running(plane, live, listen) as server, client(server, asked) as sock:
        for name in ("live", "LIVE", "x.y.live"):
            sock.send(query(name, "TXT").to_wire())
            expected = f'"udp {"::1" if ":" in asked else "127.0.0.1"}"'
            assert texts(sock.recv(4096)) == [expected]
        wait_until(lambda: server.counters().get(("udp", "TXT", "NOERROR")) == 3, "each to be counted once")
        if "::" not in listen and listen == asked:
            with socket.create_connection((asked, server.endpoints[0].port), timeout=20) as stream:
                stream.sendall(framed(query("live", "TXT").to_wire()))
                reply = read_frame(stream)
            assert reply is not None
            assert texts(reply) == ['"tcp 127.0.0.1"']
            assert server.counters()["tcp", "TXT", "NOERROR"] == 1


def test_a_flood_of_random_names_in_the_zone_never_reaches_python(plane: str) -> None:
    live = Live()
    with running(plane, live) as server, client(server) as sock:
        for number in range(500):
            sock.send(query(f"random{number}").to_wire())
            assert dns.message.from_wire(sock.recv(4096)).rcode() == dns.rcode.NXDOMAIN
        for name in ("alive", "0", "example.net."):
            sock.send(query(name).to_wire())
            sock.recv(4096)
    assert live.asked == []


def test_a_full_queue_refuses_and_nobody_else_waits_for_it(plane: str) -> None:
    live = Live()
    with running(plane, live) as server, client(server) as sock, client(server) as other:
        live.free.clear()
        sock.send(query("live", "TXT").to_wire())
        wait_until(lambda: live.asked, "python to be busy")
        for number in range(1, MOST_WAITING + 1):
            sock.send(struct.pack("!H", number) + query("live", "TXT").to_wire()[2:])
        for number in range(50):
            sock.send(query("live", "TXT").to_wire())
            refused = dns.message.from_wire(sock.recv(4096))
            assert refused.rcode() == dns.rcode.REFUSED
            assert refused.question[0].name.to_text() == f"live.{ZONE}."
            other.send(query("0").to_wire())
            assert len(dns.message.from_wire(other.recv(4096)).answer[0]) == 4, number
        assert counted(server, "queue_full") == 50
        monkey = dns_hand_up.LATE_NS
        dns_hand_up.LATE_NS = 10**15  # however long the fifty took
        try:
            live.free.set()
            wait_until(lambda: counted(server, "NOERROR") == 1 + MOST_WAITING + 50, "all to be counted")
        finally:
            dns_hand_up.LATE_NS = monkey
        # More of them than a socket's buffer may hold: those that are there will do.
        assert all(texts(sock.recv(4096)) == ['"udp 127.0.0.1"'] for _ in range(50))


def test_what_waited_too_long_is_dropped_and_counted(plane: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_hand_up, "LATE_NS", -1)
    live = Live()
    with running(plane, live) as server, client(server) as sock:
        sock.send(query("live", "TXT").to_wire())
        wait_until(lambda: counted(server, "too_late") == 1, "it to be dropped")
    assert live.asked == []


def test_a_bug_in_an_answer_is_counted_and_does_not_end_anything(plane: str) -> None:
    live = Live(broken=True)
    with running(plane, live) as server, client(server) as sock:
        sock.send(query("live", "TXT").to_wire())
        wait_until(lambda: counted(server, "error") == 1, "the bug to be counted")
        live.broken = False
        sock.send(query("live", "TXT").to_wire())
        assert texts(sock.recv(4096)) == ['"udp 127.0.0.1"']


def test_live_names_are_limited_like_all_others(plane: str) -> None:
    live = Live()
    with running(plane, live, rate_limit=rate_limit(1 / 3600, 5, 2)) as server, client(server) as sock:
        for _ in range(40):
            sock.send(query("live", "TXT").to_wire())
        wait_until(lambda: sum(server.counters().values()) == 40, "all to be counted")
        assert (counted(server, "NOERROR"), counted(server, "limited_truncated")) == (5, 17)
        assert len(live.asked) == 5
        truncated = [reply for reply in (sock.recv(4096) for _ in range(22)) if reply[2] & 2]
        assert {len(reply) for reply in truncated} == {len(query("live", "TXT").to_wire())}


def test_messages_of_other_kinds_go_up_only_if_somebody_wants_them(plane: str) -> None:
    signed = query("0")
    signed.use_tsig(dns.tsigkeyring.from_text({"key.": "c2VjcmV0IHNlY3JldCE="}))
    messages = [signed.to_wire()]
    for opcode in (4, 5):
        wire = bytearray(query("@", "SOA").to_wire())
        wire[2] |= opcode << 3
        messages.append(bytes(wire))
    for wanted, expected in ((HandUp(), 0), (HandUp(opcodes=frozenset({4, 5}), signed=True), 3)):
        live = Live()
        with running(plane, live, hand_up=wanted) as server, client(server) as sock:
            rcodes = []
            for message in messages:
                sock.send(message)
                rcodes.append(sock.recv(4096)[3] & 15)
        assert rcodes == ([0, 0, 0] if expected else [9, 5, 4])
        assert len(live.asked) == expected


def test_a_name_that_the_zone_has_is_answered_from_the_zone(plane: str) -> None:
    live = Live()
    everything = HandUp(names=(encode_name(ZONE),))
    with running(plane, live, hand_up=everything) as server, client(server) as sock:
        sock.send(query("0").to_wire())
        assert len(dns.message.from_wire(sock.recv(4096)).answer[0]) == 4
        assert live.asked == []
        sock.send(query("x", "TXT").to_wire())
        assert texts(sock.recv(4096)) == ['"udp 127.0.0.1"']


def test_closing_does_not_wait_for_what_is_in_the_queue(plane: str) -> None:
    live = Live()
    with running(plane, live) as server, client(server) as sock:
        live.free.clear()
        for _ in range(100):
            sock.send(query("live", "TXT").to_wire())
        wait_until(lambda: live.asked, "python to be busy")
    assert len(live.asked) <= 100
