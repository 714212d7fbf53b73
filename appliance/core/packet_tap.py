"""Shares the samples of one service's packet threads out among the plugins that look at them."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from appliance.api.errors import Conflict
from appliance.api.packets import TappedPacket
from appliance.core.clock import Clock
from appliance.dataplane.interface import DnsServer, NtpServer
from appliance.dataplane.sampling import DRAWN, FOCUSED, NOTHING, UNUSUAL, Focus, Sample, Sampling

#: How often the rings are emptied: at 20,000 samples a second a quarter of a ring has been filled by then.
DRAIN_S = 0.1
#: The same while nothing comes: half a ring, should all of it come at once, and half the turns of a box at rest.
QUIET_S = 0.2
_AT_ONCE = 8192
_MOST_CAPTURED = 1_000_000
_LONGEST_CAPTURE_S = 3600


class Naming(Protocol):
    """Reason and action in words, of an outcome as the service numbers it."""

    def __call__(self, outcome: int, /) -> tuple[str, str]: ...


class _Reader:
    """One plugin's view; see `appliance.api.packets.Samples`."""

    def __init__(self, every: int, unusual: int, keep: int, room: int) -> None:
        self.every, self.unusual, self.keep = every, unusual or every, keep
        self.apart = bool(unusual)
        self.lost = 0
        self._room = room
        self._waiting: list[TappedPacket] = []
        self._credit = {DRAWN: 0, UNUSUAL: 0}
        self._news = asyncio.Event()
        self._over = False

    def offer(self, packet: TappedPacket, drawn_every: int, kind: int) -> None:
        """Deliver it, if this reader's rate for its kind asks for it: others may have asked for more."""
        every = self.every if kind == DRAWN else self.unusual
        credit = self._credit[kind] + drawn_every
        self._credit[kind] = credit if credit < every else credit - every
        if credit >= every:
            self.deliver(packet._replace(stands_for=every) if every > 1 else packet)

    def deliver(self, packet: TappedPacket) -> None:
        if len(self._waiting) >= self._room:
            self.lost += 1
            return
        self._waiting.append(packet)
        self._news.set()

    def end(self) -> None:
        self._over = True
        self._news.set()

    async def __aiter__(self) -> AsyncIterator[list[TappedPacket]]:
        while True:
            await self._news.wait()
            self._news.clear()
            batch, self._waiting = self._waiting, []
            if batch:
                yield batch
            if self._over and not self._waiting:
                return


class ServiceTap:
    """See `appliance.api.packets.PacketTap`. `serve` and `keep_drained` are for the plugin that runs the service."""

    def __init__(self, service: str, naming: Naming, clock: Clock) -> None:
        self._service, self._naming, self._clock = service, naming, clock
        self._server: NtpServer | DnsServer | None = None
        self._readers: list[_Reader] = []
        self._capture: tuple[_Reader, Focus] | None = None
        self._captured = 0
        self._every = self._unusual = 0
        self._dropped = 0

    def serve(self, server: NtpServer | DnsServer) -> Callable[[], None]:
        """Take samples from `server` until the returned function is called."""
        self._server, self._dropped = server, 0
        self._turn()

        def leave() -> None:
            self._server = None

        return leave

    @contextmanager
    def samples(
        self, *, every: int, unusual: int = 0, keep: int = 256, room: int = 8192
    ) -> Iterator[_Reader]:
        """See `appliance.api.packets.PacketTap`."""
        if every < 1 or room < 1:
            raise ValueError(f"one packet in 1 or more, and room for 1 or more, not {every} and {room}")
        Sampling(every, keep, unusual=unusual)  # raises for what makes no sense
        reader = _Reader(every, unusual, keep, room)
        self._readers.append(reader)
        self._turn()
        try:
            yield reader
        finally:
            self._readers.remove(reader)
            reader.end()
            self._turn()

    @contextmanager
    def capture(self, prefix: str, *, for_s: float, most: int, keep: int = 2048) -> Iterator[_Reader]:
        """See `appliance.api.packets.PacketTap`."""
        network = ipaddress.ip_network(prefix, strict=False)
        if not 0 < for_s <= _LONGEST_CAPTURE_S or not 0 < most <= _MOST_CAPTURED:
            raise ValueError(
                f"a capture takes up to {_LONGEST_CAPTURE_S} s and up to {_MOST_CAPTURED:,} packets, not {for_s} s and {most}"
            )
        Sampling(0, keep)
        if self._capture is not None:
            raise Conflict(
                f"packets from {self._capture[1].network} are being captured; one capture at a time"
            )
        reader = _Reader(1, 0, keep, most)
        self._captured = 0
        self._capture = (reader, Focus(network, self._clock.monotonic_ns() + int(for_s * 1e9), most))
        self._turn()
        try:
            yield reader
        finally:
            self._capture = None
            reader.end()
            self._turn()

    async def keep_drained(self) -> None:
        """Hand out what comes into the rings, until cancelled."""
        while True:
            await self._clock.sleep(DRAIN_S if self.drain() else QUIET_S)

    def drain(self) -> bool:
        """Hand out what waits in the rings; whether there was anything."""
        server = self._server
        if server is None or not (self._readers or self._capture):
            return False
        samples = server.take_samples(_AT_ONCE)
        dropped = server.sampled().dropped
        lost, self._dropped = dropped - self._dropped, dropped
        for reader in self._readers:
            reader.lost += lost
        for sample in samples:
            self._hand_out(sample)
        if self._capture is not None:
            reader, focus = self._capture
            late = self._clock.monotonic_ns() >= focus.until_mono_ns
            if self._captured >= focus.most or (late and not samples):
                reader.end()
        return bool(samples)

    def _hand_out(self, sample: Sample) -> None:
        reason, action = self._naming(sample.outcome)
        packet = TappedPacket(
            self._service, sample.packet, sample.size, _text(sample.source), sample.port, _text(sample.own),
            sample.own_port, sample.rx_ns, reason, action, unusual=bool(sample.why & UNUSUAL),
        )  # fmt: skip
        if kind := sample.why & (DRAWN | UNUSUAL):
            for reader in self._readers:
                reader.offer(packet, self._every if kind == DRAWN else self._unusual, kind)
        if sample.why & FOCUSED and self._capture is not None:
            self._captured += 1
            self._capture[0].deliver(packet)

    def _turn(self) -> None:
        """Ask the packet threads for what all readers together need."""
        self._every = min((reader.every for reader in self._readers), default=0)
        # Who did not ask for them apart gets them thinned out to the rate of the others.
        apart = any(reader.apart for reader in self._readers)
        self._unusual = min(reader.unusual for reader in self._readers) if apart else 0
        keep = max((reader.keep for reader in self._readers), default=1)
        focus = None
        if self._capture is not None:
            reader, asked = self._capture
            keep = max(keep, reader.keep)
            focus = Focus(asked.network, asked.until_mono_ns, max(0, asked.most - self._captured))
        if self._server is not None:
            idle = not self._every and focus is None
            self._server.sample(NOTHING if idle else Sampling(self._every, keep, focus, self._unusual))


def _text(address: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)
