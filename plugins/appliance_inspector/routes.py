"""The operations: what was noticed, what is ignored because of it, and captures."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, Literal

from pydantic import Field

from appliance.api.config import PluginConfig, checked
from appliance.api.contrib import Route
from appliance.api.errors import Conflict, Invalid
from appliance.api.http import Reply, Request
from appliance.api.services import Members
from appliance_inspector.alerts import Alert, shown
from appliance_inspector.service import Inspector

_BASE = "/api/v1/inspector"
_COUNT = {"type": "integer", "minimum": 0}
_ALERT = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "rule": {"type": "string"},
        "severity": {"enum": ["low", "medium", "high"]},
        "what": {"type": "string"},
        "who": {
            "type": "string",
            "description": "the /24 or /48; the address where the configuration says so",
        },
        "service": {"enum": ["ntp", "dns"]},
        "since": {"type": "number", "description": "epoch seconds"},
        "last": {"type": "number", "description": "epoch seconds"},
        "times": _COUNT | {"description": "how often it was told"},
        "count": _COUNT | {"description": "packets, or different values, in the last window"},
        "exact": {
            "type": "boolean",
            "description": "whether each packet was seen; else the count comes from samples",
        },
        "counted": {"type": "string", "description": "the count in words"},
        "text": {"type": "string"},
        "sample": {"type": "string", "description": "bytes of a packet, in hexadecimal"},
        "dissected": {"type": "string", "description": "the same in words"},
        "policy": {"type": "object", "description": "what would stop it"},
        "ignored": {
            "type": "string",
            "description": "id of what is in force against it; empty when nothing is",
        },
    },
    "required": ["id", "rule", "severity", "what", "who", "since", "last", "count", "text", "policy"],
}
_IGNORED = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "prefix": {"type": "string"},
        "rule": {"type": "string"},
        "since_s": {"type": "number"},
        "until_s": {"type": "number"},
    },
}
_CAPTURE = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "service": {"enum": ["ntp", "dns"]},
        "prefix": {"type": "string"},
        "running": {"type": "boolean"},
        "packets": _COUNT,
        "bytes": _COUNT,
        "lost": _COUNT,
        "since": {"type": "number"},
        "deleted_at": {"type": "number"},
    },
}
_WAY = {
    "type": "object",
    "properties": {
        "member": {"type": "string"},
        "address": {"type": "string"},
        "at": {"type": "number", "description": "epoch seconds"},
        "because": {"type": "string", "description": "why the member left the pool"},
        "verdict": {"type": "string", "description": "where the way ends"},
        "hops": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "ttl": _COUNT,
                    "address": {"type": ["string", "null"]},
                    "rtt_ms": {"type": ["number", "null"]},
                    "kind": {"enum": ["router", "answered", "refused", "unreachable", "silent"]},
                },
            },
        },
    },
    "required": ["member", "address", "at", "verdict", "hops"],
}
_STATUS = {
    "type": "object",
    "properties": {
        "verdict": {"type": "string"},
        "running": {"type": "boolean"},
        "samples": {"type": "object", "additionalProperties": _COUNT},
        "memory_bytes": {"type": ["integer", "null"]},
        "cpu_s": {"type": ["number", "null"]},
        "lacking": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["verdict", "running", "samples", "alerts", "rules"],
}


class For(PluginConfig):
    """For how long a network is ignored."""

    for_s: float = Field(86_400, ge=60, le=90 * 86_400, description="seconds")


class NewCapture(PluginConfig):
    """Whose packets, for how long, how many."""

    service: Literal["ntp", "dns"] = "ntp"
    prefix: Annotated[str, checked(lambda text: ipaddress.ip_network(text, strict=False))] = Field(
        description='such as "192.0.2.0/24"'
    )
    for_s: float = Field(60, gt=0, le=3600)
    most: int = Field(10_000, ge=1, le=100_000)


class NewTrace(PluginConfig):
    """Which member."""

    member: str = Field(min_length=1, max_length=255, description="id, address or unique name of a member")


def alert_shown(inspector: Inspector, alert: Alert) -> dict[str, Any]:
    """One alert, with what is in force against it."""
    return shown(alert, full=inspector.full_addresses, ignored=inspector.ignored.covering(alert.prefix))


def routes(inspector: Inspector) -> list[Route]:
    """All operations."""

    async def status(request: Request) -> dict[str, Any]:
        return inspector.summary()

    async def alerts(request: Request) -> list[dict[str, Any]]:
        return [alert_shown(inspector, alert) for alert in inspector.alerts.all()]

    async def alert(request: Request) -> dict[str, Any]:
        return alert_shown(inspector, inspector.alerts.find(request.params["id"]))

    async def apply(request: Request) -> dict[str, Any]:
        found = inspector.alerts.find(request.params["id"])
        if found.rule.remedy != "ignore":
            raise Conflict(f'no policy for packets stops "{found.rule.title}": see what the alert says')
        return inspector.ignored.add(found.prefix, found.rule.id, request.body.for_s).model_dump()

    async def ignored(request: Request) -> list[dict[str, Any]]:
        return [entry.model_dump() for entry in inspector.ignored.all()]

    async def undo(request: Request) -> dict[str, Any]:
        return inspector.ignored.remove(request.params["id"]).model_dump()

    async def capture(request: Request) -> dict[str, Any]:
        wanted: NewCapture = request.body
        tap, ctx = inspector.tap(wanted.service), inspector.run_ctx
        if tap is None or ctx is None:
            raise Conflict(f"there is no {wanted.service} service, or the inspector does not run")
        if any(one.running and one.service == wanted.service for one in inspector.captures.all()):
            raise Conflict(f"a capture of {wanted.service} is running; one at a time")
        prefix = str(ipaddress.ip_network(wanted.prefix, strict=False))
        begun = inspector.captures.begin(wanted.service, prefix)
        ctx.spawn(f"capture {begun.id}", inspector.captures.follow(begun, tap, wanted.for_s, wanted.most))
        return begun.shown()

    async def captures(request: Request) -> list[dict[str, Any]]:
        return [one.shown() for one in inspector.captures.all()]

    async def pcap(request: Request) -> Reply:
        found = inspector.captures.find(request.params["id"])
        try:
            content = found.path.read_bytes()
        except OSError as error:
            raise Invalid(f"the capture cannot be read: {error}") from error
        return Reply(
            content,
            headers={"Content-Disposition": f'attachment; filename="timeball-{found.id}.pcap"'},
            content_type="application/vnd.tcpdump.pcap",
        )

    async def traces(request: Request) -> list[dict[str, Any]]:
        return [way.shown() for way in inspector.ways.all()]

    async def trace(request: Request) -> dict[str, Any]:
        ctx = inspector.run_ctx
        members = ctx.find(Members) if ctx else None  # type: ignore[type-abstract]
        if ctx is None or members is None:
            raise Conflict("there are no members, or the inspector does not run")
        # Members alone: nobody shall look at the ways to other people's machines from here.
        way = await inspector.ways.trace(ctx, members.find(request.body.member), "a person asked")
        return way.shown()

    async def delete(request: Request) -> dict[str, Any]:
        found = inspector.captures.find(request.params["id"])
        inspector.captures.remove(found.id)
        return found.shown()

    return [
        Route("GET", _BASE, status, scope="read", returns=_STATUS,
              summary="The inspector: what it samples, how its child process does"),
        Route("GET", f"{_BASE}/alerts", alerts, scope="read", returns={"type": "array", "items": _ALERT},
              summary="What was noticed in sampled packets, the latest first"),
        Route("GET", f"{_BASE}/alerts/{{id}}", alert, scope="read", returns=_ALERT, summary="One alert"),
        Route("POST", f"{_BASE}/alerts/{{id}}/apply", apply, scope="operate", body=For, returns=_IGNORED, refuses=(404, 409),
              summary="Ignore the network that an alert speaks of, for a while"),
        Route("GET", f"{_BASE}/traces", traces, scope="read", returns={"type": "array", "items": _WAY},
              summary="Ways to members that left the pool, the latest first"),
        Route("POST", f"{_BASE}/traces", trace, scope="operate", body=NewTrace, returns=_WAY, refuses=(404, 409),
              summary="Trace the way to a member, hop by hop"),
        Route("GET", f"{_BASE}/ignored", ignored, scope="read", returns={"type": "array", "items": _IGNORED},
              summary="Networks that are ignored because of alerts"),
        Route("DELETE", f"{_BASE}/ignored/{{id}}", undo, scope="operate", returns=_IGNORED,
              summary="Ignore a network no longer"),
        Route("POST", f"{_BASE}/captures", capture, scope="admin", body=NewCapture, returns=_CAPTURE, refuses=(409,),
              summary="Capture all packets from one network, for a while"),
        Route("GET", f"{_BASE}/captures", captures, scope="admin", returns={"type": "array", "items": _CAPTURE},
              summary="Captures that are there"),
        Route("GET", f"{_BASE}/captures/{{id}}/pcap", pcap, scope="admin", audit=True,
              returns={"type": "string", "format": "binary"}, produces=("application/vnd.tcpdump.pcap",),
              summary="A capture as a file for Wireshark or tshark"),
        Route("DELETE", f"{_BASE}/captures/{{id}}", delete, scope="admin", returns=_CAPTURE, summary="Delete a capture"),
    ]  # fmt: skip
