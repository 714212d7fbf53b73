"""The operations about clients. Addresses are personal data: they have a scope of their own."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from appliance.api.config import PluginConfig, checked
from appliance.api.contrib import Route
from appliance.core.paging import offsets
from appliance.core.routes import Reply, Request
from appliance_ntp import clients
from appliance_ntp.service import NtpService
from appliance_ntp.view import clients_summary

SCOPE = "clients:read"
_COUNT = {"type": "integer", "minimum": 0}
_RATE = {"type": ["number", "null"]}
_ROW = {
    "type": "object",
    "properties": {
        "client": {"type": "string", "description": "an IPv4 address or an IPv6 /64"},
        "family": {"enum": [4, 6]},
        "packets": _COUNT,
        "share": {"type": "number", "description": "of the packets of all clients that are known"},
        "rate_per_s": _RATE | {"description": "lately; null for a client that asked once"},
        "mean_per_s": _RATE | {"description": "since its first packet"},
        "replies": _COUNT,
        "dropped": _COUNT | {"description": "got silence, because it asked too often"},
        "kisses": _COUNT | {"description": "was told to slow down"},
        "first_seen": {"type": "number", "description": "epoch seconds"},
        "last_seen": {"type": "number", "description": "epoch seconds"},
        "version": _COUNT,
        "mode": _COUNT,
        "port": {"enum": ["ntp", "privileged", "other"]},
        "state": {"enum": ["free", "exempt", "within", "over", "insists"]},
        "why": {"type": "string"},
    },
}
_CLIENTS = {
    "type": "object",
    "properties": {
        "verdict": {"type": "string"},
        "known": _COUNT,
        "room": _COUNT,
        "forgotten": _COUNT | {"description": "clients that gave way to others, because there was no room"},
        "limited": {"type": "object", "additionalProperties": _COUNT},
        "limit": {"type": ["object", "null"]},
        "matching": _COUNT,
        "packets": _COUNT | {"description": "of all clients that are known"},
        "clients": {"type": "array", "items": _ROW},
    },
    "required": [
        "verdict",
        "known",
        "room",
        "forgotten",
        "limited",
        "limit",
        "matching",
        "packets",
        "clients",
    ],
}


class ClientsQuery(PluginConfig):
    """Which clients, in which order."""

    sort: Literal["packets", "rate", "dropped", "last_seen"] = Field(
        "packets", description="the largest first"
    )
    limit: int = Field(100, ge=1, le=100_000)
    offset: int = Field(0, ge=0, le=16_777_216)
    prefix: Annotated[str, checked(clients.parse_prefix), AfterValidator(str.strip)] = Field(
        "", description='only clients in here, such as "10.0.0.0/8"'
    )


def client_routes(service: NtpService) -> list[Route]:
    """As JSON and as CSV."""

    async def page(query: ClientsQuery) -> clients.Page:
        known = await service.clients()
        limit, now = service.policy.limit, service.now()
        within = clients.parse_prefix(query.prefix)
        return await asyncio.to_thread(
            lambda: clients.page(
                known, limit, now, sort=query.sort, within=within, offset=query.offset, count=query.limit
            )
        )

    def others(request: Request, found: clients.Page) -> dict[str, str]:
        query: ClientsQuery = request.query_model
        return offsets(
            request.path, request.query, limit=query.limit, offset=query.offset, total=found.matching
        )

    async def as_json(request: Request) -> Reply:
        found = await page(request.query_model)
        told = clients_summary(service)
        told |= {"matching": found.matching, "packets": found.packets, "clients": list(found.rows)}
        return Reply(told, headers=others(request, found))

    async def as_csv(request: Request) -> Reply:
        found = await page(request.query_model)
        headers = {"Content-Disposition": 'attachment; filename="clients.csv"', **others(request, found)}
        return Reply(clients.as_csv(found.rows), headers=headers, content_type="text/csv")

    return [
        Route(
            "GET",
            "/api/v1/ntp/clients",
            as_json,
            scope=SCOPE,
            summary="Who asks for the time: how often, what became of it, and why",
            query=ClientsQuery,
            returns=_CLIENTS,
        ),
        Route(
            "GET",
            "/api/v1/ntp/clients.csv",
            as_csv,
            scope=SCOPE,
            summary="The same as CSV",
            query=ClientsQuery,
            produces=("text/csv",),
        ),
    ]
