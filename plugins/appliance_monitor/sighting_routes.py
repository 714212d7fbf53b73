"""Operations that tell what the probe kinds besides "ntp" found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from appliance.api.config import PluginConfig
from appliance.api.contrib import Route
from appliance.core.paging import link
from appliance.core.routes import Reply, Request
from appliance_monitor import sightings
from appliance_monitor.past import member_of
from appliance_monitor.places import interval_s

if TYPE_CHECKING:
    from appliance.api.context import SetupContext
    from appliance_monitor.service import Monitor


class Seen(BaseModel):
    """What one kind found at one place."""

    ts: float = Field(description="epoch seconds")
    kind: str
    place: str = Field(description="address and port")
    member: str = Field(description='member id; "" at a place that the kind brings along')
    rtt_s: float | None
    offset_s: float | None
    value: float | None = Field(description="what else it measures, in the kind's unit")
    error: str | None = Field(description="null when all is well")
    text: str | None = Field(description="the finding in words")


class KeptSeen(Seen):
    """The same as a row of the database."""

    id: int


class LatestSeen(Seen):
    """The latest of a kind at a place."""

    title: str = Field(description="what pages call the kind")
    unit: str = Field(description="of value")


class SightingKind(BaseModel):
    """One kind that is scheduled beside NTP."""

    kind: str
    title: str
    unit: str
    every_s: float = Field(
        description="how often each place is looked at; public addresses once a minute at most"
    )
    timeout_s: float
    places: int
    outcomes: dict[str, int] = Field(
        description="looks since the start: ok, failed, discarded (our own network failed), raised (the plugin did)"
    )


class SightingsQuery(PluginConfig):
    """The newest rows."""

    member: str = Field("", description="id, address or name; all when empty")
    kind: str = Field("", max_length=40, description="only of this kind")
    limit: int = Field(100, ge=1, le=10_000)
    before: int | None = Field(
        None, ge=1, description="rows older than the one of this id; see the Link header"
    )


class LatestQuery(PluginConfig):
    """Whose."""

    member: str = Field("", description="id, address or name; all when empty")


def sighting_routes(ctx: SetupContext, monitor: Monitor) -> tuple[Route, ...]:
    """All of them."""

    async def kinds(request: Request) -> list[dict[str, Any]]:
        rounds, places = monitor.rounds, monitor.rounds.places()
        return [
            SightingKind(
                kind=kind.name, title=kind.title or kind.name, unit=kind.unit,
                every_s=interval_s(kind, "127.0.0.1"), timeout_s=kind.timeout_s, places=places[kind.name],
                outcomes={what: n for (name, what), n in sorted(rounds.seen.counted.items()) if name == kind.name},
            ).model_dump()
            for kind in rounds.kinds()
        ]  # fmt: skip

    async def latest(request: Request) -> list[dict[str, Any]]:
        query: LatestQuery = request.query_model
        member = member_of(ctx, query.member).id if query.member else None
        known = {kind.name: kind for kind in monitor.rounds.kinds()}
        return [
            {
                **sightings.row(seen),
                "title": known[seen.kind].title or seen.kind,
                "unit": known[seen.kind].unit,
            }
            for seen in monitor.rounds.seen.all()
            if seen.kind in known and member in (None, seen.member)
        ]

    async def rows(request: Request) -> Reply:
        query: SightingsQuery = request.query_model
        member = member_of(ctx, query.member).id if query.member else None
        found = await sightings.read(
            ctx.store, member=member, kind=query.kind, limit=query.limit, before=query.before
        )
        older = {"before": found[-1]["id"]} if len(found) == query.limit else None
        return Reply(found, headers=link(request.path, request.query, next=older))

    return (
        Route("GET", "/api/v1/sightings/kinds", kinds, "servers:read",
              "Kinds of probe that look at servers beside NTP, and how they do", returns=_list_of(SightingKind)),
        Route("GET", "/api/v1/sightings/latest", latest, "servers:read",
              "What each of them found last, at a server or everywhere", query=LatestQuery, returns=_list_of(LatestSeen)),
        Route("GET", "/api/v1/sightings", rows, "servers:read",
              "What they found, the newest first", query=SightingsQuery, returns=_list_of(KeptSeen)),
    )  # fmt: skip


def _list_of(model: type[BaseModel]) -> dict[str, Any]:
    return {"type": "array", "items": model.model_json_schema()}
