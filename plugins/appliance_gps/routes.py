"""What the API tells about receiver and pulse."""

from __future__ import annotations

from typing import Any

from appliance.api.contrib import Route
from appliance.core.routes import Request
from appliance_gps.service import Receiver
from appliance_gps.shown import details

_GPS = {
    "type": "object",
    "properties": {
        "configured": {"type": "boolean"},
        "verdict": {"type": "string", "description": "one sentence for people"},
        "problems": {"type": "array", "items": {"type": "string"}},
        "read_by": {
            "type": "string",
            "enum": ["", "child", "service"],
            "description": "who opens the devices",
        },
        "facts": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
        "pulse": {"type": ["object", "null"], "description": "the pin: standing, edge, jitter, counts"},
        "receiver": {
            "type": ["object", "null"],
            "description": "what speaks: standing, speed, its last second",
        },
        "late_s": {"type": ["number", "null"], "description": "how long after its pulse the receiver speaks"},
        "gps": {"type": ["object", "null"], "description": "what chronyd took of the receiver's seconds"},
        "pps": {"type": ["object", "null"], "description": "what chronyd took of the pulses"},
    },
    "required": ["configured", "verdict", "problems", "facts"],
}


def routes(receiver: Receiver) -> list[Route]:
    """All operations."""

    async def show(request: Request) -> dict[str, Any]:
        return details(receiver)

    return [
        Route(
            "GET", "/api/v1/gps", show, scope="clock:read", summary="A GPS receiver and its pulse: what comes, how well, and what is wrong",
            returns=_GPS,
        )
    ]  # fmt: skip
