"""Operations that tell what the probe kinds besides "ntp" found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import Field

from appliance.api.config import PluginConfig
from appliance.api.contrib import Route
from appliance.api.shapes import COUNT, NUMBER, TEXT, list_of, map_of, maybe, obj, said
from appliance.core.paging import LARGEST_ID, link
from appliance.core.routes import Reply, Request
from appliance_monitor import sightings
from appliance_monitor.past import member_of
from appliance_monitor.places import interval_s

if TYPE_CHECKING:
    from appliance.api.context import SetupContext
    from appliance_monitor.service import Monitor


_SEEN: Final = {
    "ts": said(NUMBER, "epoch seconds"), "kind": TEXT, "place": said(TEXT, "address and port"),
    "member": said(TEXT, "member id; empty at a place that the kind brings along"), "rtt_s": maybe(NUMBER), "offset_s": maybe(NUMBER),
    "value": said(maybe(NUMBER), "what else it measures, in the kind's unit"), "error": said(maybe(TEXT), "null when all is well"),
    "text": said(maybe(TEXT), "the finding in words"),
}  # fmt: skip
KEPT: Final = list_of(obj({"id": COUNT, **_SEEN}))
LATEST: Final = list_of(
    obj({**_SEEN, "title": said(TEXT, "what pages call the kind"), "unit": said(TEXT, "of value")})
)
KINDS: Final = list_of(obj({
    "kind": TEXT, "title": TEXT, "unit": TEXT, "timeout_s": NUMBER, "places": COUNT,
    "every_s": said(NUMBER, "how often each place is looked at; public addresses once a minute at most"),
    "outcomes": said(map_of(COUNT), "looks since the start: ok, failed, discarded (our own network failed), raised (the plugin did)"),
}))  # fmt: skip


class SightingsQuery(PluginConfig):
    """The newest rows."""

    member: str = Field("", description="id, address or name; all when empty")
    kind: str = Field("", max_length=40, description="only of this kind")
    limit: int = Field(100, ge=1, le=10_000)
    before: int | None = Field(
        None, ge=1, le=LARGEST_ID, description="rows older than the one of this id; see the Link header"
    )


class LatestQuery(PluginConfig):
    """Whose."""

    member: str = Field("", description="id, address or name; all when empty")


def sighting_routes(ctx: SetupContext, monitor: Monitor) -> tuple[Route, ...]:
    """All of them."""

    async def kinds(request: Request) -> list[dict[str, Any]]:
        rounds, places = monitor.rounds, monitor.rounds.places()
        return [
            {
                "kind": kind.name, "title": kind.title or kind.name, "unit": kind.unit,
                "every_s": interval_s(kind, "127.0.0.1"), "timeout_s": kind.timeout_s, "places": places[kind.name],
                "outcomes": {what: n for (name, what), n in sorted(rounds.seen.counted.items()) if name == kind.name},
            }
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
              "Kinds of probe that look at servers beside NTP, and how they do", returns=KINDS),
        Route("GET", "/api/v1/sightings/latest", latest, "servers:read",
              "What each of them found last, at a server or everywhere", query=LatestQuery, returns=LATEST),
        Route("GET", "/api/v1/sightings", rows, "servers:read",
              "What they found, the newest first", query=SightingsQuery, returns=KEPT),
    )  # fmt: skip
