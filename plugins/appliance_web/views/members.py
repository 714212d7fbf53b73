"""The table of members: filtered, sorted and cut into pages by the query string alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from appliance.core.ordering import natural
from appliance_web.views.standing import NEEDS_ATTENTION, Row

#: Rows of a page: as many as stay within 1,500 elements, and as many as somebody may ask for.
PAGE = 50
SIZES = (50, 100)

#: The columns one can sort by, each with its key and whether it starts with the largest.
SORTS: Mapping[str, tuple[Callable[[Row], Any], bool]] = {
    "server": (lambda r: r.order, False),
    "state": (lambda r: r.urgency, False),
    "score": (lambda r: r.score, True),
    "offset": (lambda r: None if r.last.offset_s is None else abs(r.last.offset_s), True),
    "rtt": (lambda r: r.last.rtt_s, True),
    "stratum": (lambda r: r.last.stratum, False),
    "weight": (lambda r: r.member.netspeed, True),
}
STATES = {
    "": "all",
    "in": "in the pool",
    "out": "not in the pool",
    "attention": "need attention",
    "new": "new or unverified",
    "paused": "paused or leaving",
}


@dataclass(frozen=True, slots=True)
class Query:
    """What the address line asks for; anything it does not understand is as if it were not there."""

    q: str = ""
    zone: str = ""
    state: str = ""
    family: str = ""
    sort: str = "state"
    down: bool = False
    page: int = 1
    size: int = PAGE

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Query:
        sort = query.get("sort", "")
        key = sort.removeprefix("-")
        page = query.get("page", "1")
        return cls(
            q=query.get("q", "").strip()[:200],
            zone=query.get("zone", "")[:200],
            state=query.get("state", "") if query.get("state", "") in STATES else "",
            family=query.get("family", "") if query.get("family", "") in ("4", "6") else "",
            sort=key if key in SORTS else "state",
            down=sort.startswith("-"),
            size=next((n for n in SIZES if str(n) == query.get("size", "")), PAGE),
            page=max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 7 else 1,
        )

    def link(self, **changes: str | int) -> str:
        """The query string with some values replaced; empty ones are left out."""
        values: dict[str, str | int] = {
            "q": self.q, "zone": self.zone, "state": self.state, "family": self.family,
            "sort": ("-" if self.down else "") + self.sort, "page": self.page,
            "size": "" if self.size == PAGE else self.size,
        }  # fmt: skip
        values |= changes
        if values["sort"] == "state":
            values["sort"] = ""
        if values["page"] == 1:
            values["page"] = ""
        chosen = {k: v for k, v in values.items() if v != ""}
        return f"?{urlencode(chosen)}" if chosen else "?"

    def sort_link(self, column: str) -> str:
        """Sorts by `column`; a second time turns the order round."""
        if column == self.sort:
            return self.link(sort=column if self.down else f"-{column}", page=1)
        return self.link(sort=f"-{column}" if SORTS[column][1] else column, page=1)

    def sorted_as(self, column: str) -> str | None:
        """The value of aria-sort."""
        if column != self.sort:
            return None
        return "descending" if self.down else "ascending"

    @property
    def filtered(self) -> bool:
        return bool(self.q or self.zone or self.state or self.family)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the table.

    Attributes:
        rows: at most as many as the query's size.
        matching: members that pass the filter; `total`: all.
        zones: for the filter's list.
    """

    query: Query
    rows: Sequence[Row]
    matching: int
    total: int
    pages: int
    zones: Sequence[str]

    @property
    def first(self) -> int:
        return (self.query.page - 1) * self.query.size + 1 if self.rows else 0

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1 if self.rows else 0


def choose(rows: Sequence[Row], query: Query) -> Page:
    """Filter, sort and cut; a page past the end becomes the last one."""
    passing = [r for r in rows if _passes(r, query)]
    key, _ = SORTS[query.sort]
    keyed = [(key(r), r) for r in passing]
    known = sorted(
        (k for k in keyed if k[0] is not None), key=lambda k: (k[0], k[1].order), reverse=query.down
    )
    ordered = [r for _, r in known] + [r for k, r in keyed if k is None]
    pages = max(1, -(-len(ordered) // query.size))
    at = min(query.page, pages)
    if at != query.page:
        query = replace(query, page=at)
    zones = sorted({z for r in rows for z in r.member.zones if z.isprintable()}, key=natural)
    return Page(
        query, ordered[(at - 1) * query.size : at * query.size], len(ordered), len(rows), pages, zones
    )


def _passes(r: Row, query: Query) -> bool:
    if query.family and str(r.member.family) != query.family:
        return False
    if query.zone and query.zone not in r.member.zones:
        return False
    if query.state and not _in_state(r, query.state):
        return False
    if not query.q:
        return True
    member = r.member
    haystack = " ".join(
        (
            member.id,
            member.address,
            member.name,
            member.operator,
            member.note,
            r.word,
            *member.tags,
            *member.zones,
        )
    ).lower()
    return query.q.lower() in haystack


def _in_state(r: Row, state: str) -> bool:
    if state == "attention":
        return r.word in NEEDS_ATTENTION
    if state == "new":
        return r.word in ("new", "unverified")
    if state == "paused":
        return r.word in ("paused", "leaving")
    return r.in_pool == (state == "in")
