"""How many requests a client may make: a bucket of time, leaks, and when silence makes things worse.

The semantics are those of chrony's `ratelimit`. The native plane has the same arithmetic, number by number.
"""

from __future__ import annotations

from appliance.dataplane.interface import RateLimit
from appliance.dataplane.prefix_table import PrefixTable

#: An IPv6 /64 is a network with many machines in it: it may ask this much more often than one IPv4 address, as 2^6.
NETWORK_SHIFT = 6
#: Spacings below 2^20 ns (a millisecond) are not told apart: packets that were taken together share their time.
CLOSEST_NS = 1 << 20
#: Spacings above 2^37 ns (two minutes) neither: one pause shall not outweigh what came before it.
FURTHEST_NS = 1 << 37
#: One doubling on the scale of `log_spacing`.
OCTAVE = 64
#: An average takes over 2^-4 of the difference with each packet.
SMOOTHING = 4


class Limits:
    """The limits in force, compiled for packets.

    Attributes:
        cost_ns: what a reply costs a client, by the length of its address.
        cap_ns: what a client can have saved.
        leak: mask of the random bits that are 0 when one over the limit is answered.
        kod: mask of those that are 0 when one that is not answered is told so; None tells nobody.
        poll: the smallest poll in replies, log2 s.
        prefix_cost_ns: what a reply costs a /24 or /48.
        prefix_cap_ns: what a /24 or /48 can have saved.
    """

    __slots__ = (
        "_exempt",
        "cap_ns",
        "cost_ns",
        "kod",
        "leak",
        "poll",
        "prefix_cap_ns",
        "prefix_cost_ns",
    )

    def __init__(self, limit: RateLimit) -> None:
        cost_ns = _cost_ns(limit.interval)
        self.cost_ns = {4: cost_ns, 16: cost_ns >> NETWORK_SHIFT}
        self.cap_ns = cost_ns * limit.burst
        self.leak = (1 << limit.leak) - 1
        self.kod = (1 << limit.kod) - 1 if limit.kod else None
        self.poll = limit.interval
        self.prefix_cost_ns = _cost_ns(limit.prefix_interval)
        self.prefix_cap_ns = self.prefix_cost_ns * limit.prefix_burst
        self._exempt = {
            length: PrefixTable(
                [(n, True) for n in limit.exempt if len(n.network_address.packed) == length], other=False
            )
            for length in (4, 16)
        }

    def exempts(self, address: bytes) -> bool:
        """Whether this source is not limited."""
        return self._exempt[len(address)].find(address)


def _cost_ns(interval: int) -> int:
    """2^interval seconds in ns."""
    interval = max(-16, min(17, interval))
    return 1_000_000_000 >> -interval if interval < 0 else 1_000_000_000 << interval


def take(full_at: int, now: int, cost: int, cap: int) -> tuple[bool, int]:
    """Take `cost` from a bucket: whether that is allowed, and the bucket afterwards.

    A bucket is the moment at which it will be full again; what is missing at `now` is the time until then. More than
    `cap` cannot be missing: the clock went backwards, or the limits became smaller, and the bucket counts as full.
    """
    missing = full_at - now
    if missing < 0 or missing > cap:
        missing = 0
    if missing + cost <= cap:
        return True, now + missing + cost
    return False, now + missing


def log_spacing(ns: int) -> int:
    """The logarithm of a spacing in steps of 1/64 octave, straight between powers of two."""
    ns = max(CLOSEST_NS, min(FURTHEST_NS, ns))
    octave = ns.bit_length() - 1
    return (octave << 6) + (ns << 6 >> octave) - OCTAVE


def spacing_s(logarithm: int) -> float | None:
    """The spacing that an average stands for; None when there is none yet."""
    if not logarithm:
        return None
    octave, rest = divmod(logarithm, OCTAVE)
    return float((1 << octave) * (1 + rest / OCTAVE) / 1e9)


def averaged(average: int, value: int) -> int:
    """An average, 0 before the first value, after one more value."""
    return average + (value - average >> SMOOTHING) if average else value


def insists(answered: int, unanswered: int) -> bool:
    """Whether a client asks more than twice as often when it gets no reply."""
    return answered != 0 and unanswered != 0 and unanswered + OCTAVE < answered
