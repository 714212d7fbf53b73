"""The simulated members do what they are told, each on its own address."""

from __future__ import annotations

import itertools
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.clock import SystemClock
from appliance.wire.ntp import HEADER_BYTES, client_request, ntp_from_unix_ns, parse_header, unix_ns_from_ntp
from appliance_demo.child import obey
from appliance_demo.fault import Fault, respond
from appliance_demo.simulator import Simulator, spread

_clock = SystemClock()
_cookies = itertools.count(0x1234_5678_9ABC_DEF0)
NOW_NS = 1_800_000_000_000_000_000


def ask(address: str, port: int, *, timeout_s: float = 5.0):
    """One request: (header, address the reply came from, offset in s, round trip in s), or None after `timeout_s`."""
    cookie = next(_cookies)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(timeout_s)
        t1 = _clock.wall_ns()
        udp.sendto(client_request(cookie), (address, port))
        try:
            reply, sender = udp.recvfrom(512)
        except TimeoutError:
            return None
        t4 = _clock.wall_ns()
    header = parse_header(reply)
    t2, t3 = unix_ns_from_ntp(header.receive, t1), unix_ns_from_ntp(header.transmit, t1)
    return header, sender, ((t2 - t1) + (t3 - t4)) / 2e9, ((t4 - t1) - (t3 - t2)) / 1e9, cookie


def test_each_address_answers_as_itself_with_its_own_fault():
    """One socket serves many addresses; the reply comes from the address that was asked."""
    with Simulator({"127.0.0.11": Fault(), "127.0.0.13": Fault(offset_s=0.3)}) as pool:
        for address, expected in (("127.0.0.11", 0.0), ("127.0.0.13", 0.3)):
            header, sender, offset_s, rtt_s, cookie = ask(address, pool.port)
            assert sender == (address, pool.port)
            assert header.origin == cookie
            assert (header.leap, header.stratum, header.refid) == (0, 2, b"SIMU")
            # the reply may wait for the processor on either side: half the round trip bounds that
            assert abs(offset_s - expected) <= rtt_s / 2 + 1e-6
        assert [(m.address, m.requests, m.replies) for m in pool.members()] == [
            ("127.0.0.11", 1, 1),
            ("127.0.0.13", 1, 1),
        ]


def test_ten_thousand_members_share_one_socket():
    """The first, the last and one in the middle of 10,000 addresses answer; a neighbour that is nobody does not."""
    addresses = list(spread("127.1.0.1", 10_000))
    with Simulator(dict.fromkeys(addresses, Fault())) as pool:
        for address in (addresses[0], addresses[4711], addresses[-1]):
            assert ask(address, pool.port)[1] == (address, pool.port)
        assert ask("127.3.0.1", pool.port, timeout_s=0.2) is None
        assert pool.strays == 1


def test_a_fault_can_be_set_and_healed_while_it_runs():
    with Simulator({"127.0.0.11": Fault(silent=True)}) as pool:
        assert ask("127.0.0.11", pool.port, timeout_s=0.2) is None
        pool.set_fault("127.0.0.11", Fault(kiss="rate"))
        header = ask("127.0.0.11", pool.port)[0]
        assert (header.kiss_code, header.leap, header.stratum) == ("RATE", 3, 0)
        pool.set_fault("127.0.0.11", Fault())
        assert ask("127.0.0.11", pool.port)[0].stratum == 2
        with pytest.raises(KeyError):
            pool.set_fault("127.0.0.99", Fault())


def test_added_delay_lengthens_the_round_trip_and_leaves_the_offset_alone():
    with Simulator({"127.0.0.11": Fault(delay_s=0.2)}) as pool:
        _, _, offset_s, rtt_s, _ = ask("127.0.0.11", pool.port)
        assert rtt_s >= 0.2
        assert abs(offset_s) <= (rtt_s - 0.2) / 2 + 1e-3


def test_losses_are_a_share_and_repeatable():
    """The same seed loses the same packets, about as many as asked for."""

    def answered() -> list[bool]:
        with Simulator({"127.0.0.11": Fault(loss=0.5)}, seed=7) as pool:
            return [ask("127.0.0.11", pool.port, timeout_s=0.1) is not None for _ in range(12)]

    first = answered()
    assert first == answered()
    assert 0 < sum(first) < 12


