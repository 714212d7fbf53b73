"""Hostile datagrams: real packets, damaged in the ways that break parsers. Seeded, so that a failure can be repeated."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence


def mutated(seeds: Sequence[bytes], count: int, *, seed: int, longest: int = 1400) -> Iterator[bytes]:
    """`count` packets made from `seeds` by flipped bits, odd bytes, cuts, insertions and joins."""
    rng = random.Random(seed)
    for _ in range(count):
        packet = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(4)):
            kind = rng.randrange(7)
            at = rng.randrange(len(packet) + 1)
            if kind == 0 and packet:
                packet[at % len(packet)] ^= 1 << rng.randrange(8)
            elif kind == 1 and packet:
                packet[at % len(packet)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
            elif kind == 2:
                del packet[at:]
            elif kind == 3:
                packet[at:at] = rng.randbytes(rng.choice((1, 2, 4, 16, 20, 24, 28)))
            elif kind == 4:
                packet += rng.choice(seeds)
            elif kind == 5 and len(packet) >= 2:
                at %= len(packet) - 1
                packet[at : at + 2] = rng.choice((0, 1, 4, 16, 28, 0x7FFF, 0xFFFF)).to_bytes(2)
            elif packet:
                packet[0] = rng.randrange(256)
        yield bytes(packet[:longest])
