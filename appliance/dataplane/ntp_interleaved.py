"""Interleaved mode of one packet thread: when the replies to its clients really left (RFC 9769 section 2).

A reply cannot hold the moment at which the network card sent it; the reply after it can. A client that wants this names our
receive time of its last exchange as the origin of the next request, and we then answer with the transmit time that we
remember for that exchange. Our receive times end in a 1 and our transmit times in a 0, so an origin that ends in a 1 tells
such clients from all others, and nothing is remembered for those.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from dataclasses import dataclass

from appliance.wire.ntp import HEADER_BYTES
from appliance.wire.ntp_mac import KEY_ID_BYTES, MacType

#: Exchanges that one thread remembers. When it is full the oldest ones give way, and their clients get basic mode once.
CAPACITY = 16384
#: Receive times come in order but for the random bits below the precision, and for small changes of the correction.
#: One that is before more than this many others was taken before the clock was set back.
DISORDER = 16
#: A kernel's transmit time later than this after ours belongs to another time scale, or to a clock that was set since.
LATEST_STAMP_NS = 1_000_000_000
#: The wall clock and the monotonic one go alike, also while the clock is slewed: a change beyond this is a step. What
#: lies below is that a thread may be interrupted between reading one and the other.
STEP_NS = 10_000_000

#: How long a reply of version 4 may be: a header, and perhaps one of the MACs.
REPLY_SIZES = tuple(
    sorted({HEADER_BYTES, *(HEADER_BYTES + KEY_ID_BYTES + kind.digest_on_wire(4) for kind in MacType)})
)

#: origin and receive time of a request
_EXCHANGE = struct.Struct("!QQ")
_NS = 1_000_000_000
_RECEIVE_AT = 32
_M64 = 0xFFFFFFFFFFFFFFFF


@dataclass(slots=True)
class _Exchange:
    """One exchange.

    Attributes:
        transmit: when the reply left, as an NTP timestamp; None when it was told already.
        client: its address.
        tx_ns: when we believed that it leaves, ns since 1970 by the system clock.
        shift_ns: from times of the system clock to corrected ns since 1900, as it was then.
    """

    transmit: int | None
    client: bytes
    tx_ns: int
    shift_ns: int


class Interleaved:
    """The exchanges of clients in interleaved mode, by our receive time. Not more than `capacity` of them."""

    __slots__ = ("_apart_ns", "_capacity", "_exchanges", "_order")

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = max(capacity, DISORDER + 1)
        self._order: list[int] = []
        self._exchanges: dict[int, _Exchange] = {}
        self._apart_ns: int | None = None

    def __len__(self) -> int:
        """How many exchanges are remembered, told or not."""
        return len(self._order)

    def exchange(
        self,
        request: bytes | bytearray | memoryview,
        client: bytes,
        receive: int,
        transmit: int,
        tx_ns: int,
        shift_ns: int,
    ) -> tuple[int, int] | None:
        """Origin and transmit time of a reply in interleaved mode, None when basic mode is due.

        The request names one of our receive times, so when the reply to it leaves is remembered for the next one.

        Args:
            request: of version 4, in client mode, with an origin whose last bit is 1, and different times behind it.
            client: its address.
            receive: when we received it, as an NTP timestamp.
            transmit: when we believe that its reply leaves.
            tx_ns: the same in ns since 1970 by the system clock.
            shift_ns: added to times of the system clock for corrected ns since 1900.
        """
        remembered, own_receive = _EXCHANGE.unpack_from(request, 24)
        told = self.take(remembered, client)
        self.remember(receive, transmit, client, tx_ns, shift_ns)
        return None if told is None else (own_receive, told)

    def take(self, receive: int, client: bytes) -> int | None:
        """When our reply left to what we received at `receive` from this client; told once, so that a replay learns nothing."""
        exchange = self._exchanges.get(receive)
        if exchange is None or exchange.client != client:
            return None
        transmit, exchange.transmit = exchange.transmit, None
        return transmit

    def remember(self, receive: int, transmit: int, client: bytes, tx_ns: int, shift_ns: int) -> None:
        """Keep when the reply leaves to what we received at `receive`."""
        order = self._order
        at = bisect_left(order, receive)
        if at < len(order) and order[at] == receive:
            # Two in one tick of the clock: the first one keeps it, the second gets basic mode.
            return
        if len(order) - at > DISORDER:
            self.forget()
            at = 0
        elif len(order) == self._capacity:
            del self._exchanges[order.pop(0)]
            at -= 1
        order.insert(at, receive)
        self._exchanges[receive] = _Exchange(transmit, client, tx_ns, shift_ns)

    def stamped(self, receive: int, tx_ns: int) -> bool:
        """The kernel told when the reply left, ns since 1970; False when it is not of use."""
        exchange = self._exchanges.get(receive)
        if exchange is None or exchange.transmit is None:
            return False
        if not 0 <= tx_ns - exchange.tx_ns <= LATEST_STAMP_NS:
            return False
        exchange.transmit = (tx_ns + exchange.shift_ns << 32) // _NS & _M64 & ~1
        return True

    def watch_clock(self, wall_ns: int, mono_ns: int) -> None:
        """Forget everything when the clock was set since the last call: times from before and after do not go together."""
        apart_ns = wall_ns - mono_ns
        if self._apart_ns is not None and abs(apart_ns - self._apart_ns) > STEP_NS:
            self.forget()
        self._apart_ns = apart_ns

    def forget(self) -> None:
        """Everybody gets basic mode next."""
        self._order.clear()
        self._exchanges.clear()


def stamp_in(frame: bytes, tx_ns: int, interleaved: Interleaved) -> bool:
    """The kernel sent `frame` at `tx_ns`: note it for the reply at its end, if that is one of ours.

    A reply is known by its receive time, so no header of a lower layer needs to be understood.
    """
    for size in REPLY_SIZES:
        at = len(frame) - size + _RECEIVE_AT
        if at >= _RECEIVE_AT and interleaved.stamped(int.from_bytes(frame[at : at + 8]), tx_ns):
            return True
    return False
