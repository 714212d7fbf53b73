"""Who is over the rate limit: told in the log when it begins and when it ends, and in the API while it lasts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.dataplane.dns_rate import Offender

#: A network without a limited reply for so long has calmed down.
QUIET_S = 60
#: More networks at a time are not told one by one: whoever forges addresses could fill the log.
NAMED = 8


@dataclass(frozen=True, slots=True)
class Limited:
    """A network over the limit.

    Attributes:
        limited: replies that it was not sent.
        active: whether that was within the last minute.
    """

    network: str
    limited: int
    active: bool


class LimitWatch:
    """Compares what the data plane tells from one look to the next."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._active: dict[str, Offender] = {}
        self._told: set[str] = set()
        self._many = False
        self._all: tuple[Limited, ...] = ()

    def look(self, offenders: Sequence[Offender], mono_ns: int) -> None:
        """Take in what the data plane tells now. It may forget a network in favour of others: only time ends a limit here."""
        since_ns = mono_ns - QUIET_S * 1_000_000_000
        now = {o.network: o for o in offenders if o.last_ns > since_ns}
        before = {network: o for network, o in self._active.items() if o.last_ns > since_ns}
        for network in self._active.keys() - before.keys() - now.keys():
            self._end(self._active[network])
        for network in now.keys() - self._active.keys():
            self._begin(network)
        self._active = {**before, **now}
        if not self._active:
            self._many = False
        order = sorted(offenders, key=lambda o: (o.network not in now, -o.limited, o.network))
        self._all = tuple(Limited(o.network, o.limited, o.network in now) for o in order)

    def _begin(self, network: str) -> None:
        if len(self._told) < NAMED:
            self._told.add(network)
            self._log.warning("DNS replies to %s are limited: it asks for more than the rate limit", network)
        elif not self._many:
            self._many = True
            self._log.warning(
                "DNS replies to more than %d networks are limited; `timeball dns status` names them", NAMED
            )

    def _end(self, last: Offender) -> None:
        if last.network in self._told:
            self._told.discard(last.network)
            self._log.info("DNS replies to %s are no longer limited; %d were", last.network, last.limited)

    def current(self) -> tuple[Limited, ...]:
        """Those over the limit now first, then those that were, the most limited first in each."""
        return self._all

    def active(self) -> int:
        """How many networks are over the limit now."""
        return len(self._active)
