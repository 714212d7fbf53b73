"""What the API tells about the clock, now and over time."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from appliance.api.config import PluginConfig
from appliance.api.context import SetupContext
from appliance.api.contrib import Route
from appliance.core.routes import Reply, Request
from appliance_clock import track
from appliance_clock.service import ClockService
from appliance_clock.track import RANGES_S

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
        "better": {
            "type": "array",
            "items": {"type": "string"},
            "description": "what it would take to have better time",
        },
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

_MAYBE = {"type": ["number", "null"]}
_HISTORY = {
    "type": "object",
    "properties": {
        "from_ts": _NUMBER,
        "to_ts": _NUMBER,
        "step_s": {**_NUMBER, "description": "width of a point; 0 when each is one reading"},
        "points": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "ts": _NUMBER,
                    "n": {"type": "integer", "description": "readings behind it; 0 marks a gap"},
                    "offset_s": {
                        **_MAYBE,
                        "description": "of the last update; positive: the clock was ahead",
                    },
                    "frequency_ppm": {**_MAYBE, "description": "how fast the bare clock runs"},
                    "root_distance_s": {**_MAYBE, "description": "the largest"},
                    "synchronised": {**_MAYBE, "description": "share of the readings that were, 0 to 1"},
                },
                "required": ["ts", "n", "offset_s", "frequency_ppm", "root_distance_s", "synchronised"],
            },
        },
        "steps": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"ts": _NUMBER, "step_s": _NUMBER},
                "required": ["ts", "step_s"],
            },
        },
    },
    "required": ["from_ts", "to_ts", "step_s", "points", "steps"],
}


class HistoryQuery(PluginConfig):
    """A window: `range` back from now."""

    range: str = Field("6h", description=f"one of {', '.join(RANGES_S)}", pattern=f"^({'|'.join(RANGES_S)})$")
    points: int = Field(400, ge=2, le=2000)


def routes(ctx: SetupContext, service: ClockService) -> list[Route]:
    """All operations."""

    async def show(request: Request) -> dict[str, Any]:
        return await service.details()

    async def past(request: Request) -> dict[str, Any]:
        query: HistoryQuery = request.query_model
        now = ctx.clock.wall_ns() / 1e9
        await ctx.store.flush()
        return await ctx.store.read(
            lambda db: track.read(db, now - RANGES_S[query.range], now + 1, query.points)
        )

    async def past_csv(request: Request) -> Reply:
        text = track.as_csv(await past(request))
        shown = {"Content-Disposition": 'inline; filename="clock.csv"'}
        return Reply(text, headers=shown, content_type="text/csv")

    return [
        Route(
            "GET",
            "/api/v1/clock",
            show,
            scope="clock:read",
            summary="What our clock is worth, and who says so",
            returns=_CLOCK,
        ),
        Route(
            "GET",
            "/api/v1/clock/history",
            past,
            scope="clock:read",
            summary="Offset, frequency and root distance of our clock over time, and its steps",
            query=HistoryQuery,
            returns=_HISTORY,
        ),
        Route(
            "GET",
            "/api/v1/clock/history.csv",
            past_csv,
            scope="clock:read",
            summary="The same as CSV",
            query=HistoryQuery,
            produces=("text/csv",),
        ),
    ]
