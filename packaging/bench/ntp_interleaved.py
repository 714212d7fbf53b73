"""Interleaved mode: how much later than the time in a reply the kernel sends it, which is what the mode puts right."""

from __future__ import annotations

import socket
import statistics
from collections.abc import Iterable

from _common import Row, main

from appliance.api.model import ClockState
from appliance.core.clock import SystemClock
from appliance.dataplane import choose
from appliance.dataplane.interface import Endpoint, NtpPolicy, NtpServer
from appliance.wire.ntp import Header, parse_header

CLOCK = SystemClock()
PAIRS = 1000
OURS = 8


def ask(sock: socket.socket, origin: int, receive: int, number: int) -> Header:
    sock.send(Header(origin=origin, receive=receive, transmit=1 << 32 | number).pack())
    return parse_header(sock.recv(2048))


def later_us(server: NtpServer) -> list[float]:
    """Of each exchange what its reply said, and what the reply after it said by the kernel's word."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect(("127.0.0.1", server.endpoints[0].port))
        for number in range(PAIRS):
            try:
                # An odd origin that nobody sent: a reply in basic mode, and the exchange is remembered.
                written = ask(sock, 1, 7, number)
                told = ask(sock, written.receive, OURS, number)
            except TimeoutError:
                continue  # it waited too long to be answered: this machine is busy
            if told.origin == OURS:
                found.append((told.transmit - written.transmit) / 2**32 * 1e6)
    return sorted(found)


def measure() -> Iterable[Row]:
    state = ClockState(
        0, 2, b"GPS\0", CLOCK.wall_ns(), 0.001, 0.001, 15e-6, CLOCK.monotonic_ns(), precision=-30, source="bench"
    )  # fmt: skip
    for name in ("python", "native"):
        try:
            plane = choose(name)
        except ValueError as e:
            yield Row(f"Interleaved mode, {name} plane", "not here", note=str(e))
            continue
        server = plane.serve_ntp([Endpoint("127.0.0.1", 0)], state, NtpPolicy())
        try:
            found = later_us(server)
        finally:
            server.close()
        yield Row(
            f"Reply sent after its time, {name} plane",
            f"{statistics.median(found):.1f} µs",
            note=f"loopback, {len(found)} exchanges, 90 % within {found[len(found) // 20]:.1f} to {found[-len(found) // 20]:.1f}",
        )


if __name__ == "__main__":
    main(measure)