def test_only_loopback_addresses_are_taken():
    for address in ("192.0.2.1", "0.0.0.0", "::1", "localhost"):
        with pytest.raises(ValueError, match="loopback"):
            Simulator({address: Fault()})


def test_the_port_is_free_again_after_close():
    with Simulator({"127.0.0.11": Fault()}) as pool:
        port = pool.port
        with pytest.raises(OSError, match="in use"):
            Simulator({"127.0.0.12": Fault()}, port=port).start()
    with Simulator({"127.0.0.11": Fault()}, port=port) as pool:
        assert ask("127.0.0.11", port) is not None


def test_drift_grows_from_the_moment_it_is_set():
    fault = Fault(offset_s=0.01, drift_ppm=100)
    reply = respond(client_request(1), fault, elapsed_s=1000.0, rx_ns=NOW_NS, tx_ns=NOW_NS, dice=0.5)
    assert parse_header(reply).receive == pytest.approx(ntp_from_unix_ns(NOW_NS + 110_000_000), abs=5)


@given(
    request=st.binary(max_size=80),
    offset_s=st.floats(-1e9, 1e9),
    stratum=st.integers(0, 255),
    leap=st.integers(0, 3),
    rx_ns=st.integers(0, 2**63),
)
def test_any_packet_and_any_fault_give_48_bytes_or_silence(request, offset_s, stratum, leap, rx_ns):
    fault = Fault(offset_s=offset_s, stratum=stratum, leap=leap)
    reply = respond(request, fault, elapsed_s=1.0, rx_ns=rx_ns, tx_ns=rx_ns + 5, dice=0.5)
    if reply is not None:
        assert len(reply) == HEADER_BYTES
        assert request[0] & 7 == 3


@given(dice=st.floats(0, 1, exclude_max=True), loss=st.floats(0, 1))
def test_a_packet_is_lost_exactly_when_the_dice_say_so(dice, loss):
    reply = respond(client_request(9), Fault(loss=loss), elapsed_s=0, rx_ns=NOW_NS, tx_ns=NOW_NS, dice=dice)
    assert (reply is None) == (dice < loss)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(), "good"),
        (Fault(offset_s=0.3), "300 ms ahead"),
        (Fault(offset_s=-0.05, loss=0.25), "50 ms behind, loses 25.0 % of the packets"),
        (Fault(silent=True, offset_s=1), "silent"),
        (Fault(leap=3, stratum=16), "not synchronised"),
        (Fault(kiss="DENY"), "answers DENY"),
    ],
)
def test_faults_read_like_a_sentence(fault, words):
    assert fault.describe() == words


def test_the_child_process_serves_takes_orders_and_ends_with_its_input():
    spec = {"members": [{"address": "127.0.0.11"}, {"address": "127.1.0.1", "count": 300, "stratum": 3}]}
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "appliance_demo.simulator", json.dumps(spec)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    ) as child:

        def order(value):
            child.stdin.write(json.dumps(value) + "\n")
            child.stdin.flush()
            return json.loads(child.stdout.readline())

        hello = json.loads(child.stdout.readline())
        assert hello["members"] == 301
        assert ask("127.1.1.44", hello["port"])[0].stratum == 3
        assert order({"address": "127.0.0.11", "fault": {"stratum": 5}})["now"] == "good"
        assert ask("127.0.0.11", hello["port"])[0].stratum == 5
        assert "no simulated member" in order({"address": "127.9.9.9"})["error"]
        stats = order({"stats": True})
        assert (stats["requests"], stats["replies"], stats["asked"]) == (2, 2, 2)
        child.stdin.close()
        assert child.wait(10) == 0


@pytest.mark.parametrize(
    "line", ["", "{", "[]", '{"address": 1}', '{"fault": {"loss": 7}}', '{"nonsense": 1}']
)
def test_an_order_that_makes_no_sense_is_answered_with_a_reason(line):
    assert obey(Simulator({"127.0.0.11": Fault()}), line)["error"]


@pytest.mark.parametrize("spec", ["{", '{"members": [{"address": "192.0.2.1"}]}', "@/nowhere/spec.json"])
def test_a_specification_that_makes_no_sense_ends_the_child_with_2(spec, capsys):
    from appliance_demo.child import main

    assert main([spec]) == 2
    assert "cannot be used" in capsys.readouterr().err
