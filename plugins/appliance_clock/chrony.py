"""chronyd's command protocol, version 6: requests into bytes, replies into values. Pure: no socket, no clock.

Layouts as in chrony's `candm.h`; that of a tracking reply is the same from chrony 3.5 on. All integers are big-endian.
"""

from __future__ import annotations

import ipaddress
import math
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from appliance.wire.errors import WireError

VERSION = 6
_PACKET_REQUEST = 1
_PACKET_REPLY = 2
_REQUEST_HEAD = struct.Struct("!BBHHHI8x")  # version, type, reserved, command, attempt, sequence
_REPLY_HEAD = struct.Struct("!BBHHHH6xI8x")  # version, type, reserved, command, reply code, status, sequence
_TRACKING = struct.Struct("!4s16sH2xHHIII9I")

#: chronyd never replies with more than it was sent, so requests are padded to the length of the reply.
_TRACKING_BYTES = 104
_ROOMY_BYTES = 504  # enough for every reply of every version, and always accepted

_NO_HIGH_SECONDS = 0x7FFFFFFF


class Command(IntEnum):
    """What can be asked."""

    N_SOURCES = 14
    SOURCE_DATA = 15
    TRACKING = 33
    SOURCE_STATS = 34
    ACTIVITY = 44
    SERVER_STATS = 54
    NTP_SOURCE_NAME = 65


