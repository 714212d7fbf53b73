"""Copies of packets that the services received, for plugins that want to look at them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol


class TappedPacket(NamedTuple):
    """A copy of one packet. Nobody has parsed it: treat it as hostile.

    Attributes:
        service: "ntp" or "dns".
        content: its first bytes, as many as were asked for.
        size: its length on the wire.
        source: address it came from (it may be forged).
        port: port it came from.
        own: address it was sent to.
        own_port: port it was sent to.
        rx_ns: when it arrived, ns since 1970.
        reason: why it was treated as it was: for NTP as in GET /api/v1/ntp ("ok", "control", "rate", ...), for DNS the outcome
            ("NOERROR", "limited", "drop", ...).
        action: "reply", "ignore" or "kiss".
        stands_for: how many packets of its kind it stands for: one in so many was asked for. 1 in a capture.
        unusual: drawn among the packets that were no ordinary request, by somebody who asked for those apart.
    """

    service: str
    content: bytes
    size: int
    source: str
    port: int
    own: str
    own_port: int
    rx_ns: int
    reason: str
    action: str
    stands_for: int = 1
    unusual: bool = False


class Samples(Protocol):
    """Packets as they come, in batches; ends when its `with` block does.

    Attributes:
        lost: packets that were not delivered because you were slow, or because the ring of a packet thread was full.
    """

    @property
    def lost(self) -> int: ...

    def __aiter__(self) -> AsyncIterator[list[TappedPacket]]: ...
