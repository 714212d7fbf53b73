"""Which packets are copied for whoever inspects them, and where the copies wait.

One of each block of N packets is drawn, at a place in the block that nobody can foresee. Packets that became nothing ordinary
(malformed, refused, of a strange version) can be drawn for themselves, more often: an attack of five packets is not found in one
packet of ten, and what nobody honest sends is rare. Beside that, everything from one network for a while. Copies wait in a ring of fixed size for each worker: when it is full the newest is dropped and counted.
The native plane does the same in Rust (`rust/core/src/sampling.rs`), with the same room.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from random import randint
from typing import NamedTuple, TypeAlias

#: Words of 8 bytes in one ring: 1 MiB.
RING_WORDS = 1 << 17
#: Words of a sample before the packet itself.
HEAD_WORDS = 7
#: The most that can be kept of one packet.
MOST_KEPT = 2048

#: Why a packet is a sample: drawn by chance, from the network that somebody looks at, or drawn among what is not ordinary.
#: Bits: the second goes with each of the others.
DRAWN, FOCUSED, UNUSUAL = 1, 2, 4


@dataclass(frozen=True, slots=True)
class Focus:
    """Every packet from `network` until `until_mono_ns`, `most` at most."""

    network: IPv4Network | IPv6Network
    until_mono_ns: int
    most: int


@dataclass(frozen=True, slots=True)
class Sampling:
    """What is asked for.

    Attributes:
        every: one in so many packets of each worker; 0: none.
        keep: bytes of each that are kept.
        focus: beside that.
        unusual: one in so many of those whose outcome is not ordinary, and these are drawn for themselves; 0: like all others.
    """

    every: int = 0
    keep: int = 256
    focus: Focus | None = None
    unusual: int = 0

    def __post_init__(self) -> None:
        rates = (self.every, self.unusual)
        if not all(0 <= rate < 1 << 32 for rate in rates) or not 0 < self.keep <= MOST_KEPT:
            raise ValueError(f"one in 0 to 2^32-1 packets, 1 to {MOST_KEPT} bytes of each, not {self}")


NOTHING = Sampling()


class Sample(NamedTuple):
    """A copy of one packet.

    Attributes:
        packet: its first bytes.
        size: its length on the wire.
        source: address it came from, 4 or 16 bytes.
        port: port it came from.
        own: address it was sent to; all zero when the kernel did not say.
        own_port: port it was sent to.
        rx_ns: when it arrived, ns since 1970.
        outcome: what became of it as the service numbers it: for NTP action << 8 | reason, for DNS as in `python_dns`.
        why: `DRAWN` or `UNUSUAL`, `FOCUSED` or it and one of them.
    """

    packet: bytes
    size: int
    source: bytes
    port: int
    own: bytes
    own_port: int
    rx_ns: int
    outcome: int
    why: int


#: The fields of a `Sample`, not made into one yet.
_Row: TypeAlias = "tuple[bytes, int, bytes, int, bytes, int, int, int, int]"


class Sampled(NamedTuple):
    """Samples since the start: those copied, and those that found no room."""

    taken: int
    dropped: int


class Ring:
    """Samples on their way from one packet thread to control, in bounded memory."""

    def __init__(self, words: int = RING_WORDS) -> None:
        self._words = words
        self._samples: deque[_Row] = deque()
        # each written by one side only
        self._written = self._read = 0
        self.taken = self.dropped = 0

    def put(self, sample: _Row) -> None:
        """For the one writer: the fields of a `Sample`, of which one is made when it is taken. The packet does not wait for that."""
        needed = HEAD_WORDS + (len(sample[0]) + 7 >> 3)
        if self._written - self._read + needed > self._words:
            self.dropped += 1
            return
        self._samples.append(sample)
        self._written += needed
        self.taken += 1

    def take(self) -> Sample | None:
        """The oldest. For the one reader."""
        if not self._samples:
            return None
        sample = Sample(*self._samples.popleft())
        self._read += HEAD_WORDS + (len(sample.packet) + 7 >> 3)
        return sample


class Quota:
    """How many packets of a focus are left, for all workers together."""

    def __init__(self, most: int) -> None:
        self._left = [None] * most

    def take(self) -> bool:
        """Whether there was one left; atomic, because popping from a list is."""
        try:
            self._left.pop()
        except IndexError:
            return False
        return True


class Draw:
    """One of each `every`, at a place in its block that nobody can foresee; none for 0.

    Attributes:
        left: packets until the next one that is drawn; whoever asks takes one off, and calls `again` when none is left. It is
            done there and not in a method because it is done for every packet.
    """

    __slots__ = ("_every", "_place", "left")

    def __init__(self, every: int) -> None:
        self._every = every
        # from 0 it only goes down, and is never 0 again
        self._place = self.left = randint(1, every) if every else 0  # noqa: S311 - unforeseen, not secret

    def again(self) -> None:
        """Choose the place in the next block."""
        rest = self._every - self._place
        self._place = randint(1, self._every) if self._every > 1 else 1  # noqa: S311
        self.left = rest + self._place

    def hit(self) -> bool:
        """Whether the one at hand is it."""
        self.left -= 1
        if self.left:
            return False
        self.again()
        return True


class Tap:
    """A worker's side: draws, and copies into its ring. `ordinary` are the outcomes that are."""

    def __init__(
        self, sampling: Sampling, ring: Ring, quota: Quota | None, ordinary: AbstractSet[int] = frozenset()
    ) -> None:
        self._keep, self._ring, self._quota = sampling.keep, ring, quota
        self._drawn, self._unusual = Draw(sampling.every), Draw(sampling.unusual)
        self._apart, self._ordinary = bool(sampling.unusual), ordinary
        self._size = 0
        self._until_ns = -1
        if (focus := sampling.focus) is not None:
            self._size = focus.network.max_prefixlen // 8
            self._shift = focus.network.max_prefixlen - focus.network.prefixlen
            self._prefix = int(focus.network.network_address) >> self._shift
            self._until_ns = focus.until_mono_ns

    def why(self, source: bytes, mono_ns: int, outcome: int) -> int:
        """Why the packet at hand is a sample, 0 when it is none; to be asked once for each packet."""
        draw, kind = self._drawn, DRAWN
        if self._apart and outcome not in self._ordinary:
            draw, kind = self._unusual, UNUSUAL
        draw.left -= 1
        if draw.left:
            why = 0
        else:
            draw.again()
            why = kind
        if mono_ns < self._until_ns and self._wants(source):
            why |= FOCUSED
        return why

    def _wants(self, source: bytes) -> bool:
        inside = len(source) == self._size and int.from_bytes(source) >> self._shift == self._prefix
        return inside and self._quota is not None and self._quota.take()

    def put(
        self,
        packet: bytes | memoryview,
        size: int,
        source: bytes,
        port: int,
        own: tuple[bytes, int],
        rx_ns: int,
        outcome: int,
        why: int,
    ) -> None:
        """Copy it."""
        kept = bytes(packet[: min(size, self._keep)])
        self._ring.put((kept, size, source, port, own[0], own[1], rx_ns, outcome, why))


class Switch:
    """Control's side, for the Python plane: rings are made when somebody asks for samples first."""

    def __init__(self, workers: int, ordinary: AbstractSet[int] = frozenset()) -> None:
        self._workers, self._ordinary = workers, ordinary
        self._rings: list[Ring] = []

    def taps(self, sampling: Sampling) -> list[Tap | None]:
        """What each worker is to use from now on."""
        if not sampling.every and not sampling.unusual and sampling.focus is None:
            return [None] * self._workers
        if not self._rings:
            self._rings = [Ring() for _ in range(self._workers)]
        quota = Quota(sampling.focus.most) if sampling.focus else None
        return [Tap(sampling, ring, quota, self._ordinary) for ring in self._rings]

    def take(self, most: int) -> list[Sample]:
        """The oldest samples of all workers, `most` at most."""
        samples: list[Sample] = []
        for at, ring in enumerate(self._rings):
            share = -(-(most - len(samples)) // (len(self._rings) - at))
            for _ in range(share):
                sample = ring.take()
                if sample is None:
                    break
                samples.append(sample)
        return samples

    def counts(self) -> Sampled:
        """Of all rings."""
        return Sampled(sum(r.taken for r in self._rings), sum(r.dropped for r in self._rings))
