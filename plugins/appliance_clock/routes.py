"""What the API tells about the clock."""

from __future__ import annotations

from typing import Any

from appliance.api.contrib import Route
from appliance.core.routes import Request
from appliance_clock.service import ClockService

_NUMBER = {"type": "number"}
_CLOCK = {
    "type": "object",
    "properties": {
        "synchronised": {"type": "boolean"},
        "verdict": {"type": "string", "description": "one sentence for people"},
        "source": {"type": "string", "description": "who says so: chrony, kernel, local or none"},
        "configured": {"type": "string", "enum": ["auto", "chrony", "kernel", "local"]},
        "leap": {"type": "integer", "minimum": 0, "maximum": 3},
        "stratum": {"type": "integer", "minimum": 0, "maximum": 15},
        "refid": {"type": "string", "pattern": "^[0-9a-f]{8}$"},
        "refid_text": {"type": "string"},
        "reference_ts": {**_NUMBER, "description": "last correction, epoch seconds"},
        "root_delay_s": _NUMBER,
        "root_dispersion_s": {**_NUMBER, "description": "as of now"},
        "root_distance_s": {**_NUMBER, "description": "the most that our time may be wrong, as of now"},
        "max_distance_s": _NUMBER,
        "dispersion_rate": {**_NUMBER, "description": "growth of the dispersion, seconds per second"},
        "correction_s": {**_NUMBER, "description": "added to the system clock in what we serve"},
        "precision": {"type": "integer"},
        "age_s": {**_NUMBER, "description": "since the source was heard"},
        "why": {"type": "string"},
        "warnings": {"type": "array", "items": {"type": "string"}},
        "steps": {"type": "object"},
        "chrony": {"type": ["object", "null"], "description": "what chronyd tells, when it is the source"},
        "kernel": {"type": ["object", "null"], "description": "what adjtimex tells"},
    },
    "required": [
        "synchronised",
        "verdict",
        "source",
        "leap",
        "stratum",
        "root_distance_s",
        "why",
        "warnings",
    ],
}


def routes(service: ClockService) -> list[Route]:
    """The one operation."""

    async def show(request: Request) -> dict[str, Any]:
        return await service.details()

    return [
        Route(
            "GET",
            "/api/v1/clock",
            show,
            scope="clock:read",
            summary="What our clock is worth, and who says so",
            returns=_CLOCK,
        )
    ]
