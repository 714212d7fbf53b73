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
    k0, k1 = _KEY.unpack(key)
    state = (
        k0 ^ 0x736F6D6570736575,
        k1 ^ 0x646F72616E646F6D,
        k0 ^ 0x6C7967656E657261,
        k1 ^ 0x7465646279746573,
    )
    whole = len(data) & ~7
    tail = data[whole:] + bytes(7 - (len(data) - whole)) + bytes((len(data) & 255,))
    for (word,) in _WORD.iter_unpack(data[:whole] + tail):
        v0, v1, v2, v3 = state
        v0, v1, v2, v3 = _rounds(v0, v1, v2, v3 ^ word, c_rounds)
        state = (v0 ^ word, v1, v2, v3)
    v0, v1, v2, v3 = state
    v0, v1, v2, v3 = _rounds(v0, v1, v2 ^ 0xFF, v3, d_rounds)
    return v0 ^ v1 ^ v2 ^ v3


def _rounds(v0: int, v1: int, v2: int, v3: int, count: int) -> tuple[int, int, int, int]:
    for _ in range(count):
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
    return v0, v1, v2, v3