class Status(IntEnum):
    """Status words of a reply that matter to us; others exist."""

    SUCCESS = 0
    FAILED = 1
    UNAUTHORISED = 2
    INVALID = 3
    NOT_ENABLED = 6
    BAD_VERSION = 18
    BAD_LENGTH = 19


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that belongs to our request.

    Attributes:
        code: says the layout of `body`; a newer chronyd may use one that we do not know.
        status: a `Status`, or another number from a newer chronyd; 0 is success.
        body: what follows the 28 bytes of the header.
    """

    command: int
    code: int
    status: int
    body: bytes

    @property
    def refusal(self) -> str | None:
        """Why chronyd did not do it, in words; None when it did."""
        if self.status == Status.SUCCESS:
            return None
        known = {
            Status.UNAUTHORISED: "chronyd tells this only over its Unix socket",
            Status.NOT_ENABLED: "this is not enabled in chronyd",
            Status.BAD_VERSION: "chronyd speaks another version of its protocol",
            Status.BAD_LENGTH: "chronyd expects a request of another length",
        }
        return (
            known.get(Status(self.status))
            if self.status in known
            else f"chronyd refused with status {self.status}"
        )


@dataclass(frozen=True, slots=True)
class Tracking:
    """What chronyd knows about the system clock, as of its reply.

    Attributes:
        refid: 4 bytes.
        source: address that is followed, or "" (reference clock, local clock, nothing).
        stratum: what chronyd itself would serve; 0 says unsynchronised.
        leap: 0..3.
        reference_ns: time of the last update, ns since 1970.
        correction_s: what is left to add to the system clock; positive when the system clock is behind.
        last_offset_s, rms_offset_s: of the updates.
        frequency_ppm: how fast the bare clock runs.
        residual_ppm: what is not yet corrected of it.
        skew_ppm: how uncertain it is.
        root_delay_s, root_dispersion_s: the dispersion is aged to the moment of the reply.
        update_interval_s: between the last two updates.
    """

    refid: bytes
    source: str
    stratum: int
    leap: int
    reference_ns: int
    correction_s: float
    last_offset_s: float
    rms_offset_s: float
    frequency_ppm: float
    residual_ppm: float
    skew_ppm: float
    root_delay_s: float
    root_dispersion_s: float
    update_interval_s: float


def pack_request(command: Command, sequence: int, *, attempt: int = 0, data: bytes = b"") -> bytes:
    """The request, padded so that the reply may be as long as it needs to be.

    Args:
        command: what is asked.
        sequence: 32 random bits; comes back in the reply.
        attempt: 0, then one more for each repetition with the same sequence.
        data: argument of the command.
    """
    head = _REQUEST_HEAD.pack(VERSION, _PACKET_REQUEST, 0, command, attempt & 0xFFFF, sequence)
    return (head + data).ljust(_TRACKING_BYTES if command == Command.TRACKING else _ROOMY_BYTES, b"\0")


def parse_reply(packet: bytes, command: Command, sequence: int) -> Reply:
    """Read the reply to the request with this command and sequence.

    Raises:
        WireError: it is something else; the next packet may be the right one.
    """
    if len(packet) < _REPLY_HEAD.size:
        raise WireError(f"a reply of chronyd has at least {_REPLY_HEAD.size} bytes, this one {len(packet)}")
    version, kind, _, echoed, code, status, echoed_sequence = _REPLY_HEAD.unpack_from(packet)
    if kind != _PACKET_REPLY:
        raise WireError(f"packet type {kind} is not a reply")
    if version != VERSION and status != Status.BAD_VERSION:
        raise WireError(f"protocol version {version}, expected {VERSION}")
    if echoed != command or echoed_sequence != sequence:
        raise WireError("a reply to another request")
    return Reply(echoed, code, status, packet[_REPLY_HEAD.size :])


def parse_tracking(reply: Reply) -> Tracking:
    """Read a tracking reply.

    Raises:
        WireError: refused, another layout, or values that cannot be.
    """
    values = fields(reply, 5, _TRACKING)
    refid, address, family, stratum, leap, high, low, rest_ns = values[:8]
    floats = [float_from_wire(value) for value in values[8:]]
    if leap > 3:
        raise WireError(f"leap status {leap}")
    return Tracking(
        refid,
        address_text(address, family),
        stratum,
        leap,
        _timespec_ns(high, low, rest_ns),
        *floats,
    )


def float_from_wire(word: int) -> float:
    """A float of this protocol: 7 bits signed exponent, 25 bits signed coefficient, no hidden bit, neither NaN nor infinity."""
    exponent, coefficient = word >> 25, word & 0x1FFFFFF
    if exponent >= 1 << 6:
        exponent -= 1 << 7
    if coefficient >= 1 << 24:
        coefficient -= 1 << 25
    return math.ldexp(coefficient, exponent - 25)


def float_to_wire(value: float) -> int:
    """The nearest wire float; what is too large becomes the largest, what is too small becomes 0.

    Raises:
        ValueError: not a number.
    """
    if math.isnan(value):
        raise ValueError("chrony's float has no NaN")
    if value == 0:
        return 0
    largest = math.ldexp((1 << 24) - 1, 63 - 25)
    value = max(-largest, min(value, largest))
    exponent = math.frexp(value)[1] + 1  # 24 bits and a sign: the coefficient lies in 2^23 .. 2^24
    coefficient = round(math.ldexp(value, 25 - exponent))
    if abs(coefficient) >= 1 << 24:
        coefficient, exponent = round(coefficient / 2), exponent + 1
    while exponent < -64 and coefficient:
        coefficient, exponent = int(coefficient / 2), exponent + 1
    if coefficient == 0:
        return 0
    return (exponent & 0x7F) << 25 | coefficient & 0x1FFFFFF


def fields(reply: Reply, code: int, layout: struct.Struct) -> tuple[Any, ...]:
    """The values of a reply whose body has this layout.

    Raises:
        WireError: refused, another reply code, or too short.
    """
    if reply.refusal:
        raise WireError(reply.refusal)
    if reply.code != code:
        raise WireError(f"reply code {reply.code}, expected {code}")
    if len(reply.body) < layout.size:
        raise WireError(f"a reply of {len(reply.body)} bytes where {layout.size} are needed")
    return layout.unpack_from(reply.body)


def address_text(raw: bytes, family: int) -> str:
    """An address for people, or "" when there is none."""
    if family == 1:
        return str(ipaddress.IPv4Address(raw[:4]))
    if family == 2:
        return str(ipaddress.IPv6Address(raw))
    return ""  # none, or the number of a name that is not resolved yet


def _timespec_ns(high: int, low: int, rest_ns: int) -> int:
    seconds = (0 if high == _NO_HIGH_SECONDS else high) << 32 | low
    if seconds >= 1 << 63:
        seconds -= 1 << 64
    return seconds * 1_000_000_000 + min(rest_ns, 999_999_999)
