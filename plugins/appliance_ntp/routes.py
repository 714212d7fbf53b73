"""What the API tells about the time service."""

from __future__ import annotations

from typing import Any

from appliance.api.contrib import Route
from appliance.core.routes import Request
from appliance_ntp.service import NtpService

_COUNT = {"type": "integer", "minimum": 0}
_RATES = {
    "type": "object",
    "description": 'packets a second over the last "1", "10" and "60" seconds',
    "additionalProperties": {"type": "number"},
}
_NTP = {
    "type": "object",
    "properties": {
        "level": {"type": "string", "enum": ["ok", "degraded", "failing"]},
        "verdict": {"type": "string", "description": "one sentence for people"},
        "plane": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "why": {"type": "string"},
                "workers": {**_COUNT, "description": "threads that share the packets of one address"},
                "faster": {"type": "string", "description": "what would make it faster here, if anything"},
                "sandbox": {
                    "type": ["object", "null"],
                    "description": "whether packet threads gave up privileges and system calls; null while none runs",
                    "properties": {"on": {"type": "boolean"}, "why": {"type": "string"}},
                },
            },
        },
        "listen": {"type": "array", "items": {"type": "string"}},
        "missing": {"type": "object", "description": "listeners that could not be made, and why"},
        "received": _COUNT,
        "replied": _COUNT,
        "rates": {"type": "object", "properties": {"received_per_s": _RATES, "replied_per_s": _RATES}},
        "outcomes": {
            "type": "array",
            "description": "what became of the packets, each counted once",
            "items": {
                "type": "object",
                "properties": {
                    "reason": {"type": "string"},
                    "action": {"type": "string", "enum": ["reply", "ignore", "kiss"]},
                    "count": _COUNT,
                    "text": {"type": "string"},
                },
            },
        },
        "traffic": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "version": _COUNT,
                    "mode": _COUNT,
                    "family": {"enum": [4, 6]},
                    "count": _COUNT,
                },
            },
        },
        "clients": {
            "type": "object",
            "description": "how many clients are remembered, how many were forgotten, what the limits did, and the limits",
        },
        "authentication": {
            "type": "object",
            "description": "keys (never their secrets), what is wrong with the keys file, and requests by result",
            "properties": {
                "verdict": {"type": "string"},
                "keys_file": {"type": ["string", "null"]},
                "keys": {"type": "array", "items": {"type": "object"}},
                "problems": {"type": "array", "items": {"type": "string"}},
                "warnings": {"type": "array", "items": {"type": "string"}},
                "results": {"type": "object", "additionalProperties": _COUNT},
            },
        },
        "interleaved": {
            "type": "object",
            "description": "replies in interleaved mode (RFC 9769), and transmit times that the kernel told",
            "properties": {"replies": _COUNT, "kernel_stamps": _COUNT},
        },
        "policy": {
            "type": "object",
            "properties": {
                "rules": {"type": "array", "items": {"type": "object"}},
                "others": {"type": "string", "description": "what happens to those who match no rule"},
            },
        },
    },
    "required": [
        "level",
        "verdict",
        "plane",
        "listen",
        "received",
        "replied",
        "rates",
        "outcomes",
        "traffic",
        "policy",
    ],
}


def routes(service: NtpService) -> list[Route]:
    """The one operation."""

    async def show(request: Request) -> dict[str, Any]:
        return service.summary()

    return [
        Route(
            "GET",
            "/api/v1/ntp",
            show,
            scope="time:read",
            summary="The time service: where it listens, whom it answers, what became of the packets",
            returns=_NTP,
        )
    ]
