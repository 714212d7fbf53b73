"""One NTP request to one server: fresh port, random cookie, kernel times both ways (RFC 5905, RFC 9109)."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

from appliance.api.model import ClockState, Sample, Target
from appliance.core.clock import Clock
from appliance.wire.ntp import client_request
from appliance_monitor.sanity import silent, weigh
from appliance_monitor.stamps import ask_for_stamps, receive, sent_ns

VERSION = 4

_WORDS = {
    errno.ECONNREFUSED: "refused",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETDOWN: "our network is down",
    errno.EACCES: "not permitted",
    errno.EPERM: "not permitted",
}
#: Packets that do not match are passed over, but not for ever: somebody may be guessing.
_MOST_STRAYS = 32


class Sampler:
    """Takes samples on the running event loop.

    Attributes:
        kernel_stamps: whether the kernel gave its times at the last try.
    """

    def __init__(
        self, clock: Clock, bits: Callable[[int], int], state: Callable[[], ClockState | None]
    ) -> None:
        self.kernel_stamps = True
        self._clock = clock
        self._bits = bits
        self._state = state

    async def sample(self, target: Target, timeout_s: float) -> Sample:
        """Ask once. What the network does is `Sample.error`, never an exception.

        Args:
            target: where to.
            timeout_s: seconds to wait for a reply that matches.
        """
        family = socket.AF_INET6 if ":" in target.address else socket.AF_INET
        try:
            sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            return silent(_word(error))
        with sock:
            try:
                self.kernel_stamps = ask_for_stamps(sock)
                # A connected socket hears refusals, and only what comes from this very address and port.
                sock.connect((target.address, target.port))
                return await self._exchange(sock, timeout_s)
            except OSError as error:
                return silent(_word(error))

    async def _exchange(self, sock: socket.socket, timeout_s: float) -> Sample:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        cookie = self._bits(64) | 1
        correction_ns = self._correction_ns()
        loop.add_reader(sock, readable.set)
        try:
            t1_ns = self._clock.wall_ns()
            sock.send(client_request(cookie, version=VERSION))
            best = silent("timeout", t1_ns)
            left_ns: int | None = None
            async with asyncio.timeout(timeout_s):
                for _ in range(_MOST_STRAYS):
                    await readable.wait()
                    readable.clear()
                    left_ns = sent_ns(sock) or left_ns
                    try:
                        packet, came_ns = receive(sock)
                    except BlockingIOError:
                        continue
                    sample = weigh(
                        packet, cookie=cookie, version=VERSION,
                        t1_ns=(left_ns or t1_ns) + correction_ns,
                        t4_ns=(came_ns or self._clock.wall_ns()) + correction_ns,
                    )  # fmt: skip
                    if sample.stratum is not None:
                        return sample
                    best = sample
        except TimeoutError:
            pass
        finally:
            loop.remove_reader(sock)
        return best

    def _correction_ns(self) -> int:
        """What to add to the system clock for true time."""
        state = self._state()
        return round(state.correction_s * 1e9) if state else 0


def _word(error: OSError) -> str:
    return _WORDS.get(error.errno or 0, error.strerror or "network error")
