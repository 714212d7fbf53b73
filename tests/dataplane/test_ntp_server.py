"""The NTP service over real sockets on loopback; every way to move packets runs through what it can be asked."""

from __future__ import annotations

import dataclasses
import errno
import ipaddress
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from appliance.api.model import ClockState
from appliance.core.clock import SystemClock
from appliance.dataplane import choose, ntp_decide, python_ntp
from appliance.dataplane.interface import (
    Action,
    Endpoint,
    NtpPolicy,
    NtpServer,
    PrefixRule,
    RateLimit,
    Reason,
)
from appliance.dataplane.python_ntp import PythonNtpServer
from appliance.dataplane.udp_slots import BatchSlots, SingleSlot, slots_for
from appliance.wire.ntp import parse_header, unix_ns_from_ntp
from tests.support.mutation import mutated
from tests.support.native import need_native
from tests.support.ntp_packets import (
    COOKIE,
    MAC_20,
    NTS_TAIL,
    READVAR,
    SEEDS,
    UNKNOWN_FIELD,
    request,
)
from tests.support.programs import fuzz_packets
from tests.support.wait import wait_until

CLOCK = SystemClock()
ANYWHERE = (Endpoint("0.0.0.0", 0), Endpoint("::", 0))
NATIVE = "native"
ANSWERED, SILENT = Action.REPLY, Action.IGNORE


#: On a machine that does ten things at once a request may wait longer than we let it outside of tests.
PATIENT_NS = 60 * 10**9


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    monkeypatch.setattr(ntp_decide, "LATE_NS", PATIENT_NS)


def synchronised(**changes) -> ClockState:
    state = ClockState(
        leap=0, stratum=2, refid=b"\x7f\x7f\x01\x01", reference_ns=CLOCK.wall_ns() - 10**9, root_delay_s=0.001,
        root_dispersion_s=0.001, dispersion_rate=15e-6, as_of_mono_ns=CLOCK.monotonic_ns(), source="test",
    )  # fmt: skip
    return dataclasses.replace(state, **changes)


@pytest.fixture(params=[BatchSlots, SingleSlot], ids=["recvmmsg", "recvmsg"])
def make_slots(request):
    """Ways to move packets in Python, for tests that put something of their own in between."""
    return request.param


@pytest.fixture(params=[BatchSlots, SingleSlot, NATIVE], ids=["recvmmsg", "recvmsg", "native"])
def way(request):
    """Every implementation there is: what the outside sees must be the same."""
    if request.param is NATIVE:
        need_native()
    return request.param


