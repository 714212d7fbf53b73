"""NTP packets, versions 1 to 4: bytes into values and back (RFC 5905 section 7.3, RFC 7822 for what follows the header).

Timestamps stay in their 64-bit wire form inside `Header`, because an origin must be compared bit by bit and a cookie is
not a time. `ntp_from_unix_ns` and `unix_ns_from_ntp` convert.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import NamedTuple

from appliance.wire.errors import WireError

HEADER_BYTES = 48

MODE_SYMMETRIC_ACTIVE = 1
MODE_SYMMETRIC_PASSIVE = 2
MODE_CLIENT = 3
MODE_SERVER = 4
MODE_BROADCAST = 5
MODE_CONTROL = 6
MODE_PRIVATE = 7

LEAP_UNSYNCHRONISED = 3

#: Extension field types of NTS (RFC 8915 section 7.6).
EF_NTS_UNIQUE_IDENTIFIER = 0x0104
EF_NTS_COOKIE = 0x0204
EF_NTS_COOKIE_PLACEHOLDER = 0x0304
EF_NTS_AUTHENTICATOR = 0x0404

#: leap/version/mode, stratum, poll, precision, root delay, root dispersion, refid, then reference, origin, receive, transmit.
HEADER = struct.Struct("!BBbbII4sQQQQ")

_ERA_S = 1 << 32
_NS = 1_000_000_000
_UNIX_TO_NTP_S = 2_208_988_800  # 1900-01-01 to 1970-01-01, 17 leap days
#: What to add to ns since 1970 for ns since 1900.
UNIX_TO_NTP_NS = _UNIX_TO_NTP_S * _NS
_MIN_FIELD = 16  # RFC 7822 section 3
_MAX_MAC = 24  # RFC 7822 section 3: a field may not start where this much or less remains
_FIELD_HEAD = struct.Struct("!HH")
_PROBE_NO_PRECISION = 32


class ExtensionField(NamedTuple):
    """One extension field; `value` holds the padding too, because the field's length counts it."""

    kind: int
    value: bytes


class Tail(NamedTuple):
    """What follows the header.

    Attributes:
        fields: extension fields in order (version 4 only).
        mac: key id and digest, the 4 bytes of a crypto-NAK, or nothing.
    """

    fields: tuple[ExtensionField, ...] = ()
    mac: bytes = b""


@dataclass(frozen=True, slots=True)
class Header:
    """The 48 bytes that every packet of modes 1 to 5 begins with.

    Attributes:
        leap: 0..3; 3 says unsynchronised.
        version: 0..7, as it stands there.
        mode: 0..7.
        poll, precision: log2 of seconds, -128..127.
        root_delay, root_dispersion: 16.16 fixed point as on the wire; `root_delay_s` and `root_dispersion_s` in seconds.
        refid: 4 bytes.
        reference, origin, receive, transmit: 64-bit NTP timestamps; 0 says there is none.
    """

    leap: int = 0
    version: int = 4
    mode: int = MODE_CLIENT
    stratum: int = 0
    poll: int = 0
    precision: int = 0
    root_delay: int = 0
    root_dispersion: int = 0
    refid: bytes = bytes(4)
    reference: int = 0
    origin: int = 0
    receive: int = 0
    transmit: int = 0

    @property
    def root_delay_s(self) -> float:
        return self.root_delay / 65536

    @property
    def root_dispersion_s(self) -> float:
        return self.root_dispersion / 65536

    @property
    def kiss_code(self) -> str | None:
        """The code of a kiss-o'-death such as "RATE" (RFC 5905 section 7.4), None for any other packet."""
        if self.stratum != 0 or not self.refid.isascii():
            return None
        code = self.refid.decode("ascii").rstrip("\0")
        return code if code.isalnum() else None

    def pack(self) -> bytes:
        """The 48 bytes.

        Raises:
            WireError: a field does not fit its place.
        """
        if not (
            0 <= self.leap <= 3 and 0 <= self.version <= 7 and 0 <= self.mode <= 7 and len(self.refid) == 4
        ):
            raise WireError("leap must be 0..3, version and mode 0..7, refid 4 bytes")
        try:
            return HEADER.pack(
                self.leap << 6 | self.version << 3 | self.mode,
                self.stratum,
                self.poll,
                self.precision,
                self.root_delay,
                self.root_dispersion,
                self.refid,
                self.reference,
                self.origin,
                self.receive,
                self.transmit,
            )
        except struct.error as e:
            raise WireError(f"a field of the header does not fit: {e}") from None


def parse_header(packet: bytes | bytearray | memoryview) -> Header:
    """Read the header; what follows it is `parse_tail`'s business.

    Raises:
        WireError: fewer than 48 bytes.
    """
    if len(packet) < HEADER_BYTES:
        raise WireError(f"an NTP packet has at least {HEADER_BYTES} bytes, this one {len(packet)}")
    first, stratum, poll, precision, delay, dispersion, refid, reference, origin, receive, transmit = (
        HEADER.unpack_from(packet)
    )
    return Header(
        leap=first >> 6,
        version=first >> 3 & 7,
        mode=first & 7,
        stratum=stratum,
        poll=poll,
        precision=precision,
        root_delay=delay,
        root_dispersion=dispersion,
        refid=refid,
        reference=reference,
        origin=origin,
        receive=receive,
        transmit=transmit,
    )


