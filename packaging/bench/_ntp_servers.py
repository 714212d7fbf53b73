"""One NTP server in Python on a port of loopback, for benchmarks; serves until its input ends.

    _ntp_servers.py recvmmsg|recvmsg|asyncio PORT [busy]

"recvmmsg" and "recvmsg" are the Python data plane's two ways to move packets; "asyncio" is what one would write first: a
datagram protocol on the event loop. "busy" lets the main thread compute without end, as a control plane at its worst.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from appliance.api.model import ClockState
from appliance.core.clock import SystemClock
from appliance.dataplane.interface import Endpoint, NtpPolicy
from appliance.dataplane.python_ntp import PythonNtpServer
from appliance.dataplane.udp_slots import BatchSlots, SingleSlot
from appliance.wire.ntp import ntp_from_unix_ns, parse_header, server_reply

CLOCK = SystemClock()
STATE = ClockState(
    leap=0, stratum=2, refid=b"\x7f\x7f\x01\x01", reference_ns=CLOCK.wall_ns() - 10**9, root_delay_s=0.001,
    root_dispersion_s=0.001, dispersion_rate=15e-6, as_of_mono_ns=CLOCK.monotonic_ns(), source="benchmark",
)  # fmt: skip


class Naive(asyncio.DatagramProtocol):
    """Parses, answers, sends: correct enough to compare with, and checks less than we do."""

    transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        receive = ntp_from_unix_ns(CLOCK.wall_ns())
        request = parse_header(data)
        if request.mode != 3:
            return
        reply = server_reply(
            request, leap=STATE.leap, stratum=STATE.stratum, precision=STATE.precision, root_delay_s=STATE.root_delay_s,
            root_dispersion_s=STATE.dispersion_s(CLOCK.monotonic_ns()), refid=STATE.refid,
            reference=ntp_from_unix_ns(STATE.reference_ns), receive=receive, transmit=ntp_from_unix_ns(CLOCK.wall_ns()),
        )  # fmt: skip
        self.transport.sendto(reply.pack(), addr)


async def serve_naively(port: int) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Naive, local_addr=("127.0.0.1", port))
    await loop.run_in_executor(None, sys.stdin.read)
    transport.close()


def main(kind: str, port: int, *, busy: bool) -> None:
    if kind == "asyncio":
        asyncio.run(serve_naively(port))
        return
    make_slots: Any = {"recvmmsg": BatchSlots, "recvmsg": SingleSlot}[kind]
    server = PythonNtpServer([Endpoint("127.0.0.1", port)], STATE, NtpPolicy(), CLOCK, make_slots=make_slots)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.is_set():
        if busy:
            sum(range(10_000))
        else:
            ended.wait()
    server.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), busy="busy" in sys.argv[3:])