@contextmanager
def serving(
    way=slots_for, listen=ANYWHERE, state=None, policy=None, clock=CLOCK, clients=0
) -> Iterator[NtpServer]:
    """A service that moves packets in this way."""
    state, policy = state or synchronised(), policy or NtpPolicy()
    if way is NATIVE:
        server = choose("native").serve_ntp(listen, state, policy, clients=clients)
    else:
        server = PythonNtpServer(listen, state, policy, clock, make_slots=way, clients=clients)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def client(server: PythonNtpServer, host="127.0.0.1", *, source=("", 0)) -> Iterator[socket.socket]:
    """A socket connected to the service: a reply from any other address or port does not reach it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    port = next(e.port for e in server.endpoints if (":" in e.host) == (":" in host))
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.bind(source)
        sock.connect((host, port))
        yield sock


def ask(server: PythonNtpServer, packet: bytes | None = None, host="127.0.0.1") -> bytes:
    with client(server, host) as sock:
        sock.send(request() if packet is None else packet)
        return sock.recv(2048)


def total(server: PythonNtpServer) -> int:
    return sum(server.counters().values())


MATRIX = [
    *((request(version, 3), version << 3 | 4, Reason.OK) for version in (1, 2, 3, 4)),
    (request(4, 1), 0o42, Reason.OK),
    (request(1, 0), 0o14, Reason.OK),
    (request(tail=UNKNOWN_FIELD), 0o44, Reason.OK),
    (request(0, 3), None, Reason.BAD_VERSION),
    (request(5, 3), None, Reason.BAD_VERSION),
    (request(4, 0), None, Reason.BAD_MODE),
    (request(4, 2), None, Reason.BAD_MODE),
    (request(4, 5), None, Reason.BAD_MODE),
    (request(4, 4), None, Reason.REPLY),
    (READVAR, None, Reason.CONTROL),
    (request(4, 7), None, Reason.CONTROL),
    (request(tail=NTS_TAIL), None, Reason.AUTH),
    (request(tail=MAC_20), None, Reason.AUTH),
    (request(tail=bytes(6)), None, Reason.BAD_LENGTH),
    (request(tail=bytes(9000)), None, Reason.BAD_LENGTH),
    (request()[:40], None, Reason.TOO_SHORT),
    (b"", None, Reason.TOO_SHORT),
]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_every_kind_of_packet_is_answered_or_not_and_counted_once(way, host):
    with serving(way) as server, client(server, host) as sock:
        for index, (packet, first_byte, reason) in enumerate(MATRIX):
            before = server.counters()
            sock.send(packet)
            if first_byte is None:
                wait_until(lambda index=index: total(server) > index, "the packet to be counted")
            else:
                reply = sock.recv(2048)
                assert reply[0] == first_byte
                assert len(reply) == 48
                wait_until(lambda index=index: total(server) > index, "the reply to be counted")
            assert total(server) == index + 1
            pair = (reason, SILENT if first_byte is None else ANSWERED)
            assert server.counters()[pair] == before.get(pair, 0) + 1, packet.hex()
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(2048)
        traffic = server.traffic()
        family = 6 if ":" in host else 4
        assert sum(traffic.values()) == len(MATRIX) - 1  # one had no byte to tell a version by
        assert {key[2] for key in traffic} == {family}
        assert sum(count for (version, _, _), count in traffic.items() if version == 1) == 2
        assert traffic[4, 1, family] == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "127.0.0.3", "::1"])
def test_a_wildcard_service_replies_from_the_address_that_was_asked(way, host):
    with serving(way) as server:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.settimeout(10)
            endpoint = server.endpoints[":" in host]
            sock.sendto(request(), (host, endpoint.port))
            _, source = sock.recvfrom(2048)
        assert source[:2] == (host, endpoint.port)


def test_a_service_on_one_address_has_no_other(way):
    with serving(way, listen=[Endpoint("127.0.0.2", 0)]) as server:
        assert parse_header(ask(server, host="127.0.0.2")).origin == COOKIE
        with client(server, "127.0.0.3") as sock:
            sock.send(request())
            with pytest.raises(ConnectionRefusedError):
                sock.recv(2048)


def test_the_wildcards_of_both_families_share_a_port(make_slots):
    with serving(make_slots, listen=[Endpoint("0.0.0.0", 0)]) as first:
        port = first.endpoints[0].port
    with serving(make_slots, listen=[Endpoint("0.0.0.0", port), Endpoint("::", port)]) as server:
        assert ask(server, host="127.0.0.1")
        assert ask(server, host="::1")


def test_times_come_from_the_kernel_and_stand_in_order(way):
    with serving(way) as server:
        before_ns = CLOCK.wall_ns()
        reply = parse_header(ask(server))
        after_ns = CLOCK.wall_ns()
    receive_ns, transmit_ns = (unix_ns_from_ntp(t, before_ns) for t in (reply.receive, reply.transmit))
    assert before_ns - 100 <= receive_ns < transmit_ns <= after_ns + 100


def test_the_receive_time_is_when_the_kernel_had_the_packet():
    """However late the thread comes to read it: here the packets wait 20 ms in the socket."""

    class Late(BatchSlots):
        opened = threading.Event()

        def receive(self):
            self.opened.wait(10)
            return super().receive()

    with serving(Late) as server, client(server) as sock:
        sock.send(request())
        sent_ns = CLOCK.wall_ns()
        threading.Event().wait(0.02)
        opened_ns = CLOCK.wall_ns()
        Late.opened.set()
        reply = parse_header(sock.recv(2048))
    assert unix_ns_from_ntp(reply.receive, sent_ns) <= sent_ns + 100
    assert unix_ns_from_ntp(reply.transmit, sent_ns) >= opened_ns - 100


def test_what_waited_too_long_is_dropped_as_late(make_slots):
    class Ahead(SystemClock):
        @staticmethod
        def wall_ns() -> int:
            return CLOCK.wall_ns() + PATIENT_NS + 1

    with serving(make_slots, clock=Ahead()) as server, client(server) as sock:
        sock.send(request())
        wait_until(lambda: server.counters() == {(Reason.LATE, SILENT): 1}, "the late request to be dropped")


def test_a_new_clock_state_is_served_with_the_next_reply(way):
    with serving(way, state=ClockState.unsynchronised("not yet")) as server:
        assert parse_header(ask(server)).leap == 3
        server.set_clock(synchronised(stratum=7))
        assert parse_header(ask(server)).stratum == 7
        server.set_clock(ClockState.unsynchronised("lost"))
        reply = parse_header(ask(server))
        assert (reply.leap, reply.stratum) == (3, 0)


def test_a_clock_that_nobody_renews_becomes_unsynchronised_by_itself(way):
    state = synchronised(root_dispersion_s=0.0, root_delay_s=0.0, dispersion_rate=1.0, max_distance_s=0.3)
    with serving(way, state=state) as server:
        assert parse_header(ask(server)).leap == 0
        wait_until(lambda: parse_header(ask(server)).leap == 3, "replies that say unsynchronised")
        assert parse_header(ask(server)).stratum == 0


@pytest.mark.parametrize("set_by_s", [-86400 * 400, -3, 3, 5 * 3600, 400 * 86400])
def test_a_clock_that_was_set_is_not_told_as_right_until_it_was_looked_at_again(way, set_by_s):
    """The packet thread sees it by itself: control may be busy for a while."""
    mono_ns = CLOCK.monotonic_ns()
    before = synchronised(as_of_mono_ns=mono_ns, as_of_wall_ns=CLOCK.wall_ns() - set_by_s * 10**9)
    with serving(way, state=before) as server:
        reply = parse_header(ask(server))
        assert (reply.leap, reply.stratum) == (3, 0)
        server.set_clock(synchronised(as_of_wall_ns=CLOCK.wall_ns()))
        assert parse_header(ask(server)).stratum == 2
        server.set_clock(synchronised(as_of_wall_ns=CLOCK.wall_ns() + set_by_s * 10**9))
        assert parse_header(ask(server)).leap == 3
        server.set_clock(synchronised())
        assert parse_header(ask(server)).stratum == 2, "right by decree: nothing to compare with"


def test_a_new_policy_is_in_force_with_the_next_packet(way):
    with serving(way) as server:
        assert parse_header(ask(server)).stratum == 2
        server.set_policy(NtpPolicy((PrefixRule(ipaddress.ip_network("127.0.0.0/8"), "deny"),)))
        assert parse_header(ask(server)).kiss_code == "DENY"
        assert parse_header(ask(server, host="::1")).stratum == 2
        server.set_policy(NtpPolicy(default="ignore"))
        with client(server) as sock:
            sock.send(request())
            wait_until(lambda: server.counters().get((Reason.POLICY, SILENT)), "the request to be ignored")
        assert server.counters()[Reason.POLICY, Action.KISS] == 1


def test_a_burst_larger_than_the_slots_is_answered_whole(way):
    """Answered and ignored packets mixed, each reply to its own asker."""
    with serving(way) as server, client(server, "127.0.0.2") as a, client(server, "127.0.0.3") as b:
        for number in range(60):
            a.send(request(cookie=1000 + number))
            b.send(request(cookie=2000 + number))
            b.send(request(4, 4))
        for sock, base in ((a, 1000), (b, 2000)):
            origins = sorted(parse_header(sock.recv(2048)).origin for _ in range(60))
            assert origins == list(range(base, base + 60))
        wait_until(lambda: total(server) == 180, "all packets to be counted")
        assert server.counters() == {(Reason.OK, ANSWERED): 120, (Reason.REPLY, SILENT): 60}


def test_a_reply_that_cannot_be_sent_is_counted_so_and_stops_nothing(make_slots):
    """The kernel refuses some of the replies of a batch: the others go out, each is counted once."""

    class Refused(make_slots):
        def address(self, reply, packet):
            super().address(reply, packet)
            if self.packets[packet][40:48] == bytes(8):
                refuse(self, reply)

    def refuse(slots, reply):
        if isinstance(slots, BatchSlots):
            slots._out_names[reply][2:4] = bytes(2)  # port 0 is no destination
        else:
            slots._to = (slots._to[0], 0)

    with serving(Refused) as server, client(server) as sock:
        for number in range(30):
            sock.send(request(cookie=0 if number % 3 == 0 else number))
        got = {parse_header(sock.recv(2048)).origin for _ in range(20)}
        assert got == {number for number in range(30) if number % 3}
        wait_until(lambda: total(server) == 30, "all packets to be counted")
        assert server.counters() == {(Reason.OK, ANSWERED): 20, (Reason.SEND_FAILED, SILENT): 10}


@pytest.mark.parametrize("code", [errno.ENETDOWN, errno.ECONNREFUSED, errno.EHOSTUNREACH])
def test_errors_of_the_network_do_not_stop_the_service(make_slots, code):
    class Troubled(make_slots):
        troubles = 3

        def receive(self):
            if self.troubles:
                self.troubles -= 1
                raise OSError(code, os.strerror(code))
            return super().receive()

    with serving(Troubled) as server:
        assert parse_header(ask(server)).origin == COOKIE
        assert server.failure() is None


def test_a_state_that_is_set_just_before_packets_are_taken_is_in_force_for_them(make_slots):
    """Otherwise what is sent after `set_clock` returned could still be answered from the old state."""
    told = []

    class Late(make_slots):
        def receive(self):
            if told:
                told[0].set_clock(synchronised(refid=b"NEW\0"))
            return super().receive()

    with serving(Late) as server:
        told.append(server)
        assert parse_header(ask(server)).refid == b"NEW\0"


def test_a_mistake_of_ours_costs_one_packet_and_is_counted(make_slots, monkeypatch, caplog):
    """The native plane does the same around its decision; what it decides is fuzzed."""
    decide = python_ntp.answer

    def mistaken(packet, *others):
        if packet[2] == 99:
            raise IndexError("ours")
        return decide(packet, *others)

    monkeypatch.setattr(python_ntp, "answer", mistaken)
    with serving(make_slots) as server, client(server) as sock:
        for _ in range(3):
            sock.send(request()[:2] + b"\x63" + request()[3:])
        wait_until(lambda: server.counters().get((Reason.BUG, SILENT)) == 3, "three mistakes")
        assert parse_header(ask(server)).origin == COOKIE
        assert server.failure() is None
    assert sum("could not be decided about" in record.message for record in caplog.records) == 1


def test_a_broken_socket_ends_the_thread_and_says_why(make_slots):
    class Broken(make_slots):
        def receive(self):
            raise OSError(errno.EBADF, "bad file descriptor")

    with serving(Broken) as server, client(server) as sock:
        sock.send(request())
        failure = wait_until(server.failure, "the thread to give up")
        assert failure.errno == errno.EBADF


def test_clients_that_are_gone_do_no_harm(way):
    """Their ICMP errors come back to nobody."""
    with serving(way) as server:
        for _ in range(20):
            with client(server) as sock:
                sock.send(request())
        wait_until(lambda: total(server) == 20, "all requests to be counted")
        assert parse_header(ask(server)).origin == COOKIE
        assert server.failure() is None


def test_a_port_in_use_is_named(way):
    with serving(way, listen=[Endpoint("127.0.0.1", 0)]) as server:
        taken = server.endpoints[0]
        both = [Endpoint("127.0.0.2", 0), taken]
        with pytest.raises(OSError, match="in use") as caught, serving(way, listen=both):
            pass
        assert caught.value.errno == errno.EADDRINUSE
        assert caught.value.filename == str(taken)


def test_close_is_prompt_and_frees_the_ports(way):
    with serving(way, listen=[Endpoint("127.0.0.1", 0), Endpoint("::1", 0)]) as server:
        endpoints = server.endpoints
        started_ns = CLOCK.monotonic_ns()
        server.close()
        assert CLOCK.monotonic_ns() - started_ns < 5e9
        server.close()
    with serving(way, listen=endpoints) as again:
        assert again.endpoints == endpoints


def test_clients_are_read_whole_while_they_ask(way):
    """No record is ever seen half-written, and each client is told once, however many workers there are."""
    hosts = [f"127.0.0.{n}" for n in range(2, 12)]
    policy = NtpPolicy(limit=RateLimit(interval=0, burst=8))
    with serving(way, policy=policy, clients=64) as server, ExitStack() as stack:
        socks = [stack.enter_context(client(server, source=(host, 0))) for host in hosts]
        for turn in range(1, 61):
            for sock in socks:
                sock.send(request())
            known = server.clients()
            assert len({one.key for one in known}) == len(known) <= len(hosts)
            for one in known:
                assert one.packets == one.replies + one.dropped <= turn
                assert one.first_mono_ns <= one.last_mono_ns
            wait_until(
                lambda turn=turn: total(server) == turn * len(hosts), "all to be counted", interval_s=0
            )
        assert [one.packets for one in server.clients()] == [60] * len(hosts)
        assert {str(one.network) for one in server.clients()} == {f"{host}/32" for host in hosts}
        remembered = server.remembered()
        assert remembered.known == len(hosts)
        assert remembered.room >= 64
        assert remembered.over_client == server.counters()[Reason.RATE, SILENT] > 0


def test_room_that_nobody_uses_takes_no_memory():
    """A table of a gigabyte is there at once, and is hardly anything before somebody asks."""
    need_native()
    before = resident_bytes()
    with serving(NATIVE, clients=16_777_216) as server:
        assert parse_header(ask(server)).origin == COOKIE
        wait_until(lambda: server.remembered().known == 1, "the client to be known")
        assert server.remembered().room >= 16_777_216
        assert resident_bytes() - before < 200 << 20


def test_more_clients_than_there_is_memory_for_are_refused():
    need_native()
    with pytest.raises(OSError, match="memory"), serving(NATIVE, clients=1 << 50):
        pass


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_process_without_ctypes_functions_takes_packets_one_by_one(monkeypatch):
    def forbidden(*_):
        raise MemoryError

    monkeypatch.setattr("appliance.dataplane.udp_slots.libc", forbidden)
    with serving() as server:
        assert server.kind == "recvmsg"
        assert parse_header(ask(server)).origin == COOKIE


def test_the_plane_that_is_chosen_serves_ntp():
    server = choose("auto").serve_ntp([Endpoint("127.0.0.1", 0)], synchronised(), NtpPolicy())
    try:
        assert parse_header(ask(server)).stratum == 2
    finally:
        server.close()


def flood(way, count: int) -> None:
    """Send `count` damaged packets, never more at once than the socket's queue holds; see that all are accounted for."""
    replies = 0
    with serving(way, listen=[Endpoint("127.0.0.1", 0)]) as server, client(server) as sock:
        sock.setblocking(False)
        for number, packet in enumerate(mutated(SEEDS, count, seed=count), start=1):
            sock.send(packet)
            if number % 64 == 0 or number == count:
                wait_until(
                    lambda number=number: total(server) == number, "the packets to be counted", interval_s=0
                )
                try:
                    while True:
                        reply = sock.recv(4096)
                        replies += 1
                        assert len(reply) == 48
                        assert reply[0] & 7 in (2, 4)
                except BlockingIOError:
                    pass
        counters = server.counters()
        assert sum(counters.values()) == count
        assert sum(n for (_, action), n in counters.items() if action is not SILENT) == replies
        assert server.failure() is None
        sock.setblocking(True)
        sock.send(request())
        assert parse_header(sock.recv(4096)).origin == COOKIE


def test_damaged_packets_over_a_socket(way):
    flood(way, 10_000)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", [BatchSlots, NATIVE], ids=["recvmmsg", "native"])
def test_a_million_damaged_packets_over_a_socket(way):
    if way is NATIVE:
        need_native()
    flood(way, fuzz_packets())