def parse_tail(packet: bytes | bytearray | memoryview, version: int) -> Tail:
    """Split what follows the header into extension fields and MAC.

    Before version 4 everything after the header is a MAC. In version 4 a field has at least 16 bytes and cannot start
    where 24 or fewer remain: those are a MAC of 20 or 24 bytes, or the 4 bytes of a crypto-NAK (RFC 7822 section 3).

    Raises:
        WireError: the rest is neither, or its length is not a multiple of 4.
    """
    end = len(packet)
    if end < HEADER_BYTES or end % 4:
        raise WireError(f"the length must be at least {HEADER_BYTES} and a multiple of 4, not {end}")
    if version < 4:
        return Tail(mac=bytes(packet[HEADER_BYTES:]))
    fields: list[ExtensionField] = []
    at = HEADER_BYTES
    while end - at > _MAX_MAC:
        kind, size = _FIELD_HEAD.unpack_from(packet, at)
        if size < _MIN_FIELD or size % 4 or size > end - at:
            raise WireError(
                f"extension field 0x{kind:04x} at byte {at} has length {size}, {end - at} bytes remain"
            )
        fields.append(ExtensionField(kind, bytes(packet[at + 4 : at + size])))
        at += size
    if end - at not in (0, 4, 20, 24):
        raise WireError(f"{end - at} bytes at the end are neither an extension field nor a MAC")
    return Tail(tuple(fields), bytes(packet[at:]))


def pack_field(kind: int, value: bytes) -> bytes:
    """One extension field, padded with zeros to a multiple of 4 and at least 16 bytes.

    Raises:
        WireError: it would be longer than a length field can say.
    """
    size = max(_MIN_FIELD, 4 + (len(value) + 3) // 4 * 4)
    if size > 0xFFFC or not 0 <= kind <= 0xFFFF:
        raise WireError(f"extension field 0x{kind:x} of {len(value)} bytes does not fit")
    return _FIELD_HEAD.pack(kind, size) + value.ljust(size - 4, b"\0")


def client_request(cookie: int, *, version: int = 4) -> bytes:
    """A client's request that says nothing about the client.

    Args:
        cookie: any 64-bit number; best random. It stands where the transmit time belongs and comes back as the origin,
            so that a reply can be matched and our clock stays our own.
        version: 1 to 4.
    """
    precision = _PROBE_NO_PRECISION if version >= 4 else 0
    return Header(version=version, mode=MODE_CLIENT, precision=precision, transmit=cookie).pack()


def server_reply(
    request: Header,
    *,
    leap: int,
    stratum: int,
    precision: int,
    root_delay_s: float,
    root_dispersion_s: float,
    refid: bytes,
    reference: int,
    receive: int,
    transmit: int,
) -> Header:
    """The reply to `request` with these fields: same version and poll, its transmit time as origin, mode 4 (2 for mode 1)."""
    return Header(
        leap=leap,
        version=request.version,
        mode=MODE_SYMMETRIC_PASSIVE if request.mode == MODE_SYMMETRIC_ACTIVE else MODE_SERVER,
        stratum=stratum,
        poll=request.poll,
        precision=precision,
        root_delay=short_from_s(root_delay_s),
        root_dispersion=short_from_s(root_dispersion_s),
        refid=refid,
        reference=reference,
        origin=request.transmit,
        receive=receive,
        transmit=transmit,
    )


def ntp_from_unix_ns(unix_ns: int) -> int:
    """The 64-bit NTP timestamp of a moment given in ns since 1970; the era is lost, as on the wire."""
    return (unix_ns + UNIX_TO_NTP_NS << 32) // _NS & 0xFFFFFFFFFFFFFFFF


def unix_ns_from_ntp(timestamp: int, near_ns: int) -> int:
    """The moment in ns since 1970 that a 64-bit NTP timestamp means.

    The wire has no era (the first one ends in February 2036), so the moment closest to `near_ns` is taken: right
    whenever both are within 68 years. `unix_ns_from_ntp(ntp_from_unix_ns(t), t) == t` for every t.
    """
    ns = ((timestamp >> 32) - _UNIX_TO_NTP_S) * _NS + ((timestamp & 0xFFFFFFFF) * _NS + (1 << 31) >> 32)
    era_ns = _ERA_S * _NS
    return ns + (near_ns - ns + era_ns // 2) // era_ns * era_ns


def short_from_s(seconds: float) -> int:
    """Seconds as 16.16 fixed point, rounded up: an error bound must never shrink on its way. Below 0 is 0, too much is the most."""
    if seconds <= 0:
        return 0
    if seconds < 65535:
        return math.ceil(seconds * 65536)
    return 0xFFFFFFFF  # also for "not a number": what is not known is as bad as can be


def refid_text(refid: bytes, stratum: int) -> str:
    """A reference identifier for people: a source's name or kiss code up to stratum 1, else an IPv4 address or hash."""
    name = refid.rstrip(b"\0")
    if stratum <= 1 and name and all(0x20 < byte < 0x7F for byte in name):
        return name.decode("ascii")
    return ".".join(str(byte) for byte in refid) if any(refid) else ""
