"""A small real prober and simulated servers, so that the live check meets real packets without the monitor."""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from appliance.api.model import ProbeResult, Sample, Target
from appliance_demo.fault import Fault
from appliance_demo.simulator import Simulator

_EPOCH_S = 2_208_988_800  # 1970 in seconds since 1900


class SmallProber:
    """One request, one answer or a short silence: just enough of the service `Prober`."""

    def __init__(self, timeout_s: float = 0.15) -> None:
        self.timeout_s = timeout_s
        self.asked: list[Target] = []

    async def probe(self, target: Target, *, samples: int | None = None, on_sample=None) -> ProbeResult:
        self.asked.append(target)
        sample = await self._sample(target)
        responded = sample.error != "timeout"
        return ProbeResult(0.0, "", "test", target, sample.offset_s, sample.rtt_s, sample.stratum, sample.leap,
                           sample.error, responded, (sample,))  # fmt: skip

    async def _sample(self, target: Target) -> Sample:
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in target.address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect((target.address, target.port))
            cookie = secrets.token_bytes(8)
            try:
                t1 = time.clock_gettime(time.CLOCK_REALTIME)
                await loop.sock_sendall(sock, bytes([0x23]) + bytes(39) + cookie)
                async with asyncio.timeout(self.timeout_s):
                    data = await loop.sock_recv(sock, 512)
            except OSError:
                return Sample(error="timeout")
            t4 = time.clock_gettime(time.CLOCK_REALTIME)
        leap, stratum = data[0] >> 6, data[1]
        if stratum == 0 and data[12:16].strip(b"\0").isalpha():
            return Sample(stratum=0, leap=leap, error=data[12:16].decode())
        if data[24:32] != cookie:
            return Sample(error="bad origin")
        t2, t3 = (self._stamp(data[at : at + 8]) for at in (32, 40))
        return Sample(offset_s=((t2 - t1) + (t3 - t4)) / 2, rtt_s=max(0.0, (t4 - t1) - (t3 - t2)),
                      stratum=stratum, leap=leap)  # fmt: skip

    @staticmethod
    def _stamp(data: bytes) -> float:
        seconds, fraction = struct.unpack("!II", data)
        return seconds - _EPOCH_S + fraction / 2**32


@pytest.fixture
def prober() -> SmallProber:
    return SmallProber()


@pytest.fixture
def servers() -> Iterator[Simulator]:
    """127.0.0.31 good, .32 300 ms off, .33 unsynchronised, .34 RATE, .35 silent, .36 stratum 12, .37 1 h off, .38 stratum 9."""
    faults = {
        "127.0.0.31": Fault(),
        "127.0.0.32": Fault(offset_s=0.3),
        "127.0.0.33": Fault(leap=3, stratum=16),
        "127.0.0.34": Fault(kiss="RATE"),
        "127.0.0.35": Fault(silent=True),
        "127.0.0.36": Fault(stratum=12),
        "127.0.0.37": Fault(offset_s=3600.0),
        "127.0.0.38": Fault(stratum=9),
        "127.0.0.39": Fault(),
    }
    with Simulator(faults) as simulator:
        yield simulator
