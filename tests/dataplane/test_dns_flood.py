"""136, over wires: a flood that seems to come from one network is cut, and it does not hurt anybody else, in either plane."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

import dns.message
import dns.query
import pytest

from appliance.dataplane.dns_rate import rate_limit
from appliance.dataplane.interface import DnsServer, Endpoint
from tests.dataplane.dns_stub import V4, ZONE, plain_stub, query, serve
from tests.support.netns import Namespace, network
from tests.support.programs import need
from tests.support.wait import wait_until

#: Replies at once for an address, eight times as many for a network; and then hardly any, so that nothing in here depends on
#: how long it takes.
PER_SECOND, BURST = 1 / 3600, 5
FLOOD, BATCH = 6000, 100
ASKED = 4
ADDRESSES = 100


@dataclass
class Wires:
    """A server, somebody who can send from every address of 10.9.1.0/25, and a neighbour."""

    server: DnsServer
    attacker: Namespace
    neighbour: Namespace

    @property
    def port(self) -> int:
        return self.server.endpoints[0].port

    def count(self, *outcomes: str) -> int:
        return sum(
            n for (_, _, outcome), n in self.server.counters().items() if not outcomes or outcome in outcomes
        )


@pytest.fixture
def wires(plane: str) -> Iterator[Wires]:
    need("ip")
    snapshot = replace(plain_stub(), rate_limit=rate_limit(PER_SECOND, BURST, 2))
    with network() as net, ExitStack() as stack:
        home, attacker, neighbour = net.namespace(), net.namespace(), net.namespace()
        net.link(home, attacker, ["10.9.1.254/24"], ["10.9.1.126/24"])
        net.link(home, neighbour, ["10.9.2.254/24"], ["10.9.2.1/24"])
        attacker.run("ip", "route", "add", "local", "10.9.1.0/25", "dev", "lo")
        with home.entered():
            server = serve(plane, [Endpoint("0.0.0.0", 0)], snapshot)
        stack.callback(server.close)
        yield Wires(server, attacker, neighbour)
    assert server.failure() is None


@dataclass
class Flood:
    """Forged queries, and what came back to the addresses that they were forged from."""

    bytes_in: int = 0
    bytes_out: int = 0


def flood(wires: Wires, message: bytes, between: int = 0) -> Flood:
    """Send `FLOOD` queries from `ADDRESSES` addresses, a few at a time so that no buffer runs over."""
    told = Flood()
    with ExitStack() as stack:
        with wires.attacker.entered():
            socks = [
                stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                for _ in range(ADDRESSES)
            ]
            for number, sock in enumerate(socks, 1):
                sock.bind((f"10.9.1.{number}", 0))
                sock.connect(("10.9.1.254", wires.port))
                sock.setblocking(False)
        sent = wires.count()
        for begin in range(0, FLOOD, BATCH):
            for number in range(begin, begin + BATCH):
                told.bytes_in += socks[number % ADDRESSES].send(message)
            sent += BATCH
            wait_until(lambda sent=sent: wires.count() == sent, "all of the batch to be counted")
            if between and begin % between == 0:
                assert len(neighbour_asks(wires).answer[0]) == 4
                sent += 1
            for sock in socks:
                told.bytes_out += received(sock)
        return told


def received(sock: socket.socket) -> int:
    total = 0
    while True:
        try:
            total += len(sock.recv(4096))
        except BlockingIOError:
            return total


def neighbour_asks(wires: Wires) -> dns.message.Message:
    with wires.neighbour.entered():
        return dns.query.udp(query("0"), "10.9.2.254", port=wires.port, timeout=20)


def test_136_a_flood_from_one_network_is_cut_and_its_neighbour_sees_nothing_of_it(wires: Wires) -> None:
    message = query("0").to_wire()
    told = flood(wires, message, between=FLOOD // ASKED)
    answered = wires.count("NOERROR") - ASKED
    dropped, truncated = wires.count("limited"), wires.count("limited_truncated")
    assert answered == 8 * BURST
    assert answered + dropped + truncated == FLOOD
    # Whatever is not answered comes back at most as it was sent, and only every other time.
    assert 0 <= dropped - truncated <= 2 * ADDRESSES
    assert told.bytes_out == answered * 100 + truncated * len(message)
    factor = told.bytes_out / told.bytes_in
    assert factor < 0.6, f"{told.bytes_out} bytes out for {told.bytes_in} in"
    [offender] = wires.server.offenders()
    assert (offender.network, offender.limited) == ("10.9.1.0/24", dropped + truncated)


def test_136_a_real_resolver_in_the_flooded_network_still_gets_its_answer(wires: Wires) -> None:
    """By TCP when it is told TC, and by UDP as soon as it has a cookie."""
    flood(wires, query("0").to_wire())
    dig = ("dig", "@10.9.1.254", "-p", str(wires.port), f"0.{ZONE}", "A", "+norec", "+tries=10", "+time=2")
    by_tcp = wires.attacker.run(need("dig"), *dig[1:], "+nocookie", timeout_s=60).stdout
    assert "Truncated, retrying in TCP mode" in by_tcp
    assert "status: NOERROR" in by_tcp
    assert sum(address in by_tcp for address in V4) >= 4
    before = wires.count("limited_badcookie"), wires.server.counters().get(("tcp", "A", "NOERROR"), 0)
    by_cookie = wires.attacker.run(need("dig"), *dig[1:], timeout_s=60).stdout
    assert "BADCOOKIE, retrying" in by_cookie
    assert "status: NOERROR" in by_cookie
    assert "(good)" in by_cookie
    assert wires.count("limited_badcookie") > before[0]
    assert wires.server.counters().get(("tcp", "A", "NOERROR"), 0) == before[1]


def test_a_flood_of_random_names_leaves_the_real_ones_to_whoever_asks_for_them(wires: Wires) -> None:
    flood(wires, query("random").to_wire())
    assert wires.count("NXDOMAIN") < FLOOD / 2
    with wires.attacker.entered():
        for _ in range(BURST):
            reply = dns.query.udp(query("0"), "10.9.1.254", port=wires.port, timeout=20)
            assert len(reply.answer[0]) == 4
