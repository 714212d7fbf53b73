"""What hooks return: frozen descriptions. Hooks describe, the host runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from appliance.api.model import Level
from appliance.api.probing import ProbeKind, ScoreRule
from appliance.api.zone import AnswerRecord, AnswerSource, Candidate, LiveName, LiveQuestion

__all__ = [
    "SAFE_METHODS",
    "AnswerRecord",
    "AnswerSource",
    "Candidate",
    "Finding",
    "Fix",
    "HealthCheck",
    "LiveName",
    "LiveQuestion",
    "Metric",
    "Migration",
    "PacketPolicy",
    "Panel",
    "PolicyRule",
    "ProbeKind",
    "Retention",
    "Rollup",
    "Route",
    "Scope",
    "ScoreRule",
]

#: "area:verb" as in "servers:write"; "public"; or "read", "operate", "admin" in the plugin's own area.
Scope = str
#: Methods that change nothing (RFC 9110 section 9.2.1).
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Menu:
    """A page's place in the navigation; who may not open the page does not see it there.

    Attributes:
        name: one or two words.
        group: "pool" what the pool is about, "box" what this machine is about; "first" stands in the row of the few that
            are looked at every day, which are ours.
        order: small numbers first within the group.
    """

    name: str
    group: Literal["first", "pool", "box"] = "pool"
    order: int = 100


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the API, or one page.

    Attributes:
        method: "GET", "POST", "PATCH", "PUT", "DELETE".
        path: aiohttp-style. Absolute ("/api/v1/members/{id}") if no other plugin has it, else relative ("hello"),
            which is mounted at "/p/<plugin>/hello".
        handler: `async handler(request: Request) -> JSON-able value or Reply` (both in `appliance.api.http`), or an
            aiohttp response.
        scope: what one must be allowed to do: "area:verb" as in "servers:write" (`appliance.api.actor` has the roles that
            may), "public" for anybody, or one of "read", "operate", "admin", which mean that verb in an area named
            after the plugin. A route without a scope is a mistake: its plugin is not started.
        own: for whom the scope holds only for what is his own ("servers:read-own"): the part of the path that names what has
            an owner, such as "id", or "narrowed" when the handler leaves out whatever is not `request.only`'s. "": nobody
            gets in without the whole scope.
        summary: one line for the API documentation.
        body: model that a JSON body is validated against; the handler finds the result in `request.body`.
        query: model for the query string; the handler finds the result in `request.query_model`.
        returns: JSON Schema (or pydantic model) of the answer when it was done, for the documentation.
        stream: a live stream; not in the OpenAPI schema tests.
        page: an HTML page: absent from the OpenAPI document and from the admin socket's index.
        menu: for a page that stands in the navigation.
        produces: media types of that answer, for the documentation.
        status: of the answer when it was done, for the documentation.
        also: other statuses with the same kind of answer, such as 503 of a health check, for the documentation.
        refuses: HTTP statuses it refuses with besides those that any operation has, for the documentation.
        audit: whether each use is written down for ever: who, from where, what, with which result. None: when the
            method changes something. A form that only does an operation of the API says False: that one is recorded.
            What was refused is recorded anyway.
        csrf: whether a request with a browser's session must come from our own pages. None: when the method changes
            something.
        confirm: True: a person must have given the password within the last minutes; no token has one. Words: only what they
            name needs it, as in "switching a plugin on": the handler finds out and calls `request.needs_password`.
        max_body: bytes; a larger body is refused before it is read.
        as_it_comes: the handler reads the body itself from `request.raw.content`, after it was found that the actor may: for
            files that are larger than memory. `max_body` says how long it may take; the handler minds the size.
        secret: body or answer hold a password, a token or the like: nobody on the way keeps either.
        plain: whether other machines may use it over plain HTTP, where everybody can read it. None: when it is public
            and changes nothing.
    """

    method: str
    path: str
    handler: Callable[[Any], Awaitable[Any]]
    scope: Scope = ""
    summary: str = ""
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    returns: type[BaseModel] | Mapping[str, Any] | None = None
    stream: bool = False
    page: bool = False
    produces: tuple[str, ...] = ("application/json",)
    audit: bool | None = None
    csrf: bool | None = None
    confirm: bool | str = False
    status: int = 200
    also: tuple[int, ...] = ()
    refuses: tuple[int, ...] = ()
    max_body: int = 64 * 1024
    plain: bool | None = None
    secret: bool = False
    as_it_comes: bool = False
    own: str = ""
    menu: Menu | None = None

    @property
    def unsafe(self) -> bool:
        """Whether its method may change something."""
        return self.method not in SAFE_METHODS

    @property
    def audited(self) -> bool:
        return self.unsafe if self.audit is None else self.audit

    @property
    def in_the_clear(self) -> bool:
        """Whether other machines may use it over plain HTTP."""
        return self.scope == "public" and not self.unsafe if self.plain is None else self.plain

    @property
    def same_origin(self) -> bool:
        """Whether a browser's request must come from our own pages."""
        return self.unsafe if self.csrf is None else self.csrf


