"""Interfaces go down, addresses come and go, routes vanish: both planes survive it, idle meanwhile, and answer at once after.

Everything happens in network namespaces that the tests make.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from appliance.api.model import ClockState
from appliance.dataplane import ntp_decide
from appliance.dataplane.interface import Action, DnsServer, Endpoint, NtpPolicy, NtpServer, Reason
from appliance.dataplane.native import NativePlane
from appliance.dataplane.reference import PythonPlane
from tests.dataplane.dns_stub import plain_stub, query
from tests.support.native import need_native
from tests.support.netns import Namespace, Network, network
from tests.support.threads import processor_s
from tests.support.wait import wait_until

STATE = ClockState(0, 2, b"TEST", 0, 0.001, 0.0005, 0.0, 0)
ASK = {"ntp": bytes([0x23]) + bytes(39) + b"\x12\x34\x56\x78\x9a\xbc\xde\xf0", "dns": query("0").to_wire()}
PORT = {"ntp": 123, "dns": 53}
WILDCARDS = ("0.0.0.0", "::")


class Bed(NamedTuple):
    """A server and a client on one cable.

    Attributes:
        inside, outside: the namespace of the server and that of the client.
        ours, theirs: the ends of the cable in them.
    """

    net: Network
    inside: Namespace
    outside: Namespace
    ours: str
    theirs: str
    service: str
    plane: str

    def ip(self, *words: str) -> None:
        """Change the network on the server's side."""
        done = self.inside.run("ip", *words, check=False)
        assert done.returncode == 0, done.stderr

    @contextlib.contextmanager
    def serving(self, *hosts: str) -> Iterator[Served]:
        plane = NativePlane(workers=2) if self.plane == "native" else PythonPlane()
        listen = [Endpoint(host, PORT[self.service]) for host in hosts]
        before = tasks()
        with self.inside.entered():
            server = (
                plane.serve_ntp(listen, STATE, NtpPolicy())
                if self.service == "ntp"
                else plane.serve_dns(listen, plain_stub())
            )
        with closing(server):
            yield Served(self, server, tasks() - before)
            assert server.failure() is None


class Served(NamedTuple):
    """A running service with its threads."""

    bed: Bed
    server: NtpServer | DnsServer
    threads: set[Path]

    def asked(self, host: str, *, wait_s: float = 0.2) -> bool:
        """Ask once from outside; whether a reply came from just the address that was asked."""
        bed = self.bed
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with bed.outside.entered(), socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.settimeout(wait_s)
            try:
                sock.connect((host, PORT[bed.service]))  # replies from elsewhere do not reach it
                sock.send(ASK[bed.service])
                return len(sock.recv(2048)) > 12
            except OSError:
                return False

    def answers(self, *hosts: str) -> None:
        for host in hosts:
            wait_until(lambda host=host: self.asked(host), f"an answer from {host}")

    def is_silent(self, host: str) -> None:
        assert not self.asked(host)

    def idles(self) -> None:
        """No thread of the service is busy while nothing can come: over a second, with much to spare."""
        before = {task: processor_s(task) for task in self.threads}
        select.select([], [], [], 1.0)  # the second that is measured
        spent = {
            (task / "comm").read_text().strip(): processor_s(task) - before[task] for task in self.threads
        }
        assert all(busy < 0.3 for busy in spent.values()), spent


def tasks() -> set[Path]:
    return set(Path(f"/proc/{os.getpid()}/task").iterdir())


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    # A busy machine is not what is tested here.
    monkeypatch.setattr(ntp_decide, "LATE_NS", 60 * 10**9)


@pytest.fixture(params=["python", "native"])
def plane(request: pytest.FixtureRequest) -> str:
    if request.param == "native":
        need_native()
    return str(request.param)


@pytest.fixture(params=["ntp", "dns"])
def bed(request: pytest.FixtureRequest, plane: str) -> Iterator[Bed]:
    with network() as net:
        inside, outside = net.namespace(), net.namespace()
        ours, theirs = net.link(
            inside, outside, ("10.9.1.1/24", "fd09:1::1/64"), ("10.9.1.2/24", "fd09:1::2/64")
        )
        yield Bed(net, inside, outside, ours, theirs, request.param, plane)


