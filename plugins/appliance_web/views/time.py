"""The time page: what is served, and who asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup

from appliance_web import words
from appliance_web.charts import share_bar
from appliance_web.views.standing import Sentence, Shape, number

#: Clients on one page.
PAGE = 50
#: What the table can be sorted by, and the heading that does it.
SORTS: Mapping[str, str] = {
    "packets": "Requests",
    "rate": "A second",
    "dropped": "Refused",
    "last_seen": "Last seen",
}
_STATES: Mapping[str, tuple[Shape, str]] = {
    "free": ("none", "answered"),
    "exempt": ("none", "exempt"),
    "within": ("ok", "answered"),
    "over": ("degraded", "over its limit"),
    "insists": ("degraded", "insists"),
}
_LEVELS: Mapping[str, Shape] = {"ok": "ok", "degraded": "degraded", "failing": "failing"}


@dataclass(frozen=True, slots=True)
class Query:
    """What the address line asks for; anything it does not understand is as if it were not there."""

    prefix: str = ""
    sort: str = "packets"
    page: int = 1

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Query:
        page = query.get("page", "1")
        sort = query.get("sort", "")
        return cls(
            query.get("prefix", "").strip()[:64],
            sort if sort in SORTS else "packets",
            max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 6 else 1,
        )

    @property
    def asked(self) -> dict[str, str]:
        """The same for the API."""
        asked = {"sort": self.sort, "limit": str(PAGE), "offset": str((self.page - 1) * PAGE)}
        return asked | ({"prefix": self.prefix} if self.prefix else {})

    @property
    def file(self) -> str:
        """The query string of the whole list as a file."""
        return urlencode(
            {"limit": "100000", "sort": self.sort} | ({"prefix": self.prefix} if self.prefix else {})
        )

    def link(self, **changes: str | int) -> str:
        """The query string with some values replaced; usual ones are left out."""
        values: dict[str, str | int] = {"prefix": self.prefix, "sort": self.sort, "page": self.page}
        values |= changes
        usual: dict[str, str | int] = {"prefix": "", "sort": "packets", "page": 1}
        return "?" + urlencode({k: v for k, v in values.items() if v != usual[k]})


@dataclass(frozen=True, slots=True)
class ClientRow:
    """One client."""

    client: str
    packets: str
    share: str
    bar: Markup
    rate: str
    refused: str
    last_seen: float | None
    version: str
    shape: Shape
    word: str
    why: str


@dataclass(frozen=True, slots=True)
class Clients:
    """One page of the clients.

    Attributes:
        room: how many could be known; 0 when nobody is remembered.
        wrong: why the prefix cannot be filtered by, or "".
    """

    rows: Sequence[ClientRow]
    verdict: str
    room: int
    known: int
    matching: int
    first: int
    pages: int
    wrong: str = ""

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1


def clients(value: Any, query: Query, wrong: str = "") -> Clients | None:
    """From GET /api/v1/ntp/clients; None when it cannot be had."""
    if wrong:
        return Clients((), "", 1, 1, 0, 0, 1, wrong)
    if not isinstance(value, Mapping):
        return None
    rows = [_row(row) for row in value.get("clients") or () if isinstance(row, Mapping)]
    matching = int(number(value.get("matching")) or 0)
    return Clients(
        rows,
        str(value.get("verdict", "")),
        int(number(value.get("room")) or 0),
        int(number(value.get("known")) or 0),
        matching,
        (query.page - 1) * PAGE + 1 if rows else 0,
        max(1, -(-matching // PAGE)),
    )


def _row(row: Mapping[str, Any]) -> ClientRow:
    share = number(row.get("share")) or 0.0
    refused = (number(row.get("dropped")) or 0) + (number(row.get("kisses")) or 0)
    shape, word = _STATES.get(str(row.get("state")), ("none", str(row.get("state"))))
    return ClientRow(
        client=str(row.get("client", "")),
        packets=words.count(number(row.get("packets"))),
        share=words.percent(share),
        bar=share_bar(share, f"{words.percent(share)} of all requests of known clients"),
        rate=rate(number(row.get("rate_per_s"))),
        refused=words.count(refused),
        last_seen=number(row.get("last_seen")),
        version=f"v{row.get('version', '')}",
        shape=shape,
        word=word,
        why=str(row.get("why", "")),
    )


def rate(value: float | None) -> str:
    """Requests a second with about three digits."""
    if value is None:
        return words.DASH
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def sentence(ntp: Any, known: Clients | None) -> Sentence:
    """The page's verdict."""
    if not isinstance(ntp, Mapping):
        return Sentence(
            "failing", "Time is not served.", "The time service is not running; see Plugins for the reason."
        )
    shape = _LEVELS.get(str(ntp.get("level")), "none")
    replied = _rate_of(ntp, "replied_per_s")
    text = f"{str(ntp.get('verdict', '')).rstrip('.')}, {rate(replied)} replies a second."
    told = ntp.get("clients")
    more = known.verdict if known else str(told.get("verdict", "")) if isinstance(told, Mapping) else ""
    return Sentence(shape, text, f"{more}." if more else "")