@dataclass(frozen=True, slots=True)
class Panel:
    """A card on the overview page.

    Attributes:
        id: unique within the plugin.
        title: above the card.
        data: async callable; returns JSON-able values for `kind`.
        kind: "facts" -> {"verdict": str, "level": "ok|none|degraded|failing", "facts": [[label, value], ...],
            "spark": [numbers] (optional)}; "table" -> {"columns": [...], "rows": [[...], ...]}.
        order: small numbers first.
        link: page with more, or "".
    """

    id: str
    title: str
    data: Callable[[], Awaitable[Mapping[str, Any]]]
    kind: Literal["facts", "table"] = "facts"
    order: int = 100
    link: str = ""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family.

    Attributes:
        name: without the product's prefix; base units; counters end in "_total".
        help: one line for whoever finds it.
        kind: a counter only ever grows.
        labels: names of the labels, or none.
        read: must not block; returns a number, or pairs of (label values, number) when `labels` is given.
    """

    name: str
    help: str
    kind: Literal["counter", "gauge"]
    read: Callable[[], float | Iterable[tuple[tuple[str, ...], float]]]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fix:
    """A repair that the doctor can do when a person says so: safe, small, and with a way back.

    Attributes:
        says: exactly what it will do, before it does it.
        apply: does it; returns what was done, in words. Raises ApiError with the reason when it cannot.
        undo: takes it back in the same way; None when there is nothing to take back.
        root: it changes the system and not only the appliance's own files.
    """

    says: str
    apply: Callable[[], Awaitable[str]]
    undo: Callable[[], Awaitable[str]] | None = None
    root: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        text: what is wrong, in one sentence.
        level: how bad it is; None: as bad as the check says.
        info: not wrong, only worth knowing.
        evidence: what it was seen by: figures, paths, names of processes.
        remedy: what a person can do; "" for the check's own.
        why: why it matters to those who are served; "" for the check's own.
        commands: the remedy, to be typed.
        fix: the remedy, done by the doctor.
        id: tells several findings of one check apart.
    """

    text: str
    level: Level | None = None
    info: bool = False
    evidence: tuple[str, ...] = ()
    remedy: str = ""
    why: str = ""
    commands: tuple[str, ...] = ()
    fix: Fix | None = None
    id: str = ""


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A question with an answer in words.

    Attributes:
        name: of the question, unique within the plugin.
        timeout_s: an answer that takes longer counts as wrong.
        ping: returns None when all is well, else what is wrong: a sentence, a `Finding`, or several; raising counts as wrong.
        level: how bad it is when wrong.
        remedy: what a person can do.
        why: why it matters to those who are served.
        well: what the doctor says when all is well; "" for the name.
    """

    name: str
    ping: Callable[[], Awaitable[str | Finding | Sequence[Finding] | None]]
    level: Level = Level.DEGRADED
    timeout_s: float = 5.0
    remedy: str = ""
    why: str = ""
    well: str = ""


@dataclass(frozen=True, slots=True)
class Rollup:
    """Summaries that remain when rows go.

    Attributes:
        bucket_s: seconds that each summary covers.
        keep_days: how long they live; None: for ever.
    """

    bucket_s: int
    keep_days: float | None


@dataclass(frozen=True, slots=True)
class Retention:
    """How long the rows of an append-only table live, and what remains of them. The host deletes and rolls up.

    Attributes:
        table: "<plugin>__name", with a column `ts` (epoch seconds, float or integer).
        raw_days: rows older than this are deleted.
        key: columns that make a series.
        values: numeric columns; each roll-up row keeps n, min, mean and max of each (nulls do not count).
        rollups: tables "<table>_<bucket_s>".
        spread: those of `values` of which roll-ups keep also how they are spread, so that charts have median and quantiles.
        indexed: columns that the index of a series (its key and ts) holds besides, after the order of time: what asks a long time
            for these alone reads none of the rows, which lie among those of all other series.
    """

    table: str
    raw_days: float
    key: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    rollups: tuple[Rollup, ...] = ()
    spread: tuple[str, ...] = ()
    indexed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of a plugin's schema, applied once, in order, in a transaction, before any `run`.

    Attributes:
        name: of the step, for ever: it is remembered which were applied.
        apply: does it to a `sqlite_utils.Database`.
    """

    name: str
    apply: Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """What the NTP service does with a prefix: the longest match wins.

    Attributes:
        prefix: CIDR text.
        action: "allow", "ignore" (silence) or "deny" (kiss code DENY).
    """

    prefix: str
    action: Literal["allow", "ignore", "deny"]


@dataclass(frozen=True, slots=True)
class PacketPolicy:
    """Rules for packets as data, compiled into the data plane.

    Attributes:
        rules: what holds.
        order: of equal prefixes in two policies that of the lower order counts.
        current: asked about once a second when the rules can change; then `rules` is what holds at the start.
    """

    rules: tuple[PolicyRule, ...] = field(default=())
    order: int = 100
    current: Callable[[], Iterable[PolicyRule]] | None = None
