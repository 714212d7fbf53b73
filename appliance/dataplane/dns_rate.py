"""How many replies a network may be sent over UDP: buckets for prefixes of several lengths in a table of fixed size.

A forged source address turns every reply into something that its owner never asked for. So replies are counted against the
address, and against the networks around it: an attack on a network forges all of its addresses.

Each bucket is one 64-bit cell, so that another plane's threads can share the table without a lock:

    tag (18 bits) | limited in a row (4) | time at which the bucket is full again, in units of 16 ns (42)

That time is the whole state of a token bucket (it is the "theoretical arrival time" of the generic cell rate algorithm,
ITU-T I.371): each reply moves it on by one interval, and it may not lie further ahead of now than the tolerance. A key has
eight places where its cell may be; who needs one and has none takes the place whose bucket is fullest, so that an attacker
with many addresses cannot make the table forget those who are over the limit.
"""

from __future__ import annotations

import ipaddress
import socket
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from appliance.wire.siphash import siphash

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_UNIT_NS = 16
_TIME_BITS, _ROW_BITS, _TAG_BITS = 42, 4, 18
_TIME_MASK = (1 << _TIME_BITS) - 1
_ROW_MASK = (1 << _ROW_BITS) - 1
_TAG_SHIFT = 64 - _TAG_BITS
_WAYS = 8
_SETS = 4096
#: Addresses whose places are remembered, so that they need not be hashed again.
_REMEMBERED = 4096
#: Networks over the limit that are told by name.
_NAMED = 128

#: Answers have buckets of their own: who floods us with names that are not there cannot silence those that are.
ANSWERS, ERRORS = 0, 1
#: What the buckets of the two kinds differ in: another tag and another set.
_KINDS = (0, 1 << 63 | 1)


class Verdict(IntEnum):
    """What may become of a reply."""

    PASS = 0
    DROP = 1
    SLIP = 2  # send something small that brings a real client back by TCP or with a cookie


#: Looking members up in an enumeration takes as long as all the rest of a decision here.
_PASS, _DROP, _SLIP = Verdict


class Level(NamedTuple):
    """The bucket of one prefix length.

    Attributes:
        octets: length of the prefix, at most 8.
        interval: units of 16 ns between replies.
        tolerance: units that a bucket may be ahead of now and still take one more reply.
    """

    octets: int
    interval: int
    tolerance: int


#: Prefix length in octets, and how many times the rate of one address it may have. An IPv6 "address" is a /64: whoever has
#: one address has all of them. A site (/48) and the smallest IPv4 network that is routed (/24) may have as much as eight.
_SHARES = {4: ((4, 1), (3, 8)), 6: ((8, 1), (7, 4), (6, 8))}


@dataclass(frozen=True, slots=True)
class RateLimit:
    """The limit as configured; see `rate_limit`.

    Attributes:
        levels4, levels6: buckets for an address of either family, the longest prefix first.
        bound: no bucket is ever further ahead of now than this many units.
        slip: so many limited replies in a row, and the last of them is not dropped but sent as something small; 0: never.
        exempt: networks without a limit.
    """

    levels4: tuple[Level, ...]
    levels6: tuple[Level, ...]
    bound: int
    slip: int
    exempt: tuple[Network, ...] = ()


def rate_limit(per_second: float, burst: int, slip: int, exempt: Sequence[Network] = ()) -> RateLimit:
    """The limit of `per_second` replies to one address, `burst` at once, and the shares of the networks around it.

    Args:
        per_second: at most 1,000,000.
        burst: 1 to 30,000 times `per_second`.
        slip: 0 to 15.
        exempt: networks without a limit.
    """
    levels = {}
    for family, shares in _SHARES.items():
        made = []
        for octets, times in shares:
            interval = max(1, round(1e9 / _UNIT_NS / (per_second * times)))
            made.append(Level(octets, interval, (burst * times - 1) * interval))
        levels[family] = tuple(made)
    bound = max(level.tolerance + level.interval for level in levels[4] + levels[6])
    return RateLimit(levels[4], levels[6], bound, slip, tuple(exempt))


class Offender(NamedTuple):
    """A network to which replies were limited: a /24 or a /48, whoever in it was meant.

    Attributes:
        limited: replies that were not sent whole since it was noticed.
        last_ns: monotonic time of the last of them.
    """

    network: str
    limited: int
    last_ns: int


class _Bucket:
    """Where a key's cell is looked for.

    Attributes:
        at: where it was last; another key may have it by now.
        base: the first of the eight places where it may be.
        tag: what tells it from others there.
    """

    __slots__ = ("at", "base", "level", "tag")

    def __init__(self, base: int, tag: int, level: Level) -> None:
        self.at = self.base = base
        self.tag = tag
        self.level = level