def test_an_interface_goes_down_and_comes_up_again(bed: Bed) -> None:
    with bed.serving(*WILDCARDS) as served:
        served.answers("10.9.1.1", "fd09:1::1")
        for _ in range(3):
            bed.ip("link", "set", bed.ours, "down")
            served.is_silent("10.9.1.1")
            served.idles()
            bed.ip("link", "set", bed.ours, "up")
            # IPv6 addresses go with the interface, IPv4 ones stay
            bed.inside.address(bed.ours, "fd09:1::1/64")
            served.answers("10.9.1.1", "fd09:1::1")


def test_an_interface_goes_down_under_fire(bed: Bed) -> None:
    """What was received can no longer be replied to: the kernel says so with each reply."""
    with bed.serving(*WILDCARDS) as served:
        with bed.outside.entered():
            fire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with fire:
            fire.setblocking(False)
            for round_ in range(20):
                for _ in range(200):
                    with contextlib.suppress(OSError):
                        fire.sendto(ASK[bed.service], ("10.9.1.1", PORT[bed.service]))
                bed.ip("link", "set", bed.ours, "down" if round_ % 2 == 0 else "up")
        served.answers("10.9.1.1")
        served.idles()


def test_the_served_address_is_removed_and_added_again(bed: Bed) -> None:
    with bed.serving("10.9.1.1", "fd09:1::1") as served:
        served.answers("10.9.1.1", "fd09:1::1")
        bed.ip("address", "del", "10.9.1.1/24", "dev", bed.ours)
        bed.ip("address", "del", "fd09:1::1/64", "dev", bed.ours)
        served.is_silent("10.9.1.1")
        served.is_silent("fd09:1::1")
        served.idles()
        bed.inside.address(bed.ours, "10.9.1.1/24", "fd09:1::1/64")
        served.answers("10.9.1.1", "fd09:1::1")


def test_a_new_address_is_served_and_replies_come_from_it(bed: Bed) -> None:
    with bed.serving(*WILDCARDS) as served:
        served.answers("10.9.1.1", "fd09:1::1")
        bed.inside.address(bed.ours, "10.9.1.77/24", "fd09:1::77/64")
        served.answers("10.9.1.77", "fd09:1::77", "10.9.1.1", "fd09:1::1")
        # the first address goes: replies must not have been bound to it
        bed.ip("address", "del", "10.9.1.1/24", "dev", bed.ours)
        bed.ip("address", "replace", "10.9.1.77/24", "dev", bed.ours)
        served.answers("10.9.1.77")


def test_an_ipv6_address_changes_with_duplicate_detection(bed: Bed) -> None:
    with bed.serving(*WILDCARDS) as served:
        served.answers("fd09:1::1")
        # without nodad: tentative for a second, while replies from it are impossible
        bed.ip("address", "add", "fd09:1::2026/64", "dev", bed.ours)
        bed.ip("address", "del", "fd09:1::1/64", "dev", bed.ours)
        served.answers("fd09:1::2026")
        served.is_silent("fd09:1::1")
        served.answers("10.9.1.1")


def test_the_route_to_a_client_is_removed_and_added_again(bed: Bed) -> None:
    # A client in a far network: its requests arrive, and the way back is a route.
    bed.outside.address(bed.theirs, "10.77.0.1/24")
    bed.outside.run("ip", "route", "replace", "10.9.1.1", "dev", bed.theirs, "src", "10.77.0.1")
    bed.inside.run("sysctl", "-qw", f"net.ipv4.conf.{bed.ours}.rp_filter=0", "net.ipv4.conf.all.rp_filter=0")
    bed.ip("route", "add", "10.77.0.0/24", "via", "10.9.1.2")
    with bed.serving(*WILDCARDS) as served:
        served.answers("10.9.1.1")
        bed.ip("route", "add", "unreachable", "10.77.0.0/24", "metric", "1")
        bed.ip("route", "del", "10.77.0.0/24", "via", "10.9.1.2")
        for _ in range(5):
            served.is_silent("10.9.1.1")
        served.idles()
        assert failed_to_send(served.server), served.server.counters()
        served.answers("fd09:1::1")
        bed.ip("route", "del", "unreachable", "10.77.0.0/24", "metric", "1")
        bed.ip("route", "add", "10.77.0.0/24", "via", "10.9.1.2")
        served.answers("10.9.1.1")


def failed_to_send(server: NtpServer | DnsServer) -> int:
    counts: dict[tuple[object, ...], int] = dict(server.counters())
    return sum(
        count
        for key, count in counts.items()
        if key == (Reason.SEND_FAILED, Action.IGNORE) or "send_failed" in key
    )


