"""What the API tells about the answers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from appliance.api.contrib import Route
from appliance.api.errors import Conflict
from appliance.core import ordering
from appliance.core.routes import Reply, Request
from appliance.wire.dns import name_text
from appliance_dns import reports
from appliance_dns.checks import Checks
from appliance_dns.delegation import Delegation
from appliance_dns.service import DnsService
from appliance_dns.simulation import simulate
from appliance_dns.zone import Zone, name_servers, zone_file

#: Networks over the rate limit that are told.
_LIMITED_SHOWN = 20


class Question(BaseModel):
    """Query string of the answer tester."""

    model_config = ConfigDict(defer_build=True, extra="forbid", populate_by_name=True)

    name: str = Field("@", max_length=300, description='such as "0", "@", "de" or "0.pool.example.org"')
    type: str = Field("A", max_length=20, description="record type")
    client: str = Field("", alias="from", max_length=60, description="address of the client that asks")


class Draws(Question):
    """Query string of the simulation."""

    draws: int = Field(1000, ge=1, le=10_000, description="how many answers to draw")


class DelegationQuery(BaseModel):
    """Query string of the delegation check."""

    model_config = ConfigDict(defer_build=True, extra="forbid")

    look: bool = Field(default=False, description="ask this machine's resolver now")


def routes(service: DnsService, checks: Checks) -> list[Route]:
    """The operations of this plugin."""
    delegation = Delegation()

    async def answer(request: Request) -> dict[str, Any]:
        asked: Question = request.query_model
        return service.answers.explain(asked.name, asked.type, asked.client or None)

    async def overview(request: Request) -> dict[str, Any]:
        return _overview(_built(service), service, checks)

    async def simulation(request: Request) -> dict[str, Any]:
        asked: Draws = request.query_model
        return await simulate(service.answers, asked.name, asked.type, asked.client or None, asked.draws)

    async def delegated(request: Request) -> dict[str, Any]:
        anew = request.query_model.look
        return await delegation.told(_built(service), service.answers.inputs.wall_ns() / 1e9, anew=anew)

    async def as_text(request: Request) -> Reply:
        return Reply(zone_file(_built(service)), content_type="text/plain")

    return [
        Route(
            "GET",
            "/api/v1/dns/answer",
            answer,
            scope="dns:read",
            summary="What a client would be answered now, and every candidate with its chance and reason",
            query=Question,
            returns=reports.ANSWER,
        ),
        Route(
            "GET",
            "/api/v1/dns/simulation",
            simulation,
            scope="dns:read",
            summary="Many answers drawn as the data plane draws them: how often each address is in, and how often it should be",
            query=Draws,
            returns=reports.SIMULATION,
            refuses=(404,),
        ),
        Route(
            "GET",
            "/api/v1/dns/delegation",
            delegated,
            scope="dns:read",
            summary="What the parent zone should say, and what this machine's resolver makes of the zone",
            query=DelegationQuery,
            returns=reports.DELEGATION,
            refuses=(409,),
        ),
        Route(
            "GET",
            "/api/v1/dns",
            overview,
            scope="dns:read",
            summary="The zone, its names and counters",
            returns=reports.OVERVIEW,
        ),
        Route(
            "GET",
            "/api/v1/dns/zone",
            as_text,
            scope="dns:read",
            summary="The zone as a zone file",
            produces=("text/plain",),
        ),
    ]


def _built(service: DnsService) -> Zone:
    if service.zone is None:
        raise Conflict("the zone is not built yet; try again in a second")
    return service.zone


def _overview(zone: Zone, service: DnsService, checks: Checks) -> dict[str, Any]:
    config = zone.plan.config
    server = service.server
    usable, registered = checks.count()
    counters = [
        {"proto": proto, "type": rrtype, "outcome": outcome, "queries": number}
        for (proto, rrtype, outcome), number in sorted(checks.counters().items())
    ]
    return {
        "zone": config.zone,
        "serial": zone.snapshot.serial,
        "ttl": config.ttl,
        "minimum": config.soa.minimum,
        "max_records": config.max_records,
        "on_empty": config.on_empty,
        "stale": service.answers.stale,
        "listen": [str(endpoint) for endpoint in server.endpoints] if server is not None else [],
        "members_usable": usable,
        "members": registered,
        "name_servers": [name_text(name) for name, _ in name_servers(zone.plan)],
        "names": [
            {"name": name_text(name), "zone": path, "a": _size(zone, path, 4), "aaaa": _size(zone, path, 6)}
            for name, (path, _label) in zone.names.items()
        ],
        "empty": [
            {
                "zone": path,
                "family": family,
                "addresses": len(zone.plan.pools[path, family].choices),
                "said": note,
            }
            for (path, family), note in service.answers.notes.items()
            if (path, family) in zone.plan.pools
        ],
        "problems": list(zone.problems),
        "counters": counters,
        "limited": [asdict(entry) for entry in service.limits.current()[:_LIMITED_SHOWN]],
        "shares": [
            {"address": address, "answers": given, "fair": fair}
            for address, (given, fair) in sorted(
                checks.shares().items(), key=lambda share: ordering.address(share[0])
            )
        ],
    }


def _size(zone: Zone, path: str, family: int) -> int:
    """How many different addresses a name may give."""
    pool = zone.plan.pools.get((path, family))
    return len(pool.choices) if pool is not None else 0
