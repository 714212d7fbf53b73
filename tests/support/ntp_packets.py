"""NTP requests of every kind, for tests that want them all."""

from __future__ import annotations

from appliance.wire.ntp import (
    EF_NTS_AUTHENTICATOR,
    EF_NTS_COOKIE,
    EF_NTS_UNIQUE_IDENTIFIER,
    client_request,
    pack_field,
)

COOKIE = 0x0123456789ABCDEF


def request(
    version: int = 4, mode: int = 3, *, poll: int = 6, tail: bytes = b"", cookie: int = COOKIE
) -> bytes:
    """A request of any version and mode."""
    packet = bytearray(client_request(cookie))
    packet[0] = version << 3 | mode
    packet[2] = poll
    return bytes(packet) + tail


UNKNOWN_FIELD = pack_field(0x2005, bytes(24))
UNIQUE_IDENTIFIER = pack_field(EF_NTS_UNIQUE_IDENTIFIER, bytes(range(32)))
NTS_TAIL = (
    UNIQUE_IDENTIFIER + pack_field(EF_NTS_COOKIE, bytes(100)) + pack_field(EF_NTS_AUTHENTICATOR, bytes(36))
)
MAC_20 = b"\0\0\0\1" + bytes(range(16))
MAC_24 = b"\0\0\0\1" + bytes(range(20))
CRYPTO_NAK = bytes(4)
READVAR = bytes([0x16, 2]) + bytes(10)
MONLIST = bytes([0x17, 0, 3, 0x2A]) + bytes(4)

#: What a mutation starts from.
SEEDS = (
    *(request(version, mode) for version in range(8) for mode in range(8)),
    request(tail=UNKNOWN_FIELD),
    request(tail=UNKNOWN_FIELD + MAC_24),
    request(tail=UNIQUE_IDENTIFIER),
    request(tail=NTS_TAIL),
    request(tail=MAC_20),
    request(3, tail=MAC_20),
    request(tail=CRYPTO_NAK),
    READVAR,
    MONLIST,
    b"",
)
