"""The zone as the DNS page shows it: where it is served, its names, and whether its answers are fair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from appliance.core import ordering
from appliance_web import words
from appliance_web.charts import share_bar
from appliance_web.views.standing import number

#: Names and shares on the page; the API has all of them.
SHOWN = 50


#: Outcomes that are no RCODE, in words.
_OUTCOMES = {
    "limited": "dropped by the rate limit",
    "limited_truncated": "sent to TCP by the rate limit",
    "limited_badcookie": "asked for a cookie by the rate limit",
    "queue_full": "refused, too many at once for live names",
    "too_late": "dropped, waited too long for a live name",
}


#: The setting `on_empty` in words.
_ON_EMPTY = {
    "nodata": "no address is given",
    "servfail": "SERVFAIL is replied",
    "last_good": "those who were good last are given",
    "fallback": "the fallback addresses are given",
}


@dataclass(frozen=True, slots=True)
class ZoneName:
    """A name that gives members, and how many addresses of each family it draws from."""

    name: str
    ipv4: int
    ipv6: int


@dataclass(frozen=True, slots=True)
class ShareRow:
    """How many answers held an address, beside how many its weight entitles it to."""

    address: str
    given: float
    fair: float
    bar: Markup
    fair_bar: Markup


@dataclass(frozen=True, slots=True)
class LimitedRow:
    """A network that was sent fewer replies than it asked for."""

    network: str
    when: str
    limited: float


@dataclass(frozen=True, slots=True)
class Bare:
    """A family of addresses that the pool has servers of, of which none may be answered now.

    Attributes:
        addresses: that are answered instead.
        said: why, and what is answered.
    """

    family: int
    addresses: int
    said: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What the pool's name gives, as DNS itself counts it.

    Attributes:
        listening: whether there is a socket at all.
        usable, members: servers that may be answered, and all.
        on_empty: what is answered when nobody is usable, as configured.
        own: addresses that the pool's own name may give, stand-ins too.
        bare: families with servers of whom nobody is usable at that name.
    """

    listening: bool
    usable: int
    members: int
    on_empty: str
    own: int = 0
    bare: Sequence[Bare] = ()

    @property
    def stand_ins(self) -> int:
        """Addresses that are answered for lack of usable servers."""
        return sum(b.addresses for b in self.bare)


@dataclass(frozen=True, slots=True)
class Zone:
    """What DNS tells of its zone.

    Attributes:
        host, port: where to ask it.
        stale: the answers are older than they should be.
        facts: label and value.
        standing: what its name gives, or None while DNS does not tell.
    """

    name: str
    serial: int | None
    host: str
    port: int
    stale: bool
    facts: Sequence[tuple[str, str]]
    names: Sequence[ZoneName]
    problems: Sequence[str]
    shares: Sequence[ShareRow]
    limited: Sequence[LimitedRow] = ()
    standing: Standing | None = None


def zone(apex: Mapping[str, Any], service: Any) -> Zone:
    """The zone.

    Args:
        apex: `AnswerTable.explain` of the zone itself.
        service: the answer of /api/v1/dns, or None.
    """
    told: Mapping[str, Any] = service if isinstance(service, Mapping) else {}
    serial = number(apex.get("serial"))
    host, port = _endpoint(told.get("listen") or ())
    names = [
        ZoneName(
            str(n.get("name", "")).rstrip("."), int(number(n.get("a")) or 0), int(number(n.get("aaaa")) or 0)
        )
        for n in told.get("names") or ()
    ]
    return Zone(
        name=str(apex.get("name", "")).rstrip("."),
        serial=None if serial is None else int(serial),
        host=host,
        port=port,
        stale=bool(apex.get("stale")),
        facts=_facts(told),
        names=[n for n in names if n.ipv4 or n.ipv6][:SHOWN],
        problems=[str(p) for p in told.get("problems") or ()],
        shares=_shares(told.get("shares") or ()),
        limited=[
            LimitedRow(
                str(row.get("network", "")),
                "now" if row.get("active") else "earlier",
                number(row.get("limited")) or 0.0,
            )
            for row in (told.get("limited") or ())[:SHOWN]
        ],
        standing=_standing(told),
    )


def _standing(told: Mapping[str, Any]) -> Standing | None:
    usable, members = number(told.get("members_usable")), number(told.get("members"))
    if usable is None or members is None:
        return None
    return Standing(
        listening=bool(told.get("listen")),
        usable=int(usable),
        members=int(members),
        on_empty=str(told.get("on_empty", "")),
        own=sum(
            int((number(n.get("a")) or 0) + (number(n.get("aaaa")) or 0))
            for n in told.get("names") or ()
            if n.get("zone") == "@" and str(n.get("name", "")).rstrip(".") == str(told.get("zone", ""))
        ),
        bare=[
            Bare(
                int(number(e.get("family")) or 4),
                int(number(e.get("addresses")) or 0),
                str(e.get("said", "")),
            )
            for e in told.get("empty") or ()
            if e.get("zone") == "@"
        ],
    )


def _endpoint(listen: Sequence[Any]) -> tuple[str, int]:
    """Where to ask: the first address, an unspecified one read as loopback."""
    host, _, port = (str(listen[0]) if listen else "").rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdigit():
        return "127.0.0.1", 53
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), int(port)  # noqa: S104 - read, not bound


def _facts(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    pairs = [
        ("Serial", str(told.get("serial", ""))),
        ("Time to live", f"{told['ttl']} s" if "ttl" in told else ""),
        ("Remembered that a name is not there", f"{told['minimum']} s" if "minimum" in told else ""),
        ("Addresses in an answer", f"at most {told['max_records']}" if "max_records" in told else ""),
        (
            "Members usable",
            f"{told['members_usable']} of {told.get('members')}" if "members_usable" in told else "",
        ),
        (
            "When nobody is usable",
            _ON_EMPTY.get(str(told.get("on_empty", "")), str(told.get("on_empty", ""))),
        ),
        ("Listens on", ", ".join(str(e) for e in told.get("listen") or ())),
        ("Name servers", ", ".join(str(n).rstrip(".") for n in told.get("name_servers") or ())),
    ]
    queries: dict[str, float] = {}
    for counter in told.get("counters") or ():
        outcome = str(counter.get("outcome"))
        queries[outcome] = queries.get(outcome, 0.0) + (number(counter.get("queries")) or 0.0)
    pairs += [
        (f"Queries: {_OUTCOMES.get(outcome, outcome)}", words.count(n))
        for outcome, n in sorted(queries.items())
    ]
    return [(label, value) for label, value in pairs if value]


def _shares(rows: Sequence[Mapping[str, Any]]) -> list[ShareRow]:
    """The largest fair shares first, all bars on one scale."""
    values = [
        (str(r.get("address", "")), number(r.get("answers")) or 0.0, number(r.get("fair")) or 0.0)
        for r in rows
    ]
    most = max((max(given, fair) for _, given, fair in values), default=0.0) or 1.0
    return [
        ShareRow(
            address,
            given,
            fair,
            share_bar(given / most, f"{given:.0f} answers"),
            share_bar(fair / most, f"{fair:.0f} would be fair"),
        )
        for address, given, fair in sorted(values, key=lambda v: (-v[2], ordering.address(v[0])))[:SHOWN]
    ]
