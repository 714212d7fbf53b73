"""What is known of each client: a table of fixed size, the structure of the native plane, place by place."""

from __future__ import annotations

from typing import Final, NamedTuple

from appliance.wire.siphash import siphash

#: Places that a client can be in.
WAYS = 8


class Record(NamedTuple):
    """What is known of one client, as `ClientTable.all` tells it.

    Attributes:
        key: see `client_keys.client_key`.
        first_ns: first packet, monotonic.
        last_ns: latest packet, monotonic.
        packets: requests from it that policy lets in.
        replies: those that the limiter let through.
        dropped: those that got silence.
        kisses: those that were told to slow down.
        full_at_ns: when its bucket will be full again, monotonic.
        look: the latest packet's version (bits 3 to 5), mode (bits 0 to 2) and kind of source port (bits 6 and 7).
        silent: whether the latest packet got no reply.
        answered: average spacing of packets after a reply, as `ntp_limit.log_spacing`, 0 before there is one.
        unanswered: the same for packets after silence.
        handle: the bytes that the table finds it by.
        network: its place in the buckets of networks.
    """

    key: int
    first_ns: int
    last_ns: int
    packets: int
    replies: int
    dropped: int
    kisses: int
    full_at_ns: int
    look: int
    silent: bool
    answered: int
    unanswered: int
    handle: bytes
    network: tuple[int, int]


#: A `Record` without its name: making one costs a third. Replaced whole, so that whoever reads it reads one state.
State = tuple[int, int, int, int, int, int, int, int, int, bool, int, int, bytes, tuple[int, int]]

_LAST_NS: Final = 2
_HANDLE: Final = 12


class ClientTable:
    """The clients of one worker.

    A client is in one of the 8 places of a slot that a keyed hash chooses. In a full slot the client that was silent for
    longest gives way, and is counted as forgotten. A dictionary leads from known clients to their places, because the hash
    costs more here than the rest; its keys are bytes, whose hash nobody outside can steer either.

    Args:
        slots: how many there are; at least 1.
        secret: 16 random bytes, so that nobody can choose clients that push each other out.

    Attributes:
        places: by place: what is known of a client, or None.
        where: place by address, or by the first 8 bytes of an IPv6 one.
        forgotten: how many clients gave way to others.
    """

    __slots__ = ("_secret", "_slots", "forgotten", "places", "where")

    def __init__(self, slots: int, secret: bytes) -> None:
        self.places: list[State | None] = [None] * (slots * WAYS)
        self.where: dict[bytes, int] = {}
        self.forgotten = 0
        self._slots = slots
        self._secret = secret

    def place_for(self, key: int, handle: bytes) -> int:
        """The place that a new client takes; who was there is forgotten."""
        hashed = siphash(self._secret, key.to_bytes(8, "little"), 1, 3)
        first = (hashed * self._slots >> 64) * WAYS
        oldest, since_ns = first, 1 << 64
        for place in range(first, first + WAYS):
            holder = self.places[place]
            if holder is None:
                oldest = place
                break
            if holder[_LAST_NS] < since_ns:
                oldest, since_ns = place, holder[_LAST_NS]
        else:
            gone = self.places[oldest]
            if gone is not None:
                del self.where[gone[_HANDLE]]
                self.forgotten += 1
        self.where[handle] = oldest
        return oldest

    def all(self) -> list[Record]:
        """Everybody who is known; any thread may ask."""
        return [Record._make(state) for state in self.places if state is not None]