def test_nothing_is_reachable_at_all_and_then_it_is(bed: Bed) -> None:
    """Started before the network is there, as at boot."""
    space = bed.net.namespace()
    lone = bed._replace(inside=space)
    with lone.serving(*WILDCARDS) as served:
        served.idles()
        ours, _ = bed.net.link(space, bed.outside, ("10.9.2.1/24",), ("10.9.2.2/24",))
        served.answers("10.9.2.1")
        assert ours


# -- time


LATE_SERVER = """
import json, sys
from appliance.api.model import ClockState
from appliance.dataplane.interface import Endpoint, NtpPolicy
from appliance.dataplane.native import NativePlane
from appliance.dataplane.reference import PythonPlane
plane = NativePlane(workers=1) if sys.argv[1] == "native" else PythonPlane()
state = ClockState(0, 2, b"TEST", 0, 0.001, 0.0005, 0.0, 0)
server = plane.serve_ntp([Endpoint("127.0.0.1", 0)], state, NtpPolicy())
print(server.endpoints[0].port, flush=True)
for _ in sys.stdin:
    print(json.dumps({f"{reason.name} {action.name}": n for (reason, action), n in server.counters().items()}), flush=True)
server.close()
"""


def test_what_waited_while_the_process_stood_still_is_dropped_and_what_comes_after_is_answered(
    plane: str,
) -> None:
    import json
    import signal
    import subprocess
    import sys

    with subprocess.Popen(
        [sys.executable, "-c", LATE_SERVER, plane], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:  # fmt: skip
        assert child.stdout is not None
        assert child.stdin is not None
        sock.connect(("127.0.0.1", int(child.stdout.readline())))
        sock.settimeout(1)

        def send(number: int) -> bytes:
            stamp = number.to_bytes(8)
            sock.send(bytes([0x23]) + bytes(39) + stamp)
            return stamp

        def counts() -> dict[str, int]:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write("\n")
            child.stdin.flush()
            told: dict[str, int] = json.loads(child.stdout.readline())
            return told

        child.send_signal(signal.SIGSTOP)
        stopped = Path(f"/proc/{child.pid}/stat")
        wait_until(
            lambda: stopped.read_text().rpartition(")")[2].split()[0] == "T", "the process stands still"
        )
        old = {send(number) for number in range(1, 9)}
        sent_ns = time.monotonic_ns()
        wait_until(lambda: time.monotonic_ns() - sent_ns > 200_000_000, "the requests are old")
        child.send_signal(signal.SIGCONT)
        wait_until(lambda: counts().get("LATE IGNORE") == len(old), "the old requests are dropped")

        seen: set[bytes] = set()
        number = 100

        def answered() -> bool:
            nonlocal number
            number += 1
            wanted = send(number)
            with contextlib.suppress(TimeoutError):
                reply = sock.recv(100)
                seen.add(reply[24:32])
            return wanted in seen

        wait_until(answered, "a new request is answered")
        assert not seen & old
        child.stdin.close()
        assert child.wait(20) == 0


@pytest.mark.parametrize("workers", [1, 3])
def test_no_reply_is_stale_once_a_new_clock_state_was_set(plane: str, workers: int) -> None:
    made = NativePlane(workers=workers) if plane == "native" else PythonPlane()
    with (
        closing(made.serve_ntp([Endpoint("127.0.0.1", 0)], STATE, NtpPolicy())) as server,
        contextlib.ExitStack() as stack,
    ):
        clients = []
        for _ in range(8):
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.settimeout(20)
            sock.bind((f"127.0.0.{1 + len(clients)}", 0))
            sock.connect(tuple(server.endpoints[0]))
            clients.append(sock)
        for round_ in range(300):
            # requests are on their way while the state changes; their replies may be either
            for sock in clients:
                sock.send(ASK["ntp"])
            refid = round_.to_bytes(4)
            step_s = 100.0 * (round_ % 2)
            server.set_clock(ClockState(0, 2, refid, 0, 0.001, 0.0005, 0.0, 0, correction_s=step_s))
            for number, sock in enumerate(clients):
                sock.recv(100)
                sock.send(ASK["ntp"][:40] + (1000 * round_ + number + 1).to_bytes(8))
            for number, sock in enumerate(clients):
                reply = sock.recv(100)
                assert reply[24:32] == (1000 * round_ + number + 1).to_bytes(8)
                assert reply[12:16] == refid, f"round {round_}: a stale reply"
                ours_s = int.from_bytes(reply[40:44]) - 2_208_988_800
                assert abs(ours_s - time.time() - step_s) < 30  # noqa: TID251 - the machine's own clock is what is served
