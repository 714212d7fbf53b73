"""One sample over real sockets: kernel times, reasons for what does not count, and nothing that a reply can break."""

from __future__ import annotations

import random
import socket
import threading

import pytest

from appliance.api.model import ClockState, Sample, Target
from appliance.core.clock import SystemClock
from appliance.testing.pool import virtual_pool
from appliance.wire.ntp import Header, ntp_from_unix_ns
from appliance_monitor.probe import Sampler
from appliance_monitor.sanity import weigh
from tests.support.mutation import mutated
from tests.support.programs import free_port

CLOCK = SystemClock()
NOW = 1_800_000_000_000_000_000
STAMP = (NOW // 10**9 + 2_208_988_800) << 32
COOKIE = 0x1234_5678_9ABC_DEF1


def sampler(state: ClockState | None = None) -> Sampler:
    return Sampler(CLOCK, random.Random(1).getrandbits, lambda: state)


@pytest.fixture
def pool():
    faults = {
        "127.0.1.1": {},
        "127.0.1.2": {"offset_s": 0.3},
        "127.0.1.3": {"silent": True},
        "127.0.1.4": {"kiss": "RATE"},
        "127.0.1.5": {"leap": 3, "stratum": 16},
        "127.0.1.6": {"wrong_origin": True},
        "127.0.1.7": {"stratum": 12},
        "127.0.1.8": {"leap": 3, "stratum": 2},
    }
    with virtual_pool(faults) as simulated:
        yield simulated


async def ask(pool, address, timeout_s=5.0) -> Sample:
    return await sampler().sample(Target(address, pool.port), timeout_s)


async def test_a_good_server_gives_an_offset_from_kernel_times(pool):
    taking = sampler()
    sample = await taking.sample(Target("127.0.1.1", pool.port), 5.0)
    assert sample.error is None
    assert abs(sample.offset_s) < 0.05
    assert 0 <= sample.rtt_s < 1
    assert sample.stratum == 2
    assert sample.t1_ns < sample.t4_ns
    assert taking.kernel_stamps


async def test_a_wrong_server_is_off_by_what_it_is_off(pool):
    sample = await ask(pool, "127.0.1.2")
    assert sample.offset_s == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize(
    ("address", "error", "stratum"),
    [
        ("127.0.1.3", "timeout", None),
        ("127.0.1.4", "RATE", 0),
        ("127.0.1.5", "bad stratum 16", 16),
        ("127.0.1.6", "bad origin", None),
        ("127.0.1.7", "bad stratum 12", 12),
    ],
)
async def test_what_does_not_count_says_why(pool, address, error, stratum):
    sample = await ask(pool, address, timeout_s=0.3 if stratum is None else 5.0)
    assert (sample.error, sample.stratum) == (error, stratum)


async def test_leap_3_with_a_good_offset_is_a_sample_with_a_warning(pool):
    sample = await ask(pool, "127.0.1.8")
    assert sample.error is None
    assert sample.leap == 3
    assert any("not synchronised" in warning for warning in sample.warnings)


async def test_a_port_without_a_server_is_refused_at_once():
    sample = await sampler().sample(Target("127.0.0.1", free_port()), 60.0)
    assert sample.error == "refused"


async def test_ipv6_works_too():
    sample = await sampler().sample(Target("::1", free_port("::1")), 60.0)
    assert sample.error == "refused"


async def test_our_own_correction_is_part_of_the_offset(pool):
    state = ClockState(0, 2, b"TEST", 0, 0.0, 0.0, 0.0, 0, correction_s=0.25)
    sample = await sampler(state).sample(Target("127.0.1.1", pool.port), 5.0)
    assert sample.offset_s == pytest.approx(-0.25, abs=0.05)


async def test_a_reply_from_another_address_does_not_count():
    """Somebody who guesses the port still has the wrong address: the socket is connected."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as liar,
    ):
        server.bind(("127.0.0.1", 0))
        liar.bind(("127.0.0.9", 0))
        server.settimeout(10)

        def lie() -> None:
            packet, client = server.recvfrom(100)
            liar.sendto(b"\x24" + packet[1:24] + packet[40:48] + bytes(16), client)

        thread = threading.Thread(target=lie)
        thread.start()
        sample = await sampler().sample(Target(*server.getsockname()), 0.5)
        thread.join()
    assert sample.error == "timeout"


def reply(**fields) -> bytes:
    stamp = (NOW // 10**9 + 2_208_988_800) << 32
    base = {
        "mode": 4,
        "stratum": 2,
        "origin": COOKIE,
        "receive": stamp,
        "transmit": stamp + 1,
        "reference": stamp,
    }
    return Header(**(base | fields)).pack()


def judged(packet: bytes) -> Sample:
    return weigh(packet, cookie=COOKIE, version=4, t1_ns=NOW - 1000, t4_ns=NOW + 1000)


@pytest.mark.parametrize(
    ("packet", "error"),
    [
        (reply(), None),
        (reply()[:47], "too short"),
        (reply(mode=3), "mode 3 instead of 4"),
        (reply(origin=1), "bad origin"),
        (reply(version=3), "version 3 instead of 4"),
        (reply(transmit=0), "bad timestamps"),
        (reply(receive=0), "bad timestamps"),
        (reply(transmit=STAMP - (1 << 32)), "bad timestamps"),
        (reply(stratum=0, refid=b"DENY"), "DENY"),
        (reply(stratum=0, refid=b"RATE", transmit=0, receive=0), "RATE"),
        (reply(stratum=0, refid=b"RATE", origin=5), "bad origin"),
        (reply(stratum=16), "bad stratum 16"),
        (reply(stratum=11), "bad stratum 11"),
        (reply(stratum=10), None),
    ],
)
def test_the_accept_list(packet, error):
    assert judged(packet).error == error


def test_no_bytes_break_the_judge():
    for packet in mutated([reply(), reply(stratum=0, refid=b"RATE")], 100_000, seed=7):
        sample = judged(packet)
        assert sample.error is not None or sample.offset_s is not None


@pytest.fixture
def hostile():
    """A server on a thread: `hostile(fn)` answers one request with the packets that `fn(request)` gives."""
    threads = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(20)

        def answer(packets, rounds=1):
            def work():
                for _ in range(rounds):
                    request, client = server.recvfrom(100)
                    for packet in packets(request):
                        server.sendto(packet, client)

            threads.append(threading.Thread(target=work))
            threads[-1].start()
            return Target(*server.getsockname())

        yield answer
        for thread in threads:
            thread.join()


def honest(request: bytes) -> bytes:
    now = ntp_from_unix_ns(CLOCK.wall_ns())
    cookie = int.from_bytes(request[40:48], "big")
    return Header(mode=4, stratum=2, origin=cookie, receive=now, transmit=now, reference=now).pack()


async def test_guesses_before_the_true_reply_are_passed_over(hostile):
    """Somebody who can forge the address and port, but not the cookie, neither sets the result nor ends the wait."""
    target = hostile(lambda request: [b"", b"x" * 47, bytes(48), request, reply(origin=7), honest(request)])
    sample = await sampler().sample(target, 20.0)
    assert sample.error is None
    assert abs(sample.offset_s) < 1


async def test_a_flood_of_guesses_ends_as_no_answer_and_not_as_a_busy_wait(hostile):
    target = hostile(lambda request: [reply(origin=n) for n in range(200)])
    sample = await sampler().sample(target, 1.0)
    assert (sample.error, sample.stratum) == ("bad origin", None)


async def test_a_reply_longer_than_the_request_is_read_and_nothing_more(hostile):
    sample = await sampler().sample(hostile(lambda request: [honest(request) + bytes(60_000)]), 20.0)
    assert sample.error is None


async def test_each_request_has_a_new_port_and_a_new_cookie_and_says_nothing_of_us(hostile):
    seen = []

    def look(request):
        seen.append(request)
        return [honest(request)]

    target = hostile(look, rounds=5)
    taking = Sampler(CLOCK, random.SystemRandom().getrandbits, lambda: None)
    for _ in range(5):
        assert (await taking.sample(target, 20.0)).error is None
    assert len({request[40:] for request in seen}) == 5
    assert {request[:40] for request in seen} == {bytes([0x23, 0, 0, 0x20]) + bytes(36)}


async def test_mutated_replies_over_a_socket_are_samples_and_never_exceptions(hostile):
    rounds = 300
    damaged = iter(mutated([reply(), reply(stratum=0, refid=b"DENY")], rounds, seed=11))

    def answer(request):
        packet = next(damaged)
        return [packet[:24] + request[40:48] + packet[32:]]

    target = hostile(answer, rounds=rounds)
    for _ in range(rounds):
        sample = await sampler().sample(target, 0.02)
        assert sample.error is not None or sample.offset_s is not None
