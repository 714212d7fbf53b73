"""The benchmarks' load generator counts what really happened: every reply once, and nothing that is not a right answer as right."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.api.model import ClockState
from appliance.core.clock import SystemClock
from appliance.dataplane import choose
from appliance.dataplane.interface import Endpoint, NtpPolicy
from tests.dataplane.dns_stub import ZONE, stub
from tests.support.programs import cannot_run

BENCH = Path(__file__).resolve().parents[1] / "packaging" / "bench"
sys.path.insert(0, str(BENCH))

from _load import CRATE, TARGET, Seen, Unavailable, generator, load  # noqa: E402

#: Slow enough for any machine, and late only when nothing runs at all.
GENTLY = ("--seconds", "0.5", "--late-ms", "5000")


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    try:
        generator()
    except Unavailable as why:
        cannot_run(str(why))


def accounted(seen: Seen) -> bool:
    return seen.sent == seen.ok + seen.late + seen.wrong + seen.lost


@pytest.fixture
def answering() -> Iterator[Callable[[Callable[[bytes], bytes | None]], str]]:
    """Starts a server that answers what a function makes of each request; its address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{sock.getsockname()[1]}"
        threads = []

        def start(make: Callable[[bytes], bytes | None]) -> str:
            def serve() -> None:
                while True:
                    request, client = sock.recvfrom(2048)
                    if request == b"end":
                        return
                    reply = make(request)
                    if reply is not None:
                        sock.sendto(reply, client)

            threads.append(threading.Thread(target=serve))
            threads[-1].start()
            return address

        yield start
        sock.sendto(b"end", sock.getsockname())
        for thread in threads:
            thread.join()


def test_all_replies_of_a_good_ntp_server_are_right() -> None:
    clock = SystemClock()
    state = ClockState(
        leap=0, stratum=2, refid=b"\x7f\x7f\x01\x01", reference_ns=clock.wall_ns(), root_delay_s=0, root_dispersion_s=0,
        dispersion_rate=15e-6, as_of_mono_ns=clock.monotonic_ns(), source="test",
    )  # fmt: skip
    server = choose("python").serve_ntp([Endpoint("127.0.0.1", 0)], state, NtpPolicy())
    try:
        at = f"127.0.0.1:{server.endpoints[0].port}"
        for pace in (("--rate", "500"), ("--window", "4")):
            seen = load("ntp", at, *pace, *GENTLY)
            assert seen.ok > 0
            assert seen.wrong == seen.stray == 0
            assert accounted(seen)
    finally:
        server.close()


def test_all_answers_of_a_good_dns_server_are_right() -> None:
    server = choose("python").serve_dns([Endpoint("127.0.0.1", 0)], stub())
    try:
        at = f"127.0.0.1:{server.endpoints[0].port}"
        for more in ((), ("--edns",), ("--type", "AAAA")):
            seen = load("dns", at, "--rate", "500", "--names", str(ZONE).rstrip("."), *more, *GENTLY)
            assert seen.ok > 0
            assert seen.wrong == seen.stray == 0
            assert accounted(seen)
    finally:
        server.close()


def dns_answer(query: bytes, *addresses: bytes) -> bytes:
    records = b"".join(b"\xc0\x0c\0\x01\0\x01\0\0\0\x96\0\x04" + address for address in addresses)
    return query[:2] + b"\x84\0" + query[4:6] + len(addresses).to_bytes(2, "big") + query[8:] + records


def test_an_answer_that_mixes_two_memberships_is_wrong(
    answering: Callable[[Callable[[bytes], bytes | None]], str],
) -> None:
    at = answering(
        lambda query: dns_answer(query, b"\x0a\1\0\1", b"\x0a\2\0\1" if query[1] & 1 else b"\x0a\1\0\2")
    )
    seen = load("dns", at, "--rate", "500", "--same-bits", "16", *GENTLY)
    assert seen.ok > 0
    assert seen.wrong > 0
    assert seen.groups == 1
    assert accounted(seen)


def test_what_is_not_answered_is_lost_and_a_second_reply_is_stray(
    answering: Callable[[Callable[[bytes], bytes | None]], str],
) -> None:
    last = [b""]

    def every_other(query: bytes) -> bytes | None:
        if query[1] & 1:
            return None
        # Each right answer is followed by one to a question that was answered before.
        again, last[0] = last[0], query
        return dns_answer(again or query, b"\x0a\1\0\1")

    seen = load("dns", answering(every_other), "--rate", "200", "--ports", "1", *GENTLY)
    assert seen.ok > 0
    assert seen.lost > 0
    assert seen.stray >= 1
    assert accounted(seen)


@pytest.mark.parametrize(
    "arguments", [(), ("ntp",), ("dns", "--server", "127.0.0.1:1", "--window", "0"), ("ntp", "--names", "a")]
)
def test_what_cannot_be_done_is_said_in_a_sentence(arguments: tuple[str, ...]) -> None:
    done = subprocess.run([generator(), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("timeball-load: ")
    assert not done.stdout


def test_its_own_tests_pass() -> None:
    command = ["cargo", "test", "--locked", "--quiet", "--target-dir", str(TARGET)]
    done = subprocess.run(command, cwd=CRATE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