class Limiter:
    """The buckets: 32,768 of them in 256 KiB.

    Threads may share one: where two of them touch the same bucket at the same moment, one reply may go uncounted.

    Args:
        key: 16 secret bytes; who knows them can choose addresses that share the buckets of others.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._cells = array("Q", bytes(8 * _WAYS * _SETS))
        self._rate: RateLimit | None = None
        self._places: dict[tuple[str, int], tuple[_Bucket, ...]] = {}
        self._offenders: dict[bytes, tuple[int, int]] = {}

    def charge(self, rate: RateLimit, source: str, kind: int, mono_ns: int) -> Verdict:
        """Count one reply of `kind` (ANSWERS or ERRORS) to `source`, and say what may become of it.

        A reply that the address itself is too often sent is not charged to the networks around it.
        """
        if rate is not self._rate:
            if rate != self._rate:
                self._places = {}
            self._rate = rate
        places = self._places.get((source, kind))
        if places is None:
            if len(self._places) >= _REMEMBERED:
                self._places = {}
            places = self._places[source, kind] = self._find(rate, source, kind)
        now = mono_ns // _UNIT_NS & _TIME_MASK
        for bucket in places:
            verdict = self._take(bucket, rate, now)
            if verdict:
                self._note(source, mono_ns)
                return verdict
        return _PASS

    def _find(self, rate: RateLimit, source: str, kind: int) -> tuple[_Bucket, ...]:
        """The buckets of `source`; nothing when it is exempt."""
        text = source.partition("%")[0]
        address = ipaddress.ip_address(text)
        if any(address in network for network in rate.exempt):
            return ()
        places = []
        for level in rate.levels4 if address.version == 4 else rate.levels6:
            hashed = siphash(self._key, address.packed[: level.octets], 1, 3) ^ _KINDS[kind]
            tag = max(hashed >> _TAG_SHIFT, 1)  # an empty cell has tag 0
            places.append(_Bucket(hashed % _SETS * _WAYS, tag, level))
        return tuple(places)

    def _take(self, bucket: _Bucket, rate: RateLimit, now: int) -> Verdict:
        cells, at = self._cells, bucket.at
        cell = cells[at]
        if cell >> _TAG_SHIFT != bucket.tag:
            at = bucket.at = self._place(bucket, rate.bound, now)
            cell = cells[at]
            if cell >> _TAG_SHIFT != bucket.tag:
                cell = now  # a full bucket
        lead, row = (cell - now) & _TIME_MASK, cell >> _TIME_BITS & _ROW_MASK
        if lead > rate.bound:  # in the past
            lead = 0
        verdict, level = _PASS, bucket.level
        if lead <= level.tolerance:
            lead += level.interval
        elif rate.slip and row + 1 >= rate.slip:
            verdict, row = _SLIP, 0
        else:
            verdict, row = _DROP, min(row + 1, _ROW_MASK)
        cells[at] = bucket.tag << _TAG_SHIFT | row << _TIME_BITS | (now + lead & _TIME_MASK)
        return verdict

    def _place(self, bucket: _Bucket, bound: int, now: int) -> int:
        """Where the bucket's cell is, or the place of the fullest other bucket."""
        fullest, least = bucket.base, bound + 1
        for at in range(bucket.base, bucket.base + _WAYS):
            cell = self._cells[at]
            if cell >> _TAG_SHIFT == bucket.tag:
                return at
            ahead = (cell - now) & _TIME_MASK
            if ahead > bound:
                ahead = 0
            if ahead < least:
                fullest, least = at, ahead
        return fullest

    def _note(self, source: str, mono_ns: int) -> None:
        network = _network(source)
        known = self._offenders.get(network)
        if known is None and len(self._offenders) >= _NAMED:
            del self._offenders[min(self._offenders, key=lambda n: self._offenders[n][1])]
        self._offenders[network] = ((known[0] if known else 0) + 1, mono_ns)

    def offenders(self) -> list[Offender]:
        """Who was limited, those last seen longest ago forgotten."""
        return [offender(network, *counts) for network, counts in list(self._offenders.items())]


def _network(source: str) -> bytes:
    """The octets of the /24 or /48 that `source` is in."""
    if ":" in source:
        return socket.inet_pton(socket.AF_INET6, source.partition("%")[0])[:6]
    return socket.inet_pton(socket.AF_INET, source)[:3]


def offender(network: bytes, limited: int, last_ns: int) -> Offender:
    """`network` has 3 octets of an IPv4 address or 6 of an IPv6 one."""
    whole = network.ljust(16 if len(network) == 6 else 4, b"\0")
    return Offender(f"{ipaddress.ip_address(whole)}/{8 * len(network)}", limited, last_ns)
