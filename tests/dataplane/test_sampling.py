"""Copies of packets for whoever inspects them: both services, both planes, the same bytes and the same bounds."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from appliance.core.clock import SystemClock
from appliance.dataplane import ntp_decide
from appliance.dataplane.interface import Action, DnsServer, Endpoint, NtpPolicy, NtpServer, Reason
from appliance.dataplane.native import NativePlane
from appliance.dataplane.ntp_outcome import split
from appliance.dataplane.python_dns import OUTCOME_NAMES
from appliance.dataplane.python_ntp import PythonNtpServer
from appliance.dataplane.sampling import (
    DRAWN,
    FOCUSED,
    NOTHING,
    RING_WORDS,
    UNUSUAL,
    Focus,
    Quota,
    Ring,
    Sample,
    Sampling,
    Tap,
)
from tests.dataplane.dns_stub import plain_stub, query, serve
from tests.support.native import need_native
from tests.support.ntp_packets import READVAR, request
from tests.support.ntp_service import synchronised
from tests.support.wait import wait_until

CLOCK = SystemClock()
LOOPBACK = socket.inet_aton("127.0.0.1")


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    monkeypatch.setattr(ntp_decide, "LATE_NS", 60 * 10**9)


@contextmanager
def time_service(plane: str, host: str = "127.0.0.1") -> Iterator[tuple[NtpServer, socket.socket]]:
    """A service with one worker, and a client's socket."""
    listen = (Endpoint(host, 0),)
    if plane == "native":
        need_native()
        server: NtpServer = NativePlane(workers=1).serve_ntp(listen, synchronised(), NtpPolicy())
    else:
        server = PythonNtpServer(listen, synchronised(), NtpPolicy(), CLOCK)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.connect(("127.0.0.1" if host == "0.0.0.0" else host, server.endpoints[0].port))
        try:
            yield server, sock
        finally:
            server.close()
            assert server.failure() is None


