"""The way to a server, through real routers that the test made itself; and what a member's leaving makes of it."""

from __future__ import annotations

import socket
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.errors import Conflict, NotFound
from appliance.api.events import VerdictChanged
from appliance.api.model import Member, Verdict
from appliance.api.services import Members, TimeSource
from appliance.core.cells import Cell
from appliance.core.clock import SystemClock
from appliance.testing import running, wait_until
from appliance_inspector import ways
from appliance_inspector.service import Inspector
from appliance_inspector.traceroute import Hop, meaning, trace
from appliance_inspector.ways import Way, Ways
from tests.support.netns import network
from tests.support.ntp_service import Source

ROUTES = {
    4: ("10.91.1.1/24", "10.91.1.2/24", "10.91.2.1/24", "10.91.2.2/24", "10.91.3.1/24", "10.91.3.2/24"),
    6: ("fd91:1::1/64", "fd91:1::2/64", "fd91:2::1/64", "fd91:2::2/64", "fd91:3::1/64", "fd91:3::2/64"),
}


class TwoRouters:
    """We, two routers, a server."""

    def __init__(self, net, family: int) -> None:
        self.here, self.first, self.second, self.there = (net.namespace() for _ in range(4))
        a, b, c, d, e, f = ROUTES[family]
        net.link(self.here, self.first, [a], [b])
        net.link(self.first, self.second, [c], [d])
        net.link(self.second, self.there, [e], [f])
        bare = [prefix.partition("/")[0] for prefix in (a, b, c, d, e, f)]
        flag, every = ("-6", "::/0") if family == 6 else ("-4", "0.0.0.0/0")
        self.here.run("ip", flag, "route", "add", every, "via", bare[1])
        self.first.run("ip", flag, "route", "add", every, "via", bare[3])
        self.second.run("ip", flag, "route", "add", a_network(a), "via", bare[2])
        self.there.run("ip", flag, "route", "add", every, "via", bare[4])
        for router in (self.first, self.second):
            key = "net.ipv6.conf.all.forwarding" if family == 6 else "net.ipv4.ip_forward"
            router.run("sysctl", "-qw", f"{key}=1")
            # Routers answer a few of these a second; the tests ask more often than people do.
            limit = "net.ipv6.icmp.ratelimit" if family == 6 else "net.ipv4.icmp_ratelimit"
            router.run("sysctl", "-qw", f"{limit}=0")
        self.routers, self.server = [bare[1], bare[3]], bare[5]
        self.family = socket.AF_INET6 if family == 6 else socket.AF_INET

    def trace(self, address: str, **options) -> tuple[Hop, ...]:
        with self.here.entered():
            return trace(address, **options)


def a_network(prefix: str) -> str:
    return "10.91.1.0/24" if "." in prefix else "fd91:1::/64"


@pytest.fixture(params=[4, 6])
def way(request):
    with network() as net:
        yield TwoRouters(net, request.param)


def test_a_server_that_answers_is_the_end_of_the_way(way):
    with way.there.entered():
        server = socket.socket(way.family, socket.SOCK_DGRAM)
    with server:
        server.bind((way.server, 12399))
        server.settimeout(30)

        def answer() -> None:
            for _ in range(2):  # of the first wave, the packets of hop 3 and 4 reach it
                _, client = server.recvfrom(100)
                server.sendto(bytes(48), client)

        thread = threading.Thread(target=answer)
        thread.start()
        hops = way.trace(way.server, port=12399, wait_s=20)
        thread.join()
    assert [(hop.ttl, hop.address, hop.kind) for hop in hops] == [
        (1, way.routers[0], "router"),
        (2, way.routers[1], "router"),
        (3, way.server, "answered"),
    ]
    assert all(hop.rtt_ms is not None and hop.rtt_ms >= 0 for hop in hops)


def test_a_machine_without_the_service_refuses(way):
    hops = way.trace(way.server, port=12398, wait_s=20)
    assert [hop.kind for hop in hops] == ["router", "router", "refused"]
    assert Way("m", way.server, 0, "", hops).verdict().startswith("the machine is there after 2 routers")


def test_a_router_that_knows_no_way_is_named(way):
    nowhere = "192.0.2.1" if way.family == socket.AF_INET else "2001:db8::1"
    hops = way.trace(nowhere, wait_s=5)
    assert [hop.kind for hop in hops][-1] == "unreachable"
    assert hops[-1].address in way.routers


