"""A member's past, asked for: summaries over a window, the same as CSV, and the moments at which its answers changed."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from pydantic import Field

from appliance.api.config import PluginConfig
from appliance.api.contrib import Retention, Route
from appliance.api.errors import Invalid, NotFound
from appliance.api.model import Member
from appliance.api.services import Members
from appliance.core.routes import Reply, Request
from appliance.store.series import Series, read_series
from appliance_monitor import answers
from appliance_monitor.history import COLUMNS, RANGES_S, as_csv, columns, points
from appliance_monitor.turns import SQL as TURNS_SQL
from appliance_monitor.turns import changed, turns

if TYPE_CHECKING:
    import sqlite_utils

    from appliance.api.context import SetupContext
    from appliance_monitor.service import Monitor

_MOST_POINTS = 5000


class HistoryQuery(PluginConfig):
    """A window: `range` back from now, or `from`..`to` in epoch seconds."""

    range: str = Field("6h", description=f"one of {', '.join(RANGES_S)}", pattern=f"^({'|'.join(RANGES_S)})$")
    from_ts: float | None = Field(None, alias="from", ge=0, le=2**40)
    to_ts: float | None = Field(None, alias="to", ge=0, le=2**40)
    points: int = Field(400, ge=2, le=_MOST_POINTS)
    columns: bool = Field(
        default=False, description="one list for each column instead of one object for each point"
    )


def past_routes(ctx: SetupContext, monitor: Monitor, retention: Retention) -> tuple[Route, ...]:
    """All that looks back at one member."""
    op = _Past(ctx, monitor, retention)
    return (
        Route(
            "GET",
            "/api/v1/members/{id}/history",
            op.history,
            "servers:read",
            "Offset, round trip and score over time",
            query=HistoryQuery,
            own="id",
            returns=answers.HISTORY,
        ),
        Route(
            "GET",
            "/api/v1/members/{id}/turns",
            op.turns,
            "servers:read",
            "When it began to answer differently: kiss codes, leap indicator, stratum",
            query=HistoryQuery,
            own="id",
            returns=answers.TURNS,
        ),
        Route(
            "GET",
            "/api/v1/members/{id}/history.csv",
            op.history_csv,
            "servers:read",
            "The same as CSV",
            query=HistoryQuery,
            produces=("text/csv",),
            own="id",
        ),
    )


class _Past:
    def __init__(self, ctx: SetupContext, monitor: Monitor, retention: Retention) -> None:
        self._ctx = ctx
        self._monitor = monitor
        self._retention = retention

    async def history(self, request: Request) -> dict[str, Any]:
        member, series = await self._series(request)
        about = {
            "member": member.id,
            "monitor": self._monitor.config.name,
            "bucket_s": series.bucket_s,
            "step_s": series.step_s,
        }
        if request.query_model.columns:
            return {**about, "columns": columns(series)}
        return {**about, "points": points(series)}

    async def turns(self, request: Request) -> list[dict[str, Any]]:
        """Out of the single probes, which are kept for a shorter time than the summaries."""
        member = member_of(self._ctx, request.params["id"])
        start, end = self._window(request.query_model)

        def read(db: sqlite_utils.Database) -> list[dict[str, Any]]:
            return turns(changed(db.execute(TURNS_SQL, (member.id, start, end))))

        await self._ctx.store.flush()
        return await self._ctx.store.read(read)

    async def history_csv(self, request: Request) -> Reply:
        member, series = await self._series(request)
        return as_file(as_csv(points(series), COLUMNS), f"{member.id}.csv")

    async def _series(self, request: Request) -> tuple[Member, Series]:
        member = member_of(self._ctx, request.params["id"])
        query: HistoryQuery = request.query_model
        start, end = self._window(query)
        await self._ctx.store.flush()
        series = await self._ctx.store.read(
            lambda db: read_series(db, self._retention, (member.id,), start, end, query.points)
        )
        return member, series

    def _window(self, query: HistoryQuery) -> tuple[float, float]:
        """Epoch seconds from and to."""
        end = query.to_ts if query.to_ts is not None else self._ctx.clock.wall_ns() / 1e9 + 1
        start = query.from_ts if query.from_ts is not None else end - RANGES_S[query.range]
        if start >= end:
            raise Invalid("the window is empty", errors={"from": "must lie before to"})
        return start, end


def member_of(ctx: SetupContext, key: str) -> Member:
    """A member by all that names it; an address alone is the first member at it.

    Raises:
        NotFound: there is none.
    """
    members = ctx.get(Members)  # type: ignore[type-abstract]
    try:
        return members.find(key)
    except NotFound:
        # Several ports on one address are several members; the pool's own addresses know no port: take the first.
        try:
            wanted = str(ipaddress.ip_address(key))
        except ValueError:
            raise NotFound(f"there is no member {key}") from None
        for member in members.table.get().values():
            if member.address == wanted:
                return member
        raise


def as_file(text: str, name: str) -> Reply:
    """CSV under a name to save it by."""
    return Reply(text, headers={"Content-Disposition": f'inline; filename="{name}"'}, content_type="text/csv")
