"""The monitor's operations: log, scoring figures, ad hoc probe, and the NTP Pool's own addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from aiohttp import web
from pydantic import Field

from appliance.api.config import PluginConfig
from appliance.api.contrib import Retention, Route
from appliance.api.errors import Invalid, NotFound, Refused, StoreError
from appliance.api.model import Member
from appliance.api.services import Members
from appliance.core.paging import LARGEST_ID, link
from appliance.core.routes import NARROWED, Reply, Request
from appliance_monitor import answers, classic, keeping, log_query
from appliance_monitor.history import as_csv
from appliance_monitor.past import as_file, member_of, past_routes
from appliance_monitor.score import DECAY, POOL_SCORE, START
from appliance_monitor.sighting_routes import sighting_routes
from appliance_monitor.steps import TABLE
from appliance_monitor.target import parse_target

if TYPE_CHECKING:
    import sqlite_utils

    from appliance.api.context import SetupContext
    from appliance_monitor.service import Monitor

_LOG_COLUMNS = ("ts", "monitor", "offset_s", "rtt_s", "stratum", "leap", "step", "score", "error", "rule")


class LogQuery(PluginConfig):
    """The newest rows of the log."""

    limit: int = Field(100, ge=1, le=10_000)
    member: str = Field("", description="id, address or name; all when empty")
    rule: str = Field("", max_length=60, description="only what this rule judged")
    show: log_query.Show = Field(
        "",
        description="lost: without a time; cost: what took points, or was lost; below: less than full marks, or lost",
    )
    since: float | None = Field(None, ge=0, le=2**40, description="epoch seconds")
    until: float | None = Field(None, ge=0, le=2**40, description="epoch seconds")
    before: int | None = Field(
        None, ge=1, le=LARGEST_ID, description="rows older than the one of this id; see the Link header"
    )


class ExportQuery(PluginConfig):
    """The whole log, or what passes a filter, as a file."""

    format: log_query.Format = Field("csv", description="ntppool: columns as the NTP Pool's log has them")
    member: str = Field("", description="id, address or name; all when empty")
    rule: str = Field("", max_length=60, description="only what this rule judged")
    show: log_query.Show = Field("", description="as for the log")
    since: float | None = Field(None, ge=0, le=2**40, description="epoch seconds")
    until: float | None = Field(None, ge=0, le=2**40, description="epoch seconds")


class ProbesQuery(PluginConfig):
    """The newest rows of one member."""

    limit: int = Field(100, ge=1, le=10_000)
    before: int | None = Field(
        None, ge=1, le=LARGEST_ID, description="rows older than the one of this id; see the Link header"
    )


class ClassicQuery(PluginConfig):
    """The NTP Pool's parameters."""

    limit: int = Field(classic.DEFAULT_LIMIT, ge=1)
    since: float | None = Field(None, ge=0, le=2**40)
    monitor: str = ""
    full_history: str = ""


class ProbeBody(PluginConfig):
    """What to look at."""

    target: str = Field(
        description='an address with or without port, such as "192.0.2.1" or "[2001:db8::1]:123"'
    )
    samples: int | None = Field(None, ge=1, le=8)


def monitor_routes(ctx: SetupContext, monitor: Monitor, retention: Retention) -> tuple[Route, ...]:
    """All routes."""
    op = _Operations(ctx, monitor)
    return (
        *past_routes(ctx, monitor, retention),
        *sighting_routes(ctx, monitor),
        Route(
            "GET",
            "/api/v1/log",
            op.log,
            "servers:read",
            "The newest probes with the rule that fired",
            query=LogQuery,
            own=NARROWED,
            returns=answers.LOG,
        ),
        Route(
            "GET",
            "/api/v1/members/{id}/probes",
            op.probes,
            "servers:read",
            "A member's newest probes",
            query=ProbesQuery,
            own="id",
            returns=answers.PROBES,
        ),
        Route(
            "GET",
            "/api/v1/scores",
            op.scores,
            "servers:read",
            "Where every member stands, and why",
            own=NARROWED,
            returns=answers.SCORES,
        ),
        Route(
            "GET",
            "/api/v1/log.csv",
            op.log_csv,
            "servers:read",
            "The same as CSV",
            query=LogQuery,
            produces=("text/csv",),
            own=NARROWED,
        ),
        Route(
            "GET",
            "/api/v1/log/export",
            op.export,
            "servers:read",
            "The log as a file of any length: CSV, JSON, NDJSON or the NTP Pool's columns",
            query=ExportQuery,
            stream=True,
            produces=("text/csv", "application/json", "application/x-ndjson"),
            own=NARROWED,
        ),
        Route(
            "GET",
            "/api/v1/scoring",
            op.scoring,
            "monitors:read",
            "The scorer's rules and the lines that charts draw",
            returns=answers.SCORING,
        ),
        Route(
            "GET",
            "/api/v1/monitor",
            op.state,
            "monitors:read",
            "Whether the monitor can judge, and what it is doing",
            returns=answers.STATE,
        ),
        Route(
            "POST",
            "/api/v1/probe",
            op.probe,
            "monitors:probe",
            "Look at any server once; scores nothing",
            body=ProbeBody,
            own=NARROWED,
            returns=answers.PROBE,
        ),
        Route(
            "GET",
            "/scores/{ip}/json",
            op.classic_json,
            "scores:read",
            "Scores in the NTP Pool's own shape",
            query=ClassicQuery,
            returns=answers.CLASSIC,
        ),
        Route(
            "GET",
            "/scores/{ip}/log",
            op.classic_log,
            "scores:read",
            "Scores in the NTP Pool's own CSV",
            query=ClassicQuery,
            produces=("text/plain",),
        ),
    )