def _rate_of(ntp: Mapping[str, Any], name: str) -> float:
    rates = ntp.get("rates")
    found = rates.get(name) if isinstance(rates, Mapping) else None
    return (number(found.get("10")) if isinstance(found, Mapping) else None) or 0.0


def facts(ntp: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What serves, where, and how much each client is answered."""
    plane, limit = ntp.get("plane") or {}, (ntp.get("clients") or {}).get("limit")
    found = [
        ("Listens on", ", ".join(str(e) for e in ntp.get("listen") or ()) or "nothing"),
        ("Data plane", f"{plane.get('name', '')}: {plane.get('why', '')}"),
    ]
    if plane.get("faster"):
        found.append(("Faster", str(plane["faster"])))
    found.append(("Requests a second", rate(_rate_of(ntp, "received_per_s"))))
    if limit is None:
        found.append(("Limit", "none: every client is answered as often as it asks"))
    else:
        spacing = words.duration(number(limit.get("interval_s")))
        found.append(
            (
                "Limit",
                f"one reply in {spacing} on average to each IPv4 address, {limit.get('burst')} in a row",
            )
        )
        found.append(("Not limited", ", ".join(str(e) for e in limit.get("exempt") or ()) or "nobody"))
    found += _beyond_time(ntp)
    found += [(f"Not on {e}", str(why)) for e, why in (ntp.get("missing") or {}).items()]
    return found


def _beyond_time(ntp: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What some clients get beside the time: a proof that it is ours, and when replies really left."""
    keys, interleaved = ntp.get("authentication") or {}, ntp.get("interleaved") or {}
    found = []
    if keys.get("keys_file"):
        results = {name: number(count) or 0 for name, count in (keys.get("results") or {}).items()}
        refused = sum(results.values()) - results.get("ok", 0)
        found.append(("Keys", str(keys.get("verdict", ""))))
        found.append(
            ("Authenticated", f"{words.count(results.get('ok', 0))} replies, {words.count(refused)} refused")
        )
    replies = number(interleaved.get("replies"))
    if replies:
        found.append(("In interleaved mode", f"{words.count(replies)} replies"))
    return found


def outcomes(ntp: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What became of the packets, the most frequent first: (why, what was done, how many)."""
    actions = {"reply": "answered", "ignore": "silence", "kiss": "told off"}
    rows = [row for row in ntp.get("outcomes") or () if isinstance(row, Mapping)]
    rows.sort(key=lambda row: -(number(row.get("count")) or 0))
    return [
        (
            str(row.get("text", "")),
            actions.get(str(row.get("action")), str(row.get("action"))),
            words.count(number(row.get("count"))),
        )
        for row in rows
    ]


def same(query: Query) -> list[tuple[str, str]]:
    """The same from elsewhere."""
    return [
        ("CLI", f"timeball ntp clients --by {query.sort}"),
        ("API", f"GET /api/v1/ntp/clients?sort={query.sort}"),
        ("API", "GET /api/v1/ntp"),
    ]