def test_silence_ends_after_so_many_hops_and_is_told_once(way):
    flag = "-6" if way.family == socket.AF_INET6 else "-4"
    way.trace(way.server, port=12398, wait_s=20)  # until neighbours know each other
    way.second.run("ip", flag, "route", "add", "blackhole", way.server)
    hops = way.trace(way.server, most_hops=6, wait_s=3)
    assert hops[-1].kind == "silent"
    assert [hop.kind for hop in hops].count("silent") == 1
    assert "silence behind" in Way("m", way.server, 0, "", hops).verdict()


@given(st.binary(max_size=80))
def test_no_message_of_the_kernel_is_too_strange(data):
    said = meaning(data)
    assert said is None or said[1] in ("router", "refused", "unreachable")


def test_what_icmp_says():
    name4 = struct.pack("!HH4s8x", 2, 0, bytes([192, 0, 2, 1]))

    def said(origin: int, kind: int, code: int, name: bytes):
        return meaning(struct.pack("=IBBBBII", 113, origin, kind, code, 0, 0, 0) + name)

    assert said(2, 11, 0, name4) == ("192.0.2.1", "router")
    assert said(2, 3, 3, name4) == ("192.0.2.1", "refused")
    assert said(2, 3, 13, name4) == ("192.0.2.1", "unreachable")
    assert said(1, 11, 0, name4) is None
    name6 = struct.pack("!HHI16sI", 10, 0, 0, bytes(15) + b"\1", 0)
    assert said(3, 3, 0, name6) == ("::1", "router")
    assert said(3, 1, 4, name6) == ("::1", "refused")


class Threads:
    """A run's `to_thread`, at once."""

    async def to_thread(self, fn, *args):
        return fn(*args)


MEMBER = Member(id="m1", address="192.0.2.9", port=123)


async def test_a_trace_is_kept_with_its_reason_and_a_member_is_traced_once_in_ten_minutes(monkeypatch):
    monkeypatch.setattr(ways, "trace", lambda address, port: (Hop(1, address, 1.0, "answered"),))
    now = [1000.0]
    kept = Ways(lambda: now[0])
    assert kept._due(MEMBER.address)
    way = await kept.trace(Threads(), MEMBER, "its score is below 10")  # type: ignore[arg-type]
    assert way.shown()["because"] == "its score is below 10"
    assert not kept._due(MEMBER.address)
    now[0] += 601
    assert kept._due(MEMBER.address)


async def test_no_route_is_a_finding_and_two_at_once_are_refused(monkeypatch):
    def no_route(address, port):
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(ways, "trace", no_route)
    kept = Ways(lambda: 0.0)
    way = await kept.trace(Threads(), MEMBER, "x")  # type: ignore[arg-type]
    assert way.verdict() == "no packet can be sent to it: Network is unreachable"
    kept._busy = True
    with pytest.raises(Conflict, match="one at a time"):
        await kept.trace(Threads(), MEMBER, "x")  # type: ignore[arg-type]


class Registry:
    """One member, on loopback, where nothing listens."""

    table = Cell({}, clock=SystemClock())

    def find(self, key):
        if key != "m1":
            raise NotFound(f"no member {key}")
        return Member(id="m1", address="127.0.0.1", port=9)


CONFIG = """
[plugins.ntp]
listen = ["127.0.0.1:0"]
[plugins.inspector]
enabled = true
services = []
"""


async def test_a_member_that_leaves_is_traced_by_itself_and_a_person_may_trace_members_only(tmp_path):
    provide = {TimeSource: Source(), Members: Registry()}
    async with running(["ntp", "inspector"], CONFIG, state_dir=tmp_path, provide=provide) as app:
        await app.until_running()
        member = Registry().find("m1")
        inside = Verdict("m1", 20.0, True, "it is good", "ok")
        left = Verdict("m1", -5.0, False, "it does not answer", "low_score")
        app.host.bus.publish(VerdictChanged(member, None, left))  # it was never in
        app.host.bus.publish(VerdictChanged(member, inside, left))
        inspector = app.host.services.get(Inspector)
        await wait_until(lambda: len(inspector.ways.all()) == 1, "the way to be traced")
        way = (await app.get("/api/v1/inspector/traces"))[0]
        assert (way["member"], way["because"]) == ("m1", "it does not answer")
        assert way["hops"][-1]["kind"] == "refused"
        asked = await app.post("/api/v1/inspector/traces", {"member": "m1"})
        assert asked["because"] == "a person asked"
        stranger = await app.ask("POST", "/api/v1/inspector/traces", body={"member": "192.0.2.1"})
        assert stranger.status == 404
