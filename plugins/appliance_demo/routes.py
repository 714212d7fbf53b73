"""Look at the simulated members, and break or heal one."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from appliance.api.contrib import Route
from appliance.core.routes import Request
from appliance_demo.fault import Fault
from appliance_demo.service import Playground


class NewFault(BaseModel):
    """What a simulated member shall do from now on; an empty fault heals it."""

    model_config = ConfigDict(defer_build=True, extra="forbid")

    fault: Fault = Field(default_factory=Fault, description="Replaces the old behaviour whole.")


_MEMBER = {
    "type": "object",
    "properties": {
        "address": {"type": "string"},
        "port": {"type": "integer"},
        "does": {"type": "string", "description": "in words"},
        "fault": {"type": "object", "description": "what differs from a good server"},
        "requests": {"type": "integer"},
        "replies": {"type": "integer"},
    },
    "required": ["address", "port", "does", "fault", "requests", "replies"],
}


def routes(playground: Playground) -> list[Route]:
    """The operations on simulated members."""

    async def list_members(request: Request) -> list[dict[str, Any]]:
        return playground.list()

    async def change_member(request: Request) -> dict[str, Any]:
        return playground.change(request.params["address"], request.body.fault)

    return [
        Route(
            "GET",
            "/api/v1/demo",
            list_members,
            scope="demo:read",
            summary="The simulated members and what each does wrong",
            returns={"type": "array", "items": _MEMBER},
        ),
        Route(
            "POST",
            "/api/v1/demo/{address}",
            change_member,
            scope="demo:operate",
            summary="Break or heal a simulated member",
            body=NewFault,
            returns=_MEMBER,
        ),
    ]