class _Operations:
    def __init__(self, ctx: SetupContext, monitor: Monitor) -> None:
        self._ctx = ctx
        self._monitor = monitor

    async def log(self, request: Request) -> Reply:
        return _paged(request, await self._log_rows(request))

    async def probes(self, request: Request) -> Reply:
        """From the database; from memory while it cannot be read."""
        member, query = self._member(request.params["id"]), request.query_model
        try:
            return _paged(request, await self._rows(query.limit, member.id, before=query.before))
        except StoreError:
            recent = self._monitor.recent(member.id, query.limit)
            return Reply([{"member": member.id, **row} for row in recent])

    async def _log_rows(self, request: Request) -> list[dict[str, Any]]:
        query: LogQuery = request.query_model
        wanted = self._filter(request, query)
        return await self._log_page(wanted, query.limit, query.before, by_id=wanted.member is None)

    def _filter(self, request: Request, query: LogQuery | ExportQuery) -> log_query.Filter:
        among = None
        if request.only:
            if query.member:
                self._check_own(request, query.member)
            among = tuple(self._seen_by(request))
        member = self._member(query.member).id if query.member else None
        return log_query.Filter(member, query.rule, query.show, query.since, query.until, among)

    def _seen_by(self, request: Request) -> Mapping[str, Member]:
        """The members that the asker may see."""
        members = self._ctx.get(Members).table.get()  # type: ignore[type-abstract]
        return {k: m for k, m in members.items() if m.owner == request.only} if request.only else members

    def _check_own(self, request: Request, key: str) -> None:
        """Raises Refused when the asker may no more than what is his, and `key` is not."""
        if request.only and self._ctx.get(Members).owner_of(key) != request.only:  # type: ignore[type-abstract]
            raise Refused(f"{key} is none of yours")

    async def _log_page(
        self, wanted: log_query.Filter, limit: int, before: int | None, *, by_id: bool = True
    ) -> list[dict[str, Any]]:
        where, values = wanted.conditions()
        return await self._select(where, values, limit, before=before, newest_by_id=by_id)

    async def export(self, request: Request) -> web.StreamResponse:
        query: ExportQuery = request.query_model
        wanted = self._filter(request, query)
        names = {key: member.address for key, member in self._seen_by(request).items()}
        pieces = log_query.texts(
            lambda before, limit: self._log_page(wanted, limit, before), query.format, names
        )
        return await log_query.send(request.raw, pieces, query.format)

    async def scores(self, request: Request) -> list[dict[str, Any]]:
        members = self._seen_by(request)
        return [
            {"address": members[key].address, "port": members[key].port, **asdict(verdict)}
            for key, verdict in self._monitor.verdicts.get().items()
            if key in members
        ]

    async def log_csv(self, request: Request) -> Reply:
        rows = await self._log_rows(request)
        file = as_file(as_csv(rows, ("member", *_LOG_COLUMNS)), "log.csv")
        return replace(file, headers={**file.headers, **_paged(request, rows).headers})

    async def _rows(
        self,
        limit: int,
        member: str | None,
        *,
        since: float | None = None,
        before: int | None = None,
        oldest_first: bool = False,
    ) -> list[dict[str, Any]]:
        where: list[str] = []
        values: list[Any] = []
        if member is not None:
            where.append("member = ?")
            values.append(member)
        if since is not None:
            where.append("ts >= ?")
            values.append(since)
        return await self._select(
            where, values, limit, before=before, newest_by_id=member is None, oldest_first=oldest_first
        )

    async def _select(
        self,
        where: Sequence[str],
        values: Sequence[Any],
        limit: int,
        *,
        before: int | None,
        newest_by_id: bool,
        oldest_first: bool = False,
    ) -> list[dict[str, Any]]:
        """Rows of the table; `where` is our own words, `values` anything."""
        await self._ctx.store.flush()
        conditions, arguments = [*where], [*values]
        if before is not None:
            conditions.append("id < ?")
            arguments.append(before)
        order = "id" if newest_by_id or before is not None else "ts"
        sql = (
            f"SELECT id, member, {', '.join(_LOG_COLUMNS)} FROM {keeping.PROBES}"  # noqa: S608 - our own words only
            + (f" WHERE {' AND '.join(conditions)}" if conditions else "")
            + f" ORDER BY {order} {'' if oldest_first else 'DESC'} LIMIT ?"
        )

        def read(db: sqlite_utils.Database) -> list[dict[str, Any]]:
            rows = db.execute(sql, (*arguments, limit)).fetchall()
            return [dict(zip(("id", "member", *_LOG_COLUMNS), row, strict=True)) for row in rows]

        return await self._ctx.store.read(read)

    async def scoring(self, request: Request) -> dict[str, Any]:
        config, policy = self._monitor.config, self._monitor.policy
        full = 0.025 if config.profile == "ntppool" else 0.075
        return {
            "profile": config.profile,
            "good_s": full,
            "limit_s": config.tolerance_s,
            "enter_score": policy.enter,
            "leave_score": policy.leave if not policy.plain else policy.enter,
            "pool_score": POOL_SCORE,
            "start_score": START,
            "decay": DECAY,
            "top": 20.0,
            "bottom": -100.0,
            "gate": config.gate,
            "rules": [
                {"rule": line.id, "when": line.when, "step": line.worth, "cap": line.cap}
                for line in TABLE
                if config.profile in line.profiles
            ],
        }

    async def state(self, request: Request) -> dict[str, Any]:
        monitor = self._monitor
        return {
            "name": monitor.config.name,
            "trouble": monitor.trouble,
            "verdicts_age_s": monitor.verdicts.age_s(),
            "in_flight": monitor.in_flight(),
            "kernel_timestamps": monitor.sampler.kernel_stamps,
            "results": dict(monitor.results),
        }

    async def probe(self, request: Request) -> dict[str, Any]:
        body: ProbeBody = request.body
        try:
            target = parse_target(body.target)
        except ValueError as error:
            raise Invalid(str(error), errors={"target": str(error)}) from None
        at = f"[{target.address}]" if ":" in target.address else target.address
        self._check_own(request, f"{at}:{target.port}")
        result = await self._monitor.probe(target, samples=body.samples)
        from appliance_monitor.view import told

        return told(result, self._monitor.rules())

    async def classic_json(self, request: Request) -> dict[str, Any]:
        member, rows = await self._classic(request)
        overall = request.query_model.monitor == ""
        return classic.as_json(member.address, rows, self._monitor.config.name, overall=overall)

    async def classic_log(self, request: Request) -> Reply:
        _, rows = await self._classic(request)
        # Browsers show text/plain; text/csv they would save.
        return Reply(
            classic.as_log(rows), headers={"Content-Disposition": "inline"}, content_type="text/plain"
        )

    async def _classic(self, request: Request) -> tuple[Member, list[dict[str, Any]]]:
        member = self._member(request.params["ip"])
        query: ClassicQuery = request.query_model
        name = self._monitor.config.name
        if query.monitor not in ("", "*", str(classic.MONITOR_ID)) and not name.startswith(query.monitor):
            raise NotFound(f"there is no monitor {query.monitor}")
        now = self._ctx.clock.wall_ns() / 1e9
        # As there, `since=0` is as good as none.
        since = query.since or now - classic.LOOKBACK_S
        limit = min(query.limit, classic.MOST)
        return member, await self._rows(limit, member.id, since=since, oldest_first=bool(query.since))

    def _member(self, key: str) -> Member:
        return member_of(self._ctx, key)


def _paged(request: Request, rows: list[dict[str, Any]]) -> Reply:
    """Newest rows first, with the way to older ones."""
    full = len(rows) == request.query_model.limit
    older = {"before": rows[-1]["id"]} if full and rows else None
    return Reply(rows, headers=link(request.path, request.query, next=older))
