"""How long somebody waits who got a password wrong: longer each time, never for ever, and never the owner for long.

Two counters for each try: of the account, so that many addresses together get no further, and of the address, so that
one address gets no further with many accounts. A try is charged before the password is looked at, and taken back when it
was right: a hundred tries at the same moment are a hundred tries.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from appliance_people.accounts import folded

#: Tries without waiting, then 1, 2, 4 ... seconds.
FREE = {"account": 3, "address": 10}
#: The longest wait. Somebody else's tries must not keep a person away from the own account for long.
MOST_S = {"account": 60.0, "address": 900.0}
#: After so long without another try all is forgotten.
FORGET_S = 24 * 3600.0
_MOST_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class Tally:
    """Failures in a row: how many, and when the last was (epoch seconds)."""

    failures: int
    last: float


class Throttle:
    """All tallies by key: "account:ada", "address:203.0.113.9", "address:2001:db8:1:2::/64"."""

    def __init__(self) -> None:
        self._tallies: dict[str, Tally] = {}

    def recall(self, tallies: Mapping[str, Tally]) -> None:
        """Take in what was stored: the latest."""
        latest = sorted(tallies.items(), key=lambda item: item[1].last)[-_MOST_KEYS:]
        self._tallies = dict(latest)

    def tally(self, key: str) -> Tally | None:
        return self._tallies.get(key)

    def wait_s(self, keys: Iterable[str], now: float) -> float:
        """Seconds until a try is looked at; 0 when at once."""
        return max((self._wait_s(key, now) for key in keys), default=0.0)

    def charge(self, keys: Iterable[str], now: float) -> list[str]:
        """Count one failure for each key; returns the keys that had to be forgotten for it, longest unseen first."""
        for key in keys:
            known = self._tallies.pop(key, None)
            fresh = known is not None and now - known.last < FORGET_S
            self._tallies[key] = Tally(known.failures + 1 if known and fresh else 1, now)
        forgotten = list(itertools.islice(self._tallies, max(len(self._tallies) - _MOST_KEYS, 0)))
        for key in forgotten:
            del self._tallies[key]
        return forgotten

    def sweep(self, now: float) -> None:
        """Forget what counts no more."""
        self._tallies = {key: tally for key, tally in self._tallies.items() if now - tally.last <= FORGET_S}

    def passed(self, account: str, address: str) -> None:
        """It was right: the account's failures are over; the address only gets this try back, or it could buy new ones."""
        self._tallies.pop(account, None)
        known = self._tallies.get(address)
        if known is not None and known.failures > 1:
            self._tallies[address] = Tally(known.failures - 1, known.last)
        else:
            self._tallies.pop(address, None)

    def forget(self, key: str) -> bool:
        """Let a key try again at once; False when it need not have waited."""
        return self._tallies.pop(key, None) is not None

    def _wait_s(self, key: str, now: float) -> float:
        tally = self._tallies.get(key)
        kind = key.partition(":")[0]
        if tally is None or tally.failures < FREE[kind] or now - tally.last > FORGET_S:
            return 0.0
        wait_s = min(MOST_S[kind], 2.0 ** min(tally.failures - FREE[kind], 20))
        # A clock that was set back must not make anybody wait for the old time to come again.
        return max(0.0, wait_s - max(0.0, now - tally.last))


def account_key(name: str) -> str:
    """Of one account, however its name is spelled."""
    return f"account:{folded(name)[:200]}"


def address_key(remote: str) -> str:
    """Of one IPv4 address, or of the 64 bits that one household has in IPv6."""
    try:
        address = ipaddress.ip_address(remote.partition("%")[0])
    except ValueError:
        return "address:unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return f"address:{address.ipv4_mapped}"
        return f"address:{ipaddress.ip_network((address, 64), strict=False)}"
    return f"address:{address}"