@contextmanager
def name_service(plane: str) -> Iterator[tuple[DnsServer, socket.socket]]:
    server = serve(plane, [Endpoint("127.0.0.1", 0)], plain_stub(), None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.connect(("127.0.0.1", server.endpoints[0].port))
        try:
            yield server, sock
        finally:
            server.close()


def ask(sock: socket.socket, packet: bytes = request()) -> bytes:
    sock.send(packet)
    return sock.recv(2048)


def taken(server: NtpServer | DnsServer, count: int) -> list[Sample]:
    """Samples, once there are `count`: a copy is made a moment after or before the reply."""
    samples: list[Sample] = []

    def enough() -> bool:
        samples.extend(server.take_samples(1000))
        return len(samples) >= count

    wait_until(enough, f"{count} samples")
    return samples


def everything(**changes) -> Sampling:
    return Sampling(every=1, **changes)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1"])
def test_a_sample_is_the_packet_with_its_addresses_time_and_outcome(plane, host):
    with time_service(plane, host) as (server, sock):
        server.sample(everything())
        before_ns = CLOCK.wall_ns()
        ask(sock)
        sock.send(READVAR)
        answered, control = taken(server, 2)
        family, name = sock.family, sock.getsockname()
        assert answered.packet == request()
        assert (answered.source, answered.port) == (socket.inet_pton(family, name[0]), name[1])
        assert socket.inet_ntop(family, answered.own) == sock.getpeername()[0]
        assert answered.own_port == server.endpoints[0].port
        assert abs(answered.rx_ns - before_ns) < 60 * 10**9
        assert split(answered.outcome) == (Reason.OK, Action.REPLY)
        assert (control.packet, split(control.outcome)) == (READVAR, (Reason.CONTROL, Action.IGNORE))
        assert answered.why == control.why == DRAWN


def test_nothing_is_copied_before_somebody_asks_and_after_he_stops(plane):
    with time_service(plane) as (server, sock):
        ask(sock)
        assert server.take_samples(10) == []
        server.sample(everything())
        ask(sock)
        assert len(taken(server, 1)) == 1
        server.sample(NOTHING)
        ask(sock)
        ask(sock)
        assert server.take_samples(10) == []
        assert server.sampled() == (1, 0)


def test_one_of_each_block_is_copied(plane):
    with time_service(plane) as (server, sock):
        server.sample(Sampling(every=10))
        for _ in range(100):
            ask(sock)
        wait_until(lambda: server.sampled().taken == 10, "ten samples of a hundred packets")
        assert len(server.take_samples(4)) == 4
        assert len(server.take_samples(100)) == 6


def test_what_is_not_ordinary_is_drawn_for_itself_so_that_a_few_such_packets_are_seen(plane):
    with time_service(plane) as (server, sock):
        server.sample(Sampling(every=1000, unusual=1))
        odd = [READVAR, bytes([5 << 3 | 3]) + bytes(47), bytes([0x24]) + bytes(47), b"x"]
        for packet in odd:
            ask(sock)
            sock.send(packet)
        ask(sock)
        samples = [sample for sample in taken(server, 4) if sample.why == UNUSUAL]
        assert [sample.packet for sample in samples] == odd
        reasons = [split(sample.outcome)[0] for sample in samples]
        assert reasons == [Reason.CONTROL, Reason.BAD_VERSION, Reason.REPLY, Reason.TOO_SHORT]


def test_a_flood_of_what_is_not_ordinary_is_thinned_out_and_leaves_the_rest_as_it_is(plane):
    with time_service(plane) as (server, sock):
        server.sample(Sampling(every=5, unusual=20))
        for _ in range(40):
            ask(sock)
            sock.send(READVAR)
        ask(sock)
        wait_until(lambda: server.sampled().taken >= 10, "ten samples of eighty packets")
        kinds = [sample.why for sample in server.take_samples(100)]
        assert kinds.count(UNUSUAL) == 2
        assert kinds.count(DRAWN) in (8, 9), "the last request may be the one of its block"


def test_queries_for_what_is_not_there_are_drawn_for_themselves(plane):
    with name_service(plane) as (server, sock):
        server.sample(Sampling(every=1000, unusual=1))
        for name in ("ns1", "nope", "ns1", "nada"):
            ask(sock, query(name, "A").to_wire())
        samples = [sample for sample in taken(server, 2) if sample.why == UNUSUAL]
        assert [OUTCOME_NAMES[sample.outcome] for sample in samples] == ["NXDOMAIN"] * 2


def test_only_the_first_bytes_are_kept_and_the_length_is_told(plane):
    with time_service(plane) as (server, sock):
        server.sample(everything(keep=20))
        sock.send(bytes(1000))
        sock.send(b"")
        long, empty = taken(server, 2)
        assert (long.packet, long.size) == (bytes(20), 1000)
        assert (empty.packet, empty.size) == (b"", 0)


def test_a_focus_takes_all_from_one_network_up_to_its_number(plane):
    with time_service(plane) as (server, sock):
        forever_ns = CLOCK.monotonic_ns() + 600 * 10**9
        elsewhere = Focus(ipaddress.ip_network("192.0.2.0/24"), forever_ns, 100)
        server.sample(Sampling(focus=elsewhere))
        ask(sock)
        here = Focus(ipaddress.ip_network("127.0.0.0/8"), forever_ns, 3)
        server.sample(Sampling(focus=here))
        for _ in range(8):
            ask(sock)
        samples = taken(server, 3)
        assert [sample.why for sample in samples] == [FOCUSED] * 3
        over = Focus(here.network, CLOCK.monotonic_ns() - 1, 100)
        server.sample(Sampling(focus=over))
        ask(sock)
        assert server.take_samples(10) == []


def test_a_full_ring_drops_the_newest_counts_it_and_delays_nobody(plane):
    with time_service(plane) as (server, sock):
        server.sample(everything(keep=2048))
        words = 7 + 2048 // 8
        room = RING_WORDS // words
        for number in range(room + 20):
            ask(sock)  # so that the socket's own buffer never fills
            sock.send(struct.pack("!Q", number) * 256)
        ask(sock)
        wait_until(lambda: sum(server.sampled()) == 2 * (room + 20) + 1, "every packet to be looked at")
        kept = list(server.take_samples(100_000))
        counts = server.sampled()
        assert len(kept) == counts.taken
        assert counts.dropped > 20
        assert sum(len(sample.packet) // 8 + 7 for sample in kept) <= RING_WORDS
        ask(sock)
        assert len(taken(server, 1)) == 1


def test_a_query_is_copied_with_its_outcome(plane):
    with name_service(plane) as (server, sock):
        server.sample(everything())
        wires = [query("ns1", "A").to_wire(), query("nope", "A").to_wire()]
        for wire in wires:
            ask(sock, wire)
        samples = taken(server, 2)
        assert [sample.packet for sample in samples] == wires
        assert [OUTCOME_NAMES[sample.outcome] for sample in samples] == ["NOERROR", "NXDOMAIN"]
        assert {(s.source, s.port, s.own) for s in samples} == {(LOOPBACK, sock.getsockname()[1], LOOPBACK)}


def test_python_and_rust_have_the_same_room():
    ring = Ring(32)
    sample = Sample(bytes(16), 16, LOOPBACK, 1, LOOPBACK, 2, 3, 4, DRAWN)
    for _ in range(5):
        ring.put(sample)
    assert (ring.taken, ring.dropped) == (3, 2)  # as `sampling.rs` has it in its own test
    assert ring.take() == sample


def test_each_block_has_one_and_not_always_at_the_same_place():
    tap = Tap(Sampling(every=10), Ring(), None)
    places = [0] * 10
    for _ in range(1000):
        hits = [place for place in range(10) if tap.why(LOOPBACK, 0, 0)]
        assert len(hits) == 1
        places[hits[0]] += 1
    assert min(places) > 40


def test_a_quota_is_shared_out_exactly():
    quota = Quota(3)
    assert [quota.take() for _ in range(5)] == [True] * 3 + [False] * 2


@pytest.mark.parametrize(
    "wrong", [{"unusual": 1 << 32}, {"every": -1}, {"keep": 0}, {"keep": 5000}, {"every": 1 << 32}]
)
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValueError, match="bytes of each"):
        Sampling(**wrong)
