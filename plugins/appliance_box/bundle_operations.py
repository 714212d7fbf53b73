"""Gathers the support bundle: asks the API as the reader, the agent for the journal, and covers what is secret."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import Any, Final

from appliance.api.context import SetupContext
from appliance.api.contrib import Route
from appliance.api.errors import ApiError
from appliance.api.http import Reply, Request
from appliance.api.services import HostView
from appliance.core.plain_json import plain
from appliance.core.routes import RouteTable
from appliance_box import bundle, facts
from appliance_box.operations import Operations

#: What is asked of the API, as whoever asks for the bundle; by file name, the important ones first.
_ASKED: Final = {
    "doctor.json": "/api/v1/doctor",
    "report.json": "/api/v1/doctor/report",
    "status.json": "/api/v1/status",
    "plugins.json": "/api/v1/plugins",
    "installed-plugins.json": "/api/v1/plugins/installed",
    "machine.json": "/api/v1/machine",
    "clock.json": "/api/v1/clock",
    "ntp.json": "/api/v1/ntp",
    "configuration-changes.json": "/api/v1/config/changes",
}
_JOURNALS: Final[Mapping[str, Mapping[str, Any]]] = {
    "journal.txt": {"lines": 4000},
    "journal-start-before.txt": {"lines": 1000, "boot": -1},
    "kernel.txt": {"lines": 1000, "what": "kernel"},
}


class Bundles:
    """Handlers."""

    def __init__(self, ctx: SetupContext, box: Operations) -> None:
        self._ctx = ctx
        self._box = box

    async def make(self, request: Request) -> Reply:
        """The bundle as a file."""
        now_s = self._ctx.clock.wall_ns() / 1e9
        parts: dict[str, Any] = {"about.json": await self._about(now_s)}
        for name, path in _ASKED.items():
            parts[name] = await self._value(request, path)
        secrets = []
        try:
            box = await self._box.ask("box.read", {"secrets": True})
            secrets.append(str((box["settings"].get("wifi") or {}).get("password", "")))
            parts["box.json"] = await self._box.ask("box.read")
        except ApiError as error:
            parts["box.json"] = {"why_not": str(error)}
        for name, arguments in _JOURNALS.items():
            parts[name] = await self._journal(arguments)
        cover = await asyncio.to_thread(self._cover, secrets)
        content = await asyncio.to_thread(bundle.pack, parts, cover, now_s)
        stamp = datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%d-%H%M%S")
        headers = {
            "Content-Disposition": f'attachment; filename="timeball-support-{stamp}.tar.gz"',
            "Cache-Control": "no-store",
        }
        return Reply(content, headers=headers, content_type="application/gzip")

    def _cover(self, secrets: Iterable[str]) -> bundle.Cover:
        """With every secret that can be known."""
        configured = self._ctx.get(HostView).secrets()  # type: ignore[type-abstract]
        kept = bundle.secrets_in(self._ctx.state_dir.parent / "secrets")
        return bundle.Cover({*secrets, *configured, *kept})

    async def _about(self, now_s: float) -> dict[str, Any]:
        return {
            "made": datetime.fromtimestamp(now_s, UTC).isoformat(timespec="seconds"),
            "version": self._ctx.get(HostView).version,  # type: ignore[type-abstract]
            "python": sys.version, "machine": platform.machine(), "kernel": platform.release(), "user": os.geteuid(),
            "packages": {d.metadata["Name"]: d.version for d in metadata.distributions()},
            "box": await asyncio.to_thread(facts.read, self._box.root),
            "notes": {
                name: await asyncio.to_thread(facts.note, self._box.root, name)
                for name in ("data-problem", "data-repaired", "boot-problem", "grow-problem", "was-reset")
            },
        }  # fmt: skip

    async def _value(self, request: Request, path: str) -> Any:
        """What the API says to whoever asks."""
        inner = Request(
            "GET", path, actor=request.actor, remote=request.remote, line=request.line, id=request.id
        )
        reply = await self._ctx.get(RouteTable).dispatch(inner)
        return plain(reply.value) if isinstance(reply, Reply) else {"why_not": f"{path} is a stream"}

    async def _journal(self, arguments: Mapping[str, Any]) -> str:
        try:
            return str((await self._box.ask("journal.excerpt", arguments))["text"])
        except ApiError as error:
            return f"not there: {error}\n"


def bundle_routes(b: Bundles) -> tuple[Route, ...]:
    """The operation."""
    return (
        Route(
            "GET", "/api/v1/support-bundle", b.make, "config:read",
            "Checks, journal, versions and settings without secrets, as one file to hand on", produces=("application/gzip",),
            audit=True, secret=True,
        ),
    )  # fmt: skip
