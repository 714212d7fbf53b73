"""A running appliance with people and pages, and visitors that come from any address we like."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from appliance.api.actor import local
from appliance.api.services import Identity
from appliance.core.clock import Clock, FakeClock
from appliance.core.routes import Reply, Request, RouteTable
from appliance.host.changes import Patience
from appliance.testing import RunningAppliance, running
from appliance_people.claim import Claim
from appliance_people.people import People
from appliance_people.trail import Trail
from appliance_web import guard, visitors
from appliance_web.way import Rules, way_of

OWNER_PASSWORD = "quiet lantern soup"
LAN = "192.168.7.20"
AFAR = "203.0.113.9"


class Box:
    """The box as its visitors see it.

    Attributes:
        clock: the injected clock; only it moves time.
    """

    def __init__(self, app: RunningAppliance, clock: Clock) -> None:
        self.app = app
        self.clock = clock
        self.people = app.host.services.get(People)
        self.identity = app.host.services.get(Identity)
        self.claim = app.host.services.get(Claim)
        self.trail = app.host.services.get(Trail)
        self.table = app.host.services.get(RouteTable)
        self.public = "status"

    def visitor(self, remote: str = LAN, scheme: str = "https", **headers: str) -> Visitor:
        return Visitor(self, remote, scheme, {k.replace("_", "-"): v for k, v in headers.items()})

    async def owner(self, name: str = "ada") -> Visitor:
        """Somebody who claimed the box just now."""
        visitor = self.visitor()
        code, _ = self.claim.current()
        reply = await visitor.post(
            "/api/v1/setup/claim", {"code": code, "name": name, "password": OWNER_PASSWORD}
        )
        assert reply.status == 200, reply.value
        return visitor

    async def user(self, role: str, name: str = "") -> Visitor:
        """Somebody with a role who signed in."""
        name = name or role
        password = f"{OWNER_PASSWORD} of {name}"
        reply = await self.locally(
            "POST", "/api/v1/users", {"name": name, "role": role, "password": password}
        )
        assert reply.status == 201, reply.value
        visitor = self.visitor()
        assert (await visitor.post("/api/v1/session", {"name": name, "password": password})).status == 200
        return visitor

    async def locally(self, method: str, path: str, body: Any = None, **query: Any) -> Reply:
        """On the admin socket."""
        reply = await self.table.dispatch(
            Request(
                method,
                path,
                content=b"" if body is None else json.dumps(body).encode(),
                query={k: str(v) for k, v in query.items()},
                actor=local("root"),
            )
        )
        assert isinstance(reply, Reply)
        return reply

    async def rows(self, **query: Any) -> list[Mapping[str, Any]]:
        """The audit trail, newest first."""
        return (await self.locally("GET", "/api/v1/audit", **query)).value["rows"]


class Visitor:
    """Somebody at an address, with cookies, asking as the listener would.

    Attributes:
        cookies: by name.
        bearer: a token that is shown.
    """

    def __init__(self, box: Box, remote: str, scheme: str, headers: Mapping[str, str]) -> None:
        self.box = box
        self.remote = remote
        self.scheme = scheme
        self.headers = dict(headers)
        self.cookies: dict[str, str] = {}
        self.bearer = ""

    async def get(self, path: str, **query: Any) -> Reply:
        return await self.ask("GET", path, query=query)

    async def post(self, path: str, body: Any = None) -> Reply:
        return await self.ask("POST", path, body)

    async def form(self, path: str, fields: Mapping[str, str]) -> Reply:
        from urllib.parse import urlencode

        content = urlencode(fields).encode()
        return await self.ask("POST", path, content=content, content_type="application/x-www-form-urlencoded")

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        content: bytes = b"",
        content_type: str = "application/json",
    ) -> Reply:
        headers: CIMultiDict[str] = CIMultiDict(
            {"Host": "box.local", "Content-Type": content_type, "Sec-Fetch-Site": "same-origin"}
        )
        headers.update(self.headers)
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        if self.bearer:
            headers["Authorization"] = f"Bearer {self.bearer}"
        way = way_of(self.remote, headers, Rules(), secure=self.scheme == "https")
        lower = {k.lower(): v for k, v in headers.items()}
        from appliance.api.errors import ApiError
        from appliance.core.routes import problem

        try:
            known = await self.box.identity.identify(lower, self.remote, way.line)
        except ApiError as error:
            return problem(error)
        actor = known or visitors.stranger(
            way.remote,
            relayed=way.relayed,
            public=self.box.public,
            trust_loopback="no",
            claimed=self.box.people.claimed,
            setup_anywhere=self.box.identity.setup_anywhere,
        )
        reply = await self.box.table.dispatch(
            Request(
                method,
                path,
                query={k: str(v) for k, v in (query or {}).items()},
                content=content or (b"" if body is None else json.dumps(body).encode()),
                headers=lower,
                actor=actor,
                remote=self.remote,
                line=way.line,
                foreign=guard.foreign(method, way.scheme, way.host, headers) or "",
            )
        )
        if isinstance(reply, web.StreamResponse):
            return Reply(None, reply.status)
        if cookie := reply.headers.get("Set-Cookie"):
            name, _, rest = cookie.partition("=")
            self.cookies[name] = rest.partition(";")[0]
        return reply


@asynccontextmanager
async def box(
    tmp_path: Path,
    config: str = "",
    plugins: tuple[Any, ...] = ("people",),
    config_file: Path | None = None,
    provide: Mapping[type, object] | None = None,
    clock: Clock | None = None,
    patience: Patience | None = None,
) -> AsyncIterator[Box]:
    """Run the box; on a clock that only moves when told, unless another is given."""
    clock = clock or FakeClock()
    async with running(
        list(plugins), config, state_dir=tmp_path, clock=clock, config_file=config_file, provide=provide,
        patience=patience,
    ) as app:  # fmt: skip
        await app.until_running("people")
        yield Box(app, clock)
