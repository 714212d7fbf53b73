"""The DNS server on its sockets: addresses, counters, snapshots that change under load, ends."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace

import dns.message
import pytest

from appliance.dataplane import dns_decide, python_dns
from appliance.dataplane.dns_rate import rate_limit
from appliance.dataplane.interface import Endpoint
from tests.dataplane.dns_stub import OverSockets, edns, plain_stub, query, serve, stub
from tests.support.wait import wait_until


def test_replies_come_from_the_address_that_was_asked(plane: str) -> None:
    server = serve(plane, [Endpoint("0.0.0.0", 0), Endpoint("::", 0)], plain_stub())
    try:
        for host in ("127.0.0.1", "127.0.0.2", "127.9.8.7"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(10)
                client.sendto(query("0").to_wire(), (host, server.endpoints[0].port))
                reply, source = client.recvfrom(4096)
                assert source == (host, server.endpoints[0].port)
                assert len(reply) == 100
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.connect(("::1", server.endpoints[1].port))
            client.send(query("0", "AAAA").to_wire())
            assert len(client.recv(4096)) == 36 + 4 * 28
    finally:
        server.close()
    assert server.failure() is None


def test_ipv6_only_sockets_answer_ipv6(plane: str) -> None:
    asker = OverSockets(plain_stub(), host="::1", plane=plane)
    assert asker.raw(query("0").to_wire()) is not None
    assert asker.raw(query("0").to_wire(), "tcp") is not None
    asker.close()


def test_each_query_is_counted_once_by_transport_type_and_outcome(plane: str) -> None:
    asker = OverSockets(plain_stub(), plane=plane)
    for name, rrtype in (
        ("0", "A"),
        ("0", "A"),
        ("x", "AAAA"),
        ("example.net.", "TXT"),
        ("@", "TYPE1234"),
        ("@", "TYPE4321"),
    ):
        asker.udp.send(query(name, rrtype).to_wire())
        asker.udp.recv(4096)
    asker.raw(query("0").to_wire(), "tcp")
    asker.raw(b"short")
    expected = {
        ("udp", "A", "NOERROR"): 3,  # two, and the one that shows that "short" got no answer
        ("udp", "AAAA", "NXDOMAIN"): 1,
        ("udp", "TXT", "REFUSED"): 1,
        ("udp", "other", "NOERROR"): 2,
        ("udp", "other", "drop"): 1,
        ("tcp", "A", "NOERROR"): 1,
    }
    wait_until(lambda: dict(asker.server.counters()) == expected, "the counters")
    asker.close()


def test_a_port_that_is_taken_is_named(plane: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=str(port)) as caught:
            serve(plane, [Endpoint("127.0.0.1", port)], plain_stub())
        assert caught.value.filename == f"127.0.0.1:{port}"


def test_a_bug_in_one_reply_does_not_take_the_service_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def sometimes(message: bytes, *args: object, **more: object) -> object:
        if b"\3bug" in message:
            raise RuntimeError("a bug")
        return dns_decide.decide(message, *args, **more)

    monkeypatch.setattr(python_dns, "decide", sometimes)
    asker = OverSockets(plain_stub())
    for _ in range(3):
        assert asker.raw(query("bug").to_wire()) is None
    assert len([r for r in caplog.records if "could not be answered" in r.message]) == 1
    assert asker.server.counters()["udp", "other", "error"] == 3
    asker.close()


def test_124_a_new_snapshot_loses_no_query_and_mixes_nothing(plane: str) -> None:
    """Snapshots that differ in TTL and members, swapped all the time under questions: each reply is of one of them."""
    old, new = stub(v4=12, ttl=111), stub(v4=5, ttl=222)
    asker = OverSockets(old, plane=plane)
    stop = threading.Event()
    swaps = 0

    def swap() -> None:
        nonlocal swaps
        while not stop.is_set():
            asker.server.set_answers(new)
            asker.server.set_answers(old)
            swaps += 2

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        seen = set()
        for _ in range(1500):
            asker.udp.send(query("0").to_wire())
            [group] = dns.message.from_wire(asker.udp.recv(4096)).answer
            seen.add(group.ttl)
            assert len(group) == 4
            if group.ttl == 222:
                assert all(int(r.to_text().rpartition(".")[2]) <= 5 for r in group)
        assert seen == {111, 222}
    finally:
        stop.set()
        swapper.join()
    assert swaps > 10
    wait_until(lambda: sum(asker.server.counters().values()) == 1500, "every query to be counted")
    asker.close()


def test_new_answers_do_not_let_anybody_begin_anew_with_the_rate_limit(plane: str) -> None:
    snapshots = [replace(stub(v4=n), rate_limit=rate_limit(1 / 3600, 5, 0)) for n in (12, 5)]
    asker = OverSockets(snapshots[0], plane=plane)
    for sent in range(1, 101):
        asker.udp.send(query("0").to_wire())
        asker.server.set_answers(snapshots[sent % 2])
        wait_until(lambda sent=sent: sum(asker.server.counters().values()) == sent, "it to be counted")  # type: ignore[misc]
    assert asker.server.counters() == {("udp", "A", "NOERROR"): 5, ("udp", "A", "limited"): 95}
    asker.close()


def test_a_draw_of_its_own_for_each_query_without_coherence(plane: str) -> None:
    asker = OverSockets(plain_stub(), plane=plane)
    replies = set()
    for _ in range(50):
        asker.udp.send(query("0").to_wire()[:0] + b"\0\1" + query("0").to_wire()[2:])
        replies.add(asker.udp.recv(4096))
    assert len(replies) > 10
    asker.server.set_answers(replace(asker.snapshot, slot_ns=3600 * 10**9))
    replies = set()
    for _ in range(20):
        asker.udp.send(b"\0\1" + edns("0").to_wire()[2:])
        replies.add(asker.udp.recv(4096))
    assert len(replies) <= 2
    asker.close()
