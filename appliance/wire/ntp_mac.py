"""Message authentication codes of NTP: key id and digest behind a packet (RFC 5905 section 7.3, RFC 8573, RFC 7822).

A digest is either an AES-CMAC (RFC 4493) or a hash of key and message. In version 4 nothing longer than 24 bytes may
stand there, so longer digests are cut to 20 bytes; before version 4 they stand in full. Both as chrony sends and expects.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from enum import Enum

KEY_ID_BYTES = 4
#: Of a digest in version 4: 24 bytes of MAC without the key id (RFC 7822 section 3).
MAX_DIGEST_V4 = 20
#: The shortest and the longest digest there is.
MIN_DIGEST, MAX_DIGEST = 16, 64


class MacType(Enum):
    """An algorithm by the name that chrony's keys file has for it; `key_bytes` is 0 where any length will do."""

    MD5 = ("MD5", 16, 0)
    SHA1 = ("SHA1", 20, 0)
    SHA256 = ("SHA256", 32, 0)
    SHA384 = ("SHA384", 48, 0)
    SHA512 = ("SHA512", 64, 0)
    AES128 = ("AES128", 16, 16)
    AES256 = ("AES256", 16, 32)

    def __init__(self, label: str, digest_bytes: int, key_bytes: int) -> None:
        self.label = label
        self.digest_bytes = digest_bytes
        self.key_bytes = key_bytes

    def digest_on_wire(self, version: int) -> int:
        """How many bytes of the digest stand behind a packet of this version."""
        return min(self.digest_bytes, MAX_DIGEST_V4) if version >= 4 else self.digest_bytes


def digester(kind: MacType, secret: bytes) -> Callable[[bytes | bytearray | memoryview], bytes]:
    """A function from message to digest, with all that depends on the key alone done beforehand.

    Raises:
        ValueError: the key has not the length that the algorithm needs.
    """
    if kind.key_bytes and len(secret) != kind.key_bytes:
        raise ValueError(f"a key of type {kind.label} has {kind.key_bytes} bytes, this one {len(secret)}")
    if kind.key_bytes:
        # Imported here: few have keys, and the library takes ten megabytes.
        from cryptography.hazmat.primitives.ciphers.algorithms import AES
        from cryptography.hazmat.primitives.cmac import CMAC

        keyed = CMAC(AES(secret))

        def cmac(message: bytes | bytearray | memoryview) -> bytes:
            mac = keyed.copy()
            mac.update(bytes(message))
            return mac.finalize()

        return cmac
    begun = hashlib.new(kind.label.lower(), secret, usedforsecurity=False)

    def hashed(message: bytes | bytearray | memoryview) -> bytes:
        digest = begun.copy()
        digest.update(message)
        return digest.digest()

    return hashed


def same(one: bytes | memoryview, other: bytes | memoryview) -> bool:
    """Whether two digests are equal; how long it takes says nothing about where they differ."""
    return hmac.compare_digest(one, other)
