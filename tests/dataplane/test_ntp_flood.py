"""Over wires, with the default limits: a flood is cut and everybody else has the time, in either plane.

In namespaces, because on loopback everybody would be exempt.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from appliance.api.model import ClockState
from appliance.core.clock import SystemClock
from appliance.dataplane import choose, ntp_decide
from appliance.dataplane.interface import Action, Client, Endpoint, NtpPolicy, NtpServer, Reason
from appliance.wire.ntp import parse_header
from appliance_ntp.config import NtpConfig
from appliance_ntp.policy import limit_of
from tests.support.native import need_native
from tests.support.netns import Namespace, network
from tests.support.ntp_packets import request
from tests.support.wait import wait_until

CLOCK = SystemClock()
FLOOD, BATCH = 4000, 50
ATTACKER, NEIGHBOUR, STRANGER = "10.9.1.7", "10.9.1.8", "10.9.2.1"


@dataclass
class Wires:
    """A server, somebody with all addresses of 10.9.1.0/25, and a stranger."""

    server: NtpServer
    attacker: Namespace
    stranger: Namespace

    def socket(self, source: str) -> socket.socket:
        """A socket with this address, connected to the server."""
        where = self.stranger if source == STRANGER else self.attacker
        with where.entered():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.settimeout(20)
        sock.bind((source, 0))
        sock.connect(
            ("10.9.1.126" if where is self.attacker else "10.9.2.254", self.server.endpoints[0].port)
        )
        return sock

    def total(self) -> int:
        return sum(self.server.counters().values())

    def flood(self, sources: list[str], count: int) -> None:
        """`count` requests from these in turn, never more at once than queues hold; all are decided when it returns."""
        with ExitStack() as stack:
            sockets = [stack.enter_context(self.socket(source)) for source in sources]
            before = self.total()
            for number in range(1, count + 1):
                sockets[number % len(sockets)].send(request())
                if number % BATCH == 0 or number == count:
                    wait_until(
                        lambda number=number: self.total() - before >= number,
                        "the flood to be counted",
                        interval_s=0,
                    )

    def ask(self, source: str, count: int = 8) -> None:
        """A client that starts: every request of its burst is answered."""
        with self.socket(source) as sock:
            for number in range(count):
                sock.send(request(cookie=number))
                assert parse_header(sock.recv(100)).origin == number

    def client(self, address: str) -> Client:
        network = ipaddress.ip_network(address)
        return next(client for client in self.server.clients() if client.network == network)


@pytest.fixture
def wires(plane: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Wires]]:
    if plane == "native":
        need_native()
    monkeypatch.setattr(ntp_decide, "LATE_NS", 60 * 10**9)
    state = ClockState(0, 2, b"GPS\0", CLOCK.wall_ns(), 0.001, 0.001, 1e-6, CLOCK.monotonic_ns())
    with network() as net, ExitStack() as stack:
        home, attacker, stranger = net.namespace(), net.namespace(), net.namespace()
        net.link(home, attacker, ["10.9.1.126/24"], ["10.9.1.1/24"])
        net.link(home, stranger, ["10.9.2.254/24"], [f"{STRANGER}/24"])
        attacker.run("ip", "route", "add", "local", "10.9.1.0/26", "dev", "lo")

        def serve(**limits: object) -> Wires:
            policy = NtpPolicy(limit=limit_of(NtpConfig.model_validate({"rate_limit": limits})))
            with home.entered():
                server = choose(plane).serve_ntp([Endpoint("0.0.0.0", 0)], state, policy, clients=256)
            stack.callback(server.close)
            return Wires(server, attacker, stranger)

        yield serve


def test_the_flooder_is_cut_and_nobody_else_notices(wires: Callable[..., Wires]) -> None:
    bed = wires()
    bed.flood([ATTACKER], FLOOD)
    bed.ask(NEIGHBOUR)
    bed.ask(STRANGER)
    flooder, counted = bed.client(ATTACKER), bed.server.remembered()
    assert flooder.packets == FLOOD == flooder.replies + flooder.dropped
    assert 16 <= flooder.replies < FLOOD * 0.4  # one in four by chance, and what accrued meanwhile
    assert flooder.dropped == counted.over_client
    assert bed.server.counters()[Reason.RATE, Action.IGNORE] == flooder.dropped
    for address in (NEIGHBOUR, STRANGER):
        assert bed.client(address).packets == bed.client(address).replies == 8
    assert counted.known == 3
    assert counted.forgotten == 0


def test_a_flood_from_a_whole_network_is_cut_and_other_networks_do_not_notice(
    wires: Callable[..., Wires],
) -> None:
    """Sixty addresses, none of them over its own limit."""
    bed = wires(burst=255, interval=-7, prefix_interval=12, prefix_burst=100)
    bed.flood([f"10.9.1.{n}" for n in range(2, 62)], 3000)
    bed.ask(STRANGER)
    counted = bed.server.remembered()
    assert counted.over_client == 0
    assert counted.over_network == bed.server.counters()[Reason.RATE, Action.IGNORE]
    assert 100 <= bed.server.counters()[Reason.OK, Action.REPLY] - 8 < 3000 * 0.4
    assert counted.known == 61


def test_limits_change_under_traffic_and_nobody_is_forgotten(wires: Callable[..., Wires]) -> None:
    bed = wires(enabled=False)
    bed.flood([ATTACKER], 200)
    assert bed.client(ATTACKER).replies == 200
    bed.server.set_policy(NtpPolicy(limit=limit_of(NtpConfig())))
    bed.flood([ATTACKER], 200)
    assert bed.client(ATTACKER).packets == 400
    assert 50 < bed.client(ATTACKER).dropped < 190
