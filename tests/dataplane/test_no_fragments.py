"""Replies over IPv4 forbid fragments, whichever plane sends them."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from appliance.api.model import ClockState
from appliance.core.clock import SystemClock
from appliance.dataplane import choose
from appliance.dataplane.interface import Endpoint, NtpPolicy
from appliance.wire.ntp import client_request
from tests.dataplane.dns_stub import plain_stub, query
from tests.support.native import need_native
from tests.support.programs import cannot_run

_DONT_FRAGMENT = 0x40


@pytest.fixture(params=["ntp", "dns"])
def asked(request: pytest.FixtureRequest, plane: str) -> Iterator[tuple[int, bytes]]:
    """Port of a server, and what to ask it."""
    if plane == "native":
        need_native()
    chosen, listen = choose(plane), [Endpoint("127.0.0.1", 0)]
    if request.param == "dns":
        dns = chosen.serve_dns(listen, plain_stub())
        with contextlib.closing(dns):
            yield dns.endpoints[0].port, query().to_wire()
        return
    ntp = chosen.serve_ntp(listen, unsynchronised(), NtpPolicy())
    with contextlib.closing(ntp):
        yield ntp.endpoints[0].port, client_request(1)


def unsynchronised() -> ClockState:
    return ClockState(
        leap=3, stratum=0, refid=b"INIT", reference_ns=0, root_delay_s=0, root_dispersion_s=0, dispersion_rate=0,
        as_of_mono_ns=SystemClock().monotonic_ns(), source="test",
    )  # fmt: skip


def test_a_reply_forbids_fragments_and_needs_no_identification(asked: tuple[int, bytes]) -> None:
    port, question = asked
    try:
        wire = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    except PermissionError:
        cannot_run("only root may look at IP headers")
    with wire, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        wire.settimeout(10)
        client.settimeout(10)
        client.connect(("127.0.0.1", port))
        client.send(question)
        client.recv(2048)
        while True:
            packet = wire.recv(4096)  # every UDP packet of this machine, from the IP header on
            if packet[20:22] == port.to_bytes(2, "big"):
                break
    assert packet[6] & _DONT_FRAGMENT
    assert packet[4:6] == b"\0\0"
