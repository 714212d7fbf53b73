"""Over real sockets: replies with a MAC, and the kernel's word on when replies left, in every way to move packets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from appliance.api.model import ClockState
from appliance.core.clock import SystemClock
from appliance.dataplane import choose, ntp_decide
from appliance.dataplane.interface import Action, Endpoint, Mark, NtpPolicy, NtpServer, Reason
from appliance.dataplane.ntp_keys import NtpKey
from appliance.dataplane.python_ntp import PythonNtpServer
from appliance.dataplane.udp_slots import BatchSlots, SingleSlot
from appliance.wire.ntp import HEADER_BYTES, Header, ntp_from_unix_ns, parse_header
from appliance.wire.ntp_mac import MacType, digester
from tests.support.native import need_native
from tests.support.wait import wait_until

CLOCK = SystemClock()
KEY = NtpKey(7, MacType.SHA512, b"a key of some length")
HOSTS = {"127.0.0.1": "0.0.0.0", "::1": "::"}


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    """On a machine that does ten things at once a request may wait longer than we let it outside of tests."""
    monkeypatch.setattr(ntp_decide, "LATE_NS", 60 * 10**9)


@pytest.fixture(params=[BatchSlots, SingleSlot, "native"], ids=["recvmmsg", "recvmsg", "native"])
def server(request) -> Iterator[NtpServer]:
    """On both wildcards, so that replies carry the address that they leave from beside what they ask of the kernel."""
    state = ClockState(
        leap=0, stratum=2, refid=b"\x7f\x7f\x01\x01", reference_ns=CLOCK.wall_ns() - 10**9, root_delay_s=0.001,
        root_dispersion_s=0.001, dispersion_rate=15e-6, as_of_mono_ns=CLOCK.monotonic_ns(), precision=-30, source="test",
    )  # fmt: skip
    listen = [Endpoint(wildcard, 0) for wildcard in HOSTS.values()]
    if request.param == "native":
        need_native()
        server = choose("native").serve_ntp(listen, state, NtpPolicy())
    else:
        server = PythonNtpServer(listen, state, NtpPolicy(), CLOCK, make_slots=request.param)
    server.set_keys([KEY])
    try:
        yield server
    finally:
        server.close()


@contextmanager
def client(server: NtpServer, host: str) -> Iterator[socket.socket]:
    port = server.endpoints[list(HOSTS).index(host)].port
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(20)
        sock.connect((host, port))
        yield sock


def wait_for_mark(server: NtpServer, mark: Mark, count: int) -> None:
    wait_until(lambda: server.marks().get(mark, 0) >= count, f"{count} of {mark.name}")


def sealed(packet: bytes) -> bytes:
    size = KEY.kind.digest_on_wire(packet[0] >> 3 & 7)
    return packet + KEY.id.to_bytes(4) + digester(KEY.kind, KEY.secret)(packet)[:size]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("with_mac", [False, True])
def test_a_reply_tells_when_the_one_before_left_by_the_kernels_clock(server, host, with_mac):
    with client(server, host) as sock:
        replies: list[Header] = []
        received_ns = []
        for number in range(4):
            last = replies[-1] if replies else Header()
            packet = Header(origin=last.receive, receive=number, transmit=1000 + number).pack()
            sock.send(sealed(packet) if with_mac else packet)
            got = sock.recv(2048)
            received_ns.append(CLOCK.wall_ns())
            assert got == (sealed(got[:HEADER_BYTES]) if with_mac else got[:HEADER_BYTES])
            replies.append(parse_header(got))
        assert [reply.origin for reply in replies] == [1000, 1001, 2, 3]
        for before, reply, arrived_ns in zip(replies[1:], replies[2:], received_ns[1:], strict=False):
            # It left after it came in, and before the client had it.
            assert before.receive < reply.transmit <= ntp_from_unix_ns(arrived_ns)
        # The second one says when we wrote it; the third one, when the kernel sent that.
        assert replies[1].transmit < replies[2].transmit
    wait_for_mark(server, Mark.INTERLEAVED, 2)
    wait_for_mark(server, Mark.STAMPED, 2)
    assert server.counters() == {(Reason.OK, Action.REPLY): 4}
    assert server.failure() is None


def test_clients_in_basic_mode_ask_nothing_of_the_kernel(server):
    with client(server, "127.0.0.1") as sock:
        for number in range(4):
            sock.send(Header(origin=2 * number, transmit=1000 + number).pack())
            assert parse_header(sock.recv(2048)).origin == 1000 + number
    wait_until(lambda: server.counters().get((Reason.OK, Action.REPLY), 0) == 4, "all to be counted")
    assert server.marks() == {}


def test_stamps_that_nobody_fetches_keep_nobody_from_being_answered(server):
    """Each client goes away after a reply of which the kernel was to tell."""
    for number in range(50):
        with client(server, "127.0.0.1") as sock:
            sock.send(Header(origin=1, receive=2, transmit=1000 + number).pack())
            assert parse_header(sock.recv(2048)).origin == 1000 + number
    wait_until(lambda: server.counters().get((Reason.OK, Action.REPLY), 0) == 50, "all to be counted")
    assert server.failure() is None


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("host", HOSTS)
def test_replies_with_a_mac_of_any_length_arrive_whole(server, host, version):
    with client(server, host) as sock:
        for packet in (
            Header(version=version, transmit=5).pack(),
            sealed(Header(version=version, transmit=6).pack()),
        ):
            sock.send(packet)
            got = sock.recv(2048)
            assert len(got) == len(packet)
            assert got == (sealed(got[:HEADER_BYTES]) if len(packet) > HEADER_BYTES else got)
    wait_for_mark(server, Mark.AUTHENTICATED, 1)


def test_what_is_wrong_with_a_mac_is_counted_apart(server):
    packet = Header(transmit=5).pack()
    with client(server, "127.0.0.1") as sock:
        sock.send(packet + bytes([0, 0, 0, 9]) + bytes(20))
        sock.send(packet + bytes([0, 0, 0, 7]) + bytes(20))
        sock.send(packet + bytes(4))
        wait_until(lambda: server.counters().get((Reason.AUTH, Action.IGNORE), 0) == 3, "all to be counted")
        assert server.marks() == {Mark.UNKNOWN_KEY: 1, Mark.WRONG_MAC: 1}
        server.set_keys([])
        sock.send(sealed(packet))
        wait_for_mark(server, Mark.UNKNOWN_KEY, 2)
