"""SipHash (Aumasson and Bernstein, 2012): a keyed hash that nobody without the key can predict or steer.

SipHash-2-4 makes DNS cookies (RFC 9018 section 4.4); SipHash-1-3 draws the answers.
"""

from __future__ import annotations

import struct

_MASK = 0xFFFFFFFFFFFFFFFF
_WORD = struct.Struct("<Q")
_KEY = struct.Struct("<QQ")


def siphash(key: bytes, data: bytes, c_rounds: int = 2, d_rounds: int = 4) -> int:
    """The 64-bit hash of `data` under a 16-byte `key`, as an integer (its bytes are little-endian).

    Raises:
        ValueError: the key has another length.
    """
    if len(key) != 16:
        raise ValueError(f"a SipHash key has 16 bytes, not {len(key)}")
    k0: int
    k1: int
    k0, k1 = _KEY.unpack(key)
    v0, v1, v2, v3 = (
        k0 ^ 0x736F6D6570736575,
        k1 ^ 0x646F72616E646F6D,
        k0 ^ 0x6C7967656E657261,
        k1 ^ 0x7465646279746573,
    )
    whole = len(data) & ~7
    tail = data[whole:] + bytes(7 - (len(data) - whole)) + bytes((len(data) & 255,))
    words = [word for (word,) in _WORD.iter_unpack(data[:whole] + tail)]
    # The last turn of the loop has no word: it is the finalisation. One loop, because this runs for many queries.
    for turn in range(len(words) + 1):
        last = turn == len(words)
        word = 0 if last else words[turn]
        if last:
            v2 ^= 0xFF
        v3 ^= word
        for _ in range(d_rounds if last else c_rounds):
            v0 = (v0 + v1) & _MASK
            v1 = ((v1 << 13) & _MASK | v1 >> 51) ^ v0
            v0 = (v0 << 32) & _MASK | v0 >> 32
            v2 = (v2 + v3) & _MASK
            v3 = ((v3 << 16) & _MASK | v3 >> 48) ^ v2
            v0 = (v0 + v3) & _MASK
            v3 = ((v3 << 21) & _MASK | v3 >> 43) ^ v0
            v2 = (v2 + v1) & _MASK
            v1 = ((v1 << 17) & _MASK | v1 >> 47) ^ v2
            v2 = (v2 << 32) & _MASK | v2 >> 32
        v0 ^= word
    return v0 ^ v1 ^ v2 ^ v3
