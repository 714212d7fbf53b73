"""What to do with one NTP packet: bytes, times, source and a snapshot in, a reply or a reason out. No clock, no socket.

This is the law for every data plane. The order in which reasons are looked for is fixed, so that a packet that is wrong
in two ways is counted alike everywhere: empty, control message, shorter than a header, version, mode, length, source,
time in the queue, what follows the header, policy, rate, MAC. Behaviour by version and mode is what chrony does.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import NamedTuple

from appliance.api.model import ClockState, Family
from appliance.dataplane.interface import Action, NtpPolicy, Reason
from appliance.dataplane.ntp_keys import NO_KEYS, Fault, KeyRing
from appliance.dataplane.ntp_limit import Limits
from appliance.dataplane.ntp_memory import FREE, KISS, WITHIN, Memory
from appliance.dataplane.ntp_outcome import (
    AUTHENTICATED,
    FAULT_SHIFT,
    INTERLEAVED,
    STAMP,
    Outcome,
    outcome_of,
    split,
)
from appliance.dataplane.ntp_tail import mac_position
from appliance.dataplane.prefix_table import PrefixTable
from appliance.wire.ntp import (
    HEADER_BYTES,
    LEAP_UNSYNCHRONISED,
    MODE_CLIENT,
    MODE_CONTROL,
    MODE_PRIVATE,
    MODE_SERVER,
    MODE_SYMMETRIC_ACTIVE,
    MODE_SYMMETRIC_PASSIVE,
    UNIX_TO_NTP_NS,
    ntp_from_unix_ns,
    short_from_s,
)
from appliance.wire.ntp_mac import KEY_ID_BYTES

#: A request that waited longer than this gets no reply: the client has stopped trusting it, and others wait too.
LATE_NS = 50_000_000
#: Two processors may read the clock this far apart; a receive time further in the future was stamped before a step.
AHEAD_NS = 1_000_000
#: How long a template is used before dispersion is aged again. It is aged to the end of that time: never too small.
REFRESH_NS = 50_000_000

#: No request that we understand is longer.
MAX_REQUEST_BYTES = 2048

_TOO_SHORT = outcome_of(Reason.TOO_SHORT)
_BAD_LENGTH = outcome_of(Reason.BAD_LENGTH)
_BAD_VERSION = outcome_of(Reason.BAD_VERSION)
_BAD_MODE = outcome_of(Reason.BAD_MODE)
_IS_REPLY = outcome_of(Reason.REPLY)
_CONTROL = outcome_of(Reason.CONTROL)
_AUTH = outcome_of(Reason.AUTH)
_BAD_SOURCE = outcome_of(Reason.BAD_SOURCE)
_LATE = outcome_of(Reason.LATE)
_POLICY = outcome_of(Reason.POLICY)
_KISS_DENIED = outcome_of(Reason.POLICY, Action.KISS)
_RATE = outcome_of(Reason.RATE)
_KISS_RATE = outcome_of(Reason.RATE, Action.KISS)

_M64 = 0xFFFFFFFFFFFFFFFF
_NS = 1_000_000_000

_ALLOW, _IGNORE, _DENY = 0, 1, 2
_ACTIONS = {"allow": _ALLOW, "ignore": _IGNORE, "deny": _DENY}

#: first byte, poll, last byte of the origin, transmit time of a request
_REQUEST = struct.Struct("!Bxb28xB8xQ")
#: first byte, stratum, poll, precision to reference time, origin, receive, transmit of a reply
_REPLY = struct.Struct("!BBb21sQQQ")
_FIXED = struct.Struct("!bII4sQ")
#: version and mode of what may be a request in interleaved mode, if its origin is odd
_VERSION_4_CLIENT = 4 << 3 | MODE_CLIENT
#: root delay to reference time of a kiss-o'-death
_KISS_DENY = bytes(8) + b"DENY" + bytes(8)
_KISS_SLOW = bytes(8) + b"RATE" + bytes(8)

_NO_PORT, _NTP_PORT = b"\0\0", b"\0\x7b"
#: Clients have addresses between these, by length: not 0.0.0.0/8, multicast, reserved, broadcast, :: or ff00::/8.
_BEFORE_CLIENTS = {4: b"\x00\xff\xff\xff", 16: bytes(16)}
_BEHIND_CLIENTS = {4: b"\xe0\0\0\0", 16: b"\xff" + bytes(15)}


class Source(NamedTuple):
    """Where a packet came from, the address as a number."""

    family: Family
    address: int
    port: int

    @classmethod
    def of(cls, host: str, port: int) -> Source:
        """From an address as text (a zone such as "%eth0" is dropped)."""
        address = ipaddress.ip_address(host.partition("%")[0])
        return cls(6 if address.version == 6 else 4, int(address), port)


class PolicyTable:
    """Prefix rules compiled for lookup by longest match, and the limits."""

    __slots__ = ("_tables", "limits", "trivial")

    def __init__(self, policy: NtpPolicy) -> None:
        default = _ACTIONS[policy.default]
        self._tables = {
            length: PrefixTable(
                [
                    (network, _ACTIONS[action])
                    for network, action in policy.rules
                    if len(network.network_address.packed) == length
                ],
                other=default,
            )
            for length in (4, 16)
        }
        #: nothing to look up: everybody is answered
        self.trivial = not policy.rules and default == _ALLOW
        #: how much; None without end
        self.limits = Limits(policy.limit) if policy.limit else None

    def action(self, address: bytes) -> int:
        """0 allow, 1 ignore, 2 deny."""
        return self._tables[len(address)].find(address)


class Snapshot(NamedTuple):
    """All that a reply depends on besides its request, prepared so that a packet costs little.

    Attributes:
        valid_until_mono_ns: make a new one from this monotonic moment on.
        first_bytes: by a request's first byte: the reply's first byte, or minus the outcome when there is none.
        stratum: as served.
        fixed: precision, root delay, root dispersion, reference identifier, reference time as on the wire.
        reference_ns: reference time by the system clock, ns since 1970.
        shift_ns: added to times of the system clock for corrected ns since 1900.
        keep: mask of the bits of a timestamp that the precision is good for.
        fuzz: mask of the other ones.
        served: outcome of a reply: OK or UNSYNCHRONISED.
        policy: who is answered; None when everybody is.
        limits: how much; None without end.
        keys: which requests with a MAC are believed.
    """

    valid_until_mono_ns: int
    first_bytes: tuple[int, ...]
    stratum: int
    fixed: bytes
    reference_ns: int
    shift_ns: int
    keep: int
    fuzz: int
    served: Outcome
    policy: PolicyTable | None
    limits: Limits | None
    keys: KeyRing

    @classmethod
    def at(cls, mono_ns: int, clock: ClockState, policy: PolicyTable, keys: KeyRing = NO_KEYS) -> Snapshot:
        """The snapshot for replies made from `mono_ns` until `valid_until_mono_ns`."""
        until_ns = mono_ns + REFRESH_NS
        if mono_ns < clock.expires_mono_ns < until_ns:
            until_ns = clock.expires_mono_ns
        rules = None if policy.trivial else policy
        correction_ns = round(clock.correction_s * 1e9)
        shift_ns = UNIX_TO_NTP_NS + correction_ns
        fuzz = (1 << max(1, min(32, 32 + clock.precision))) - 1
        # The state in which the snapshot ends is the worst one it will see, so that is what it claims.
        last_ns = until_ns - 1
        if clock.synchronised(last_ns):
            return cls(
                until_ns,
                _FIRST_BYTES[clock.leap],
                clock.stratum,
                _FIXED.pack(
                    clock.precision,
                    short_from_s(clock.root_delay_s),
                    short_from_s(clock.dispersion_s(last_ns)),
                    clock.refid,
                    ntp_from_unix_ns(clock.reference_ns) & ~fuzz,
                ),
                clock.reference_ns - correction_ns,
                shift_ns,
                _M64 & ~fuzz,
                fuzz,
                Reason.OK,
                rules,
                policy.limits,
                keys,
            )
        second = short_from_s(1.0)
        return cls(
            until_ns,
            _FIRST_BYTES[LEAP_UNSYNCHRONISED],
            0,
            _FIXED.pack(clock.precision, second, second, bytes(4), 0),
            -(1 << 63),
            shift_ns,
            _M64 & ~fuzz,
            fuzz,
            Reason.UNSYNCHRONISED,
            rules,
            policy.limits,
            keys,
        )


class Decision(NamedTuple):
    """What becomes of a packet; `reply` has 48 bytes and perhaps a MAC unless the action is to ignore it."""

    reason: Reason
    action: Action
    reply: bytes | None


def decide(
    request: bytes | bytearray | memoryview,
    source: Source,
    *,
    rx_ns: int,
    tx_ns: int,
    noise: int,
    snapshot: Snapshot,
    own: tuple[int, int] = (0, 0),
    mono_ns: int = 0,
    memory: Memory | None = None,
) -> Decision:
    """Decide about one packet.

    Args:
        request: the UDP payload.
        source: where it claims to come from.
        rx_ns: when it arrived, ns since 1970 by the system clock.
        tx_ns: now, by the same clock.
        noise: 64 random bits.
        snapshot: clock and policy.
        own: address (as a number) and port that it was sent to; an unknown address is 0.
        mono_ns: now by the monotonic clock, for what is remembered.
        memory: what the worker remembers; without one, this is its first packet.
    """
    reply, memory = bytearray(HEADER_BYTES), memory or Memory()
    length = 16 if source.family == 6 else 4
    outcome = answer(
        request, len(request), source.address.to_bytes(length), source.port.to_bytes(2), own[0].to_bytes(length),
        own[1].to_bytes(2), rx_ns, tx_ns, mono_ns, noise, snapshot, memory, reply,
    )  # fmt: skip
    reason, action = split(outcome)
    mac = memory.mac if outcome & AUTHENTICATED else b""
    return Decision(reason, action, None if action is Action.IGNORE else bytes(reply) + mac)


def answer(
    packet: bytes | bytearray | memoryview,
    size: int,
    address: bytes,
    port: bytes,
    own_address: bytes,
    own_port: bytes,
    rx_ns: int,
    tx_ns: int,
    mono_ns: int,
    noise: int,
    snapshot: Snapshot,
    memory: Memory,
    reply: bytearray | memoryview,
) -> Outcome:
    """`decide` without an object for each packet: writes 48 bytes into `reply` unless the outcome is to ignore it.

    `packet` is a buffer that begins with the packet, `size` its length: more than the buffer holds if it was cut off.
    Addresses (4 or 16 bytes) and ports (2 bytes) are in network order, as they stand in a sockaddr.
    `memory` is the one of the worker that asks; it holds the MAC of an authenticated reply.
    """
    if size < HEADER_BYTES:
        return _too_short(packet, size)
    _, first_bytes, stratum, fixed, reference_ns, shift_ns, keep, fuzz, served, policy, limits, keys = (
        snapshot
    )
    first, poll, mark, origin = _REQUEST.unpack_from(packet)
    reply_first: int = first_bytes[first]
    if reply_first < 0:
        return -reply_first
    if not first & 7 and port == _NTP_PORT:
        # Mode 0 of version 1 has no modes yet: a request from another server's port may as well be a reply.
        return _BAD_MODE
    if size != HEADER_BYTES and (size & 3 or size > MAX_REQUEST_BYTES):
        return _BAD_LENGTH
    length = len(address)
    if (
        port == _NO_PORT
        or (port == own_port and address == own_address)
        or not _BEFORE_CLIENTS[length] < address < _BEHIND_CLIENTS[length]
    ):
        return _BAD_SOURCE
    if not -AHEAD_NS <= tx_ns - rx_ns <= LATE_NS:
        return _LATE
    mac_at = 0
    if size != HEADER_BYTES:
        mac_at = mac_position(packet[:size], first >> 3 & 7)
        if mac_at < 0:
            return outcome_of(Reason(-mac_at))
    if policy is not None:
        action = policy.action(address)
        if action == _IGNORE or (action == _DENY and mac_at):
            # A client with a key believes no kiss without a MAC, and we sign nothing for those who are denied.
            return _POLICY
        if action == _DENY:
            # It carries no time of ours: whoever is denied shall not get by with the kiss (as NTPsec does it).
            _REPLY.pack_into(
                reply, 0, reply_first | 0xC0, 0, poll, fixed[:1] + _KISS_DENY, origin, origin, origin
            )
            return _KISS_DENIED
    admission = memory.admit(first, address, port, mono_ns, noise, limits)
    if admission != FREE and limits is not None:
        poll = max(poll, limits.poll)
        if admission > WITHIN:
            if admission == KISS and not mac_at:
                _REPLY.pack_into(
                    reply, 0, reply_first | 0xC0, 0, poll, fixed[:1] + _KISS_SLOW, origin, origin, origin
                )
                return _KISS_RATE
            return _RATE
    if mac_at:
        checked = keys.check(packet, mac_at, size, first >> 3 & 7, address)
        if isinstance(checked, Fault):
            return _AUTH | checked << FAULT_SHIFT
        key = checked
        tx_ns += key.delay_ns
    # `ntp_from_unix_ns`, corrected, in one expression: these two lines are a fifth of what a packet costs.
    receive = (rx_ns + shift_ns << 32) // _NS & keep | noise & fuzz | 1
    transmit = (tx_ns + shift_ns << 32) // _NS & keep | (noise >> 32) & fuzz & ~1
    if transmit <= receive or transmit == origin:
        transmit = _transmit_after(receive, transmit, origin)
    if reference_ns > rx_ns:
        # Some clients refuse a reference time later than the transmit time.
        fixed = fixed[:-8] + receive.to_bytes(8)
    # Equal times for receive and transmit are how a client says that it wants basic mode.
    if mark & 1 and first & 0x3F == _VERSION_4_CLIENT and packet[32:40] != packet[40:48]:
        served |= STAMP
        told = memory.interleaved.exchange(packet, address, receive, transmit, tx_ns, shift_ns)
        if told is not None:
            served |= INTERLEAVED
            origin, transmit = told
    _REPLY.pack_into(reply, 0, reply_first, stratum, poll, fixed, origin, receive, transmit)
    if mac_at:
        memory.mac = bytes(packet[mac_at : mac_at + KEY_ID_BYTES]) + key.digest(reply, first >> 3 & 7)
        served |= AUTHENTICATED
    return served


def _too_short(packet: bytes | bytearray | memoryview, size: int) -> Outcome:
    """Control messages may be shorter than a header, and people want to see how many of them are tried."""
    if size and packet[0] & 7 in (MODE_CONTROL, MODE_PRIVATE):
        return _CONTROL
    return _TOO_SHORT


def _transmit_after(receive: int, transmit: int, origin: int) -> int:
    """A transmit time after the receive time, even, and neither 0 nor the origin.

    Equal or crossed times come from a coarse clock's random bits; a smaller transmit time is right when the era ended
    between the two.
    """
    if (transmit - receive) & _M64 >= 1 << 63:
        transmit = (receive + 1) & _M64
    while transmit in (0, origin):
        transmit = (transmit + 2) & _M64
    return transmit


def _first_byte(leap: int, first: int) -> int:
    """The first byte of the reply to a request with this first byte, or minus the outcome when it gets none."""
    version, mode = first >> 3 & 7, first & 7
    if mode in (MODE_CONTROL, MODE_PRIVATE):
        return -_CONTROL
    if not 1 <= version <= 4:
        return -_BAD_VERSION
    if mode == MODE_SERVER:
        return -_IS_REPLY
    if mode == MODE_CLIENT or (mode == 0 and version == 1):
        return leap << 6 | version << 3 | MODE_SERVER
    if mode == MODE_SYMMETRIC_ACTIVE:
        return leap << 6 | version << 3 | MODE_SYMMETRIC_PASSIVE
    return -_BAD_MODE


_FIRST_BYTES = tuple(tuple(_first_byte(leap, first) for first in range(256)) for leap in range(4))
