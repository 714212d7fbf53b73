"""Live checks as operations of the API: what pages start, programs may start too, and the audit trail sees both."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from appliance.api.contrib import Route
from appliance.api.errors import ApiError
from appliance.api.model import Target
from appliance.api.services import Prober
from appliance.core.routes import NARROWED, Reply, Request
from appliance_web.checking import MOST_TARGETS, Check
from appliance_web.site import Site
from appliance_web.views.standing import SHAPES

_TEXT = {"type": "string"}
_SHAPE = {"enum": sorted({*SHAPES.values(), "none"})}


class NoMonitor(ApiError):
    """Nobody can look at the server now."""

    status = 503
    code = "no_monitor"


class Place(BaseModel):
    """Where a server is."""

    model_config = ConfigDict(defer_build=True, extra="forbid", strict=True)
    address: str = Field(max_length=64, description="IPv4 or IPv6 address")
    port: int = Field(123, ge=1, le=65535)

    @field_validator("address")
    @classmethod
    def _one_server(cls, value: str) -> str:
        ip = ipaddress.ip_address(value)
        inner = (ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None) or ip
        if inner.is_multicast or inner.is_unspecified or str(inner) == "255.255.255.255":
            raise ValueError("not the address of one server")
        return str(inner)


class NewCheck(BaseModel):
    """Servers to ask for the time, a handful of requests each; no score moves."""

    model_config = ConfigDict(defer_build=True, extra="forbid", strict=True)
    targets: list[Place] = Field(min_length=1, max_length=MOST_TARGETS)


CHECK = {
    "type": "object",
    "required": ["id", "done", "parts"],
    "additionalProperties": False,
    "properties": {
        "id": _TEXT,
        "done": {"type": "boolean"},
        "parts": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["address", "port", "said", "shape", "lines"],
                "additionalProperties": False,
                "properties": {
                    "address": _TEXT,
                    "port": {"type": "integer"},
                    "said": {**_TEXT, "description": "how it ended, in words; empty while it runs"},
                    "shape": _SHAPE,
                    "lines": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["shape", "text"],
                            "additionalProperties": False,
                            "properties": {"shape": _SHAPE, "text": _TEXT},
                        },
                    },
                },
            },
        },
    },
}


class CheckApi:
    """Handlers of /api/v1/checks."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def start(self, request: Request) -> Reply:
        """Begin to ask; what is found can be read meanwhile.

        Raises:
            Busy: too many are under way, or somebody has asked too often. NoMonitor: nobody can look.
        """
        site, body = self._site, request.body
        prober = site.ctx.find(Prober)  # type: ignore[type-abstract]
        if prober is None:
            raise NoMonitor("nobody can look at the server: no monitor is running")
        targets = [Target(one.address, one.port) for one in body.targets]
        if request.only:
            site.checks.charge(request.actor.account, len(targets), site.ctx.clock.monotonic_ns() / 1e9)
        check = site.checks.start(request.actor.name, prober, targets, await site.thresholds(request))
        request.note.target = ", ".join(f"{t.address} port {t.port}" for t in targets)
        return Reply(told(check), 201)

    async def show(self, request: Request) -> dict[str, Any]:
        """As far as it has come."""
        return told(self._site.checks.find(request.params["check"], request))

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                "POST", "/api/v1/checks", self.start, "monitors:probe", "Look at some servers, line by line; scores nothing",
                body=NewCheck, status=201, returns=CHECK, own=NARROWED,
            ),
            Route(
                "GET", "/api/v1/checks/{check}", self.show, "monitors:probe", "What a check has found so far",
                returns=CHECK, own=NARROWED,
            ),
        )  # fmt: skip


def told(check: Check) -> dict[str, Any]:
    """A check as JSON."""
    return {
        "id": check.id,
        "done": check.done,
        "parts": [
            {
                "address": part.target.address,
                "port": part.target.port,
                "said": part.said.text if part.said else "",
                "shape": part.said.shape if part.said else "none",
                "lines": [{"shape": line.shape, "text": line.text} for line in part.lines],
            }
            for part in check.parts
        ],
    }


def asked(places: list[Mapping[str, Any]]) -> dict[str, Any]:
    """The body that asks for a check of some places."""
    return {"targets": [{"address": str(p["address"]), "port": int(p["port"])} for p in places]}
