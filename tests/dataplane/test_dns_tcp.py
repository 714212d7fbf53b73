"""DNS over TCP (RFC 7766): checks 100 to 110, and what a hostile client may not do."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

import dns.message
import pytest

from appliance.core.clock import SystemClock
from appliance.dataplane.dns_snapshot import TcpLimits
from tests.dataplane.dns_stub import (
    OverSockets,
    edns,
    framed,
    option,
    plain_stub,
    query,
    read_exactly,
    read_frame,
    stub,
    with_header,
)

CLOCK = SystemClock()


@pytest.fixture
def asker() -> Iterator[OverSockets]:
    asker = OverSockets(plain_stub())
    yield asker
    asker.close()


@contextlib.contextmanager
def serving(**limits: int) -> Iterator[OverSockets]:
    asker = OverSockets(stub(tcp=TcpLimits(**limits)))
    try:
        yield asker
    finally:
        asker.close()


def ident(number: int) -> bytes:
    return struct.pack("!H", number) + query("0").to_wire()[2:]


def is_closed(stream: socket.socket) -> bool:
    return read_exactly(stream, 1) is None


def test_100_one_query(asker: OverSockets) -> None:
    reply = asker.raw(query("0").to_wire(), "tcp")
    assert reply is not None
    assert len(reply) == 100


def test_101_three_in_one_segment(asker: OverSockets) -> None:
    with asker.stream() as stream:
        stream.sendall(b"".join(framed(ident(n)) for n in (11, 22, 33)))
        assert {(read_frame(stream) or b"")[:2] for _ in range(3)} == {
            struct.pack("!H", n) for n in (11, 22, 33)
        }


def test_102_octet_by_octet(asker: OverSockets) -> None:
    with asker.stream() as stream:
        for octet in framed(ident(5)) + framed(ident(6)):
            stream.sendall(bytes((octet,)))
        assert [(read_frame(stream) or b"")[:2] for _ in range(2)] == [b"\0\5", b"\0\6"]


def test_103_half_closed_still_gets_its_answers(asker: OverSockets) -> None:
    with asker.stream() as stream:
        stream.sendall(b"".join(framed(ident(n)) for n in range(50)) + b"\0")
        stream.shutdown(socket.SHUT_WR)
        assert [read_frame(stream) is not None for _ in range(50)] == [True] * 50
        assert is_closed(stream)


@pytest.mark.parametrize(
    "message",
    [b"", b"12345", ident(1)[:11], with_header(ident(1), flags=0x8000)],
    ids=["104 empty", "105 five", "eleven", "a reply"],
)
def test_104_105_what_cannot_be_a_query_ends_the_connection(asker: OverSockets, message: bytes) -> None:
    with asker.stream() as stream:
        stream.sendall(framed(ident(7)) + framed(message) + framed(ident(8)))
        assert (read_frame(stream) or b"")[:2] == b"\0\7"
        assert is_closed(stream)


def test_106_idle_connections_are_closed_even_when_they_trickle() -> None:
    with serving(idle=5) as asker, asker.stream() as stream, asker.stream() as trickle:
        stream.sendall(framed(ident(1)))
        assert read_frame(stream) is not None
        began_ns = CLOCK.monotonic_ns()
        trickle.settimeout(0.05)
        for octet in framed(bytes(200)):
            with contextlib.suppress(OSError):
                trickle.sendall(bytes((octet,)))
            try:
                if trickle.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        else:
            pytest.fail("a connection that never sends a whole query was kept")
        assert is_closed(stream)
        assert CLOCK.monotonic_ns() - began_ns >= 300_000_000


def test_107_a_client_that_does_not_read_is_dropped_and_others_are_served() -> None:
    with serving(send=3, idle=100) as asker, asker.stream() as slow, asker.stream() as other:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(0.2)
        flood = framed(query("huge", "TXT").to_wire()) * 2000
        sent = 0
        with contextlib.suppress(OSError):
            while sent < len(flood):
                sent += slow.send(flood[sent:])
        other.sendall(framed(ident(3)))
        assert read_frame(other) is not None
        slow.settimeout(10)
        size = 0
        with contextlib.suppress(ConnectionError):
            while octets := slow.recv(1 << 20):
                size += len(octets)
        assert size < 2000 * 50_000 / 2, "it was given everything although it did not read"


def test_108_one_client_too_many_ends_the_longest_idle() -> None:
    with serving(clients=3) as asker:
        streams = [asker.stream() for _ in range(3)]
        for n, stream in enumerate(streams):
            stream.sendall(framed(ident(n)))
            assert read_frame(stream) is not None
        streams[0].sendall(framed(ident(9)))  # so that number 1 is the longest idle
        assert read_frame(streams[0]) is not None
        with asker.stream() as late:
            late.sendall(framed(ident(4)))
            assert read_frame(late) is not None
            assert is_closed(streams[1])
            for stream in (streams[0], streams[2]):
                stream.sendall(framed(ident(5)))
                assert read_frame(stream) is not None
        for stream in streams:
            stream.close()


def test_109_a_thousand_queries_on_one_connection(asker: OverSockets) -> None:
    with asker.stream() as stream:
        for begin in range(0, 1000, 100):
            stream.sendall(b"".join(framed(ident(n)) for n in range(begin, begin + 100)))
            for n in range(begin, begin + 100):
                assert (read_frame(stream) or b"")[:2] == struct.pack("!H", n)


def test_many_large_answers_in_one_go_wait_for_the_reader(asker: OverSockets) -> None:
    """More than we are ready to hold for one client: it comes as the client reads, and in order."""
    with asker.stream() as stream:
        message = query("huge", "TXT").to_wire()
        count = 40
        stream.sendall(b"".join(framed(struct.pack("!H", n) + message[2:]) for n in range(count)))
        stream.shutdown(socket.SHUT_WR)
        for n in range(count):
            reply = read_frame(stream)
            assert reply is not None
            assert reply[:2] == struct.pack("!H", n)
            assert len(reply) > 50_000
        assert is_closed(stream)


def test_110_keepalive_is_answered_with_our_limit() -> None:
    with serving(idle=42) as asker:
        reply = asker.raw(edns("0", "A", option(11)).to_wire(), "tcp")
        assert (reply or b"").endswith(struct.pack("!HHH", 11, 2, 42))
        assert not dns.message.from_wire(asker.raw(edns("0", "A").to_wire(), "tcp") or b"").options


def test_closing_is_prompt_with_clients_connected() -> None:
    asker = OverSockets(plain_stub())
    streams = [asker.stream() for _ in range(20)]
    streams[0].sendall(framed(ident(1)))
    assert read_frame(streams[0]) is not None
    began_ns = CLOCK.monotonic_ns()
    asker.close()
    assert CLOCK.monotonic_ns() - began_ns < 2_000_000_000
    for stream in streams:
        assert is_closed(stream)
        stream.close()
