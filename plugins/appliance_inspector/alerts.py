"""What was noticed, in words; one line for each rule and somebody, in bounded memory."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.api.errors import NotFound
from appliance_inspector.rules import Rule
from appliance_inspector.verdicts import Seen

MOST_ALERTS = 500
_REMEDIES = {
    "limit": "the rate limits of the service answer such clients less; they are on unless somebody switched them off",
    "none": "nothing is sent back that could do harm",
}


@dataclass(slots=True)
class Alert:
    """One rule and whom it speaks of.

    Attributes:
        since_s: when it was first told of, epoch seconds.
        last_s: when last.
        times: how often it was told.
        count: what was counted in the last window.
    """

    id: str
    rule: Rule
    seen: Seen
    since_s: float
    last_s: float
    times: int = 1
    count: int = 0

    @property
    def prefix(self) -> str:
        """The network that a policy against it would name."""
        return str(self.seen.who)


class Alerts:
    """All of them, the latest last."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[str, Alert] = OrderedDict()
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def take(self, seen: Iterable[Seen], rules: Mapping[str, Rule]) -> list[Alert]:
        """Keep what the child told; those that are new. A rule that we do not have is not believed."""
        fresh = []
        for one in seen:
            rule = rules.get(one.rule)
            if rule is None:
                continue
            key = hashlib.blake2s(f"{rule.id} {one.key}".encode(), digest_size=5).hexdigest()
            alert = self._by_id.pop(key, None)
            if alert is None:
                alert = Alert(key, rule, one, one.since_ns / 1e9, one.last_ns / 1e9, 0)
                fresh.append(alert)
            alert.seen, alert.last_s, alert.count = one, one.last_ns / 1e9, one.count
            alert.times += 1
            self._by_id[key] = alert
            if len(self._by_id) > MOST_ALERTS:
                self._by_id.popitem(last=False)
                self.forgotten += 1
        return fresh

    def all(self) -> list[Alert]:
        """The latest first."""
        return list(reversed(self._by_id.values()))

    def find(self, alert_id: str) -> Alert:
        """By id.

        Raises:
            NotFound: there is none.
        """
        try:
            return self._by_id[alert_id]
        except KeyError:
            raise NotFound(f"there is no alert {alert_id}; `timeball inspector alerts` lists them") from None


def shown(alert: Alert, *, full: bool, ignored: str = "") -> dict[str, Any]:
    """As JSON-able values. `ignored` is the id of what is in force against it already."""
    rule, seen = alert.rule, alert.seen
    kind = f"different {rule.count_of.rpartition('.')[2]}s" if rule.count_of else "packets"
    many = f"{'' if seen.exact else 'at least ' if rule.count_of else 'about '}{alert.count:,} {kind}"
    if ignored:
        policy = {"kind": "ignored", "says": f"{alert.prefix} is ignored already", "prefix": alert.prefix}
    elif rule.remedy == "ignore":
        policy = {"kind": "ignore", "says": f"ignore NTP packets from {alert.prefix}", "prefix": alert.prefix}
    else:
        policy = {"kind": rule.remedy, "says": _REMEDIES[rule.remedy], "prefix": ""}
    return {
        "id": alert.id,
        "rule": rule.id,
        "severity": rule.severity,
        "what": rule.title,
        "why": rule.why,
        "who": str(seen.address) if full else alert.prefix,
        "service": seen.service,
        "since": alert.since_s,
        "last": alert.last_s,
        "times": alert.times,
        "count": alert.count,
        "exact": seen.exact,
        "counted": many,
        "text": f"{rule.title}: {many} within {rule.within_s:g} s, last from {seen.address if full else alert.prefix}",
        "sample": seen.sample,
        "dissected": seen.shown,
        "policy": policy,
        "ignored": ignored,
    }
