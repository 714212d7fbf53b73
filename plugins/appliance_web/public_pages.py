"""The public status: for everybody, without a script, made once a minute, and as files for another web server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.api.actor import acting
from appliance.api.contrib import Menu, Route
from appliance.api.errors import StoreError
from appliance.api.services import AnswerTable
from appliance.core.routes import Reply, Request
from appliance_web import zone_log
from appliance_web.front import Front
from appliance_web.guard import host_name
from appliance_web.site import Site
from appliance_web.tls.operations import told
from appliance_web.use_page import UsePage
from appliance_web.views import public as view
from appliance_web.views.standing import Row

#: How old what is shown may be.
FRESH_S = 60.0
#: The same while nothing is known yet, as after a start.
SOON_S = 5.0
#: Servers whose days are read from the database; more are named without them.
_MOST_NAMED = 100
_KEEP = {"Cache-Control": f"public, max-age={FRESH_S:.0f}"}


class PublicPages:
    """Handlers of /status and all below it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._use = UsePage(site)
        self._made: view.Public | None = None

    def routes(self) -> tuple[Route, ...]:
        """All addresses; `status_frame` in the name is what other sites may frame and show."""

        def page(path: str, handler: Any, kind: str, menu: Menu | None = None) -> Route:
            return Route("GET", path, handler, "public", page=True, audit=False, produces=(kind,), menu=menu)

        return (
            page("/status", self.page, "text/html", Menu("Public status", "pool", 20)),
            page("/status/embed", self.embed, "text/html"),
            page("/status/badge.svg", self.badge, "image/svg+xml"),
            page("/status/badge/{zone}", self.badge, "image/svg+xml"),
            page("/status/feed.atom", self.atom, "application/atom+xml"),
            Route("GET", "/api/v1/public", self.json, "public", "What everybody may know of the pool", returns=_PUBLIC),
            Route(
                "GET", "/api/v1/public/site", self.site, "public",
                "The public status as the files of a web site, by name", returns={"type": "object", "additionalProperties": {"type": "string"}},
            ),
        )  # fmt: skip

    # -- handlers -----------------------------------------------------------------------------------------------------

    async def page(self, request: Request) -> Reply:
        site = self._site
        values = await self._values()
        text = site.renderer.text(
            "status.html",
            values | {
                "tls": told(site.ctx.get(Front), site.now()), "line": request.line, "secure": self._secure(request), "export": False,
                "stylesheet": site.assets.url("timeball.css"), "icon": site.assets.url("mark.svg"), "feed": "/status/feed.atom",
                "pool": self._use.pool(host_name(request.headers.get("host", ""))),
            },
        )  # fmt: skip
        # Where it leads depends on how it was asked for: kept by the reader's own browser alone.
        return Reply(text, 200, {"Cache-Control": f"private, max-age={FRESH_S:.0f}"}, "text/html")

    async def embed(self, request: Request) -> Reply:
        values = await self._values()
        text = self._site.renderer.text(
            "embed.html", values | {"stylesheet": self._site.assets.url("timeball.css")}
        )
        return Reply(text, 200, dict(_KEEP), "text/html")

    async def badge(self, request: Request) -> Reply:
        """Of the pool, or of one zone; one that there is not is told in the picture, where a page could not be read."""
        found = await self._public()
        zone = request.params.get("zone", "").removesuffix(".svg")
        if not zone:
            word = f"{found.inside} of {found.members} in" if found.members else "no servers"
            return Reply(view.badge(found.name, word, found.said.shape), 200, dict(_KEEP), "image/svg+xml")
        for line in found.zones:
            if line.name == zone or line.name.removesuffix(f".{found.name}") == zone:
                return Reply(view.badge(line.name, line.word, line.shape), 200, dict(_KEEP), "image/svg+xml")
        return Reply(view.badge("zone", "not here", "none"), 404, content_type="image/svg+xml")

    async def atom(self, request: Request) -> Reply:
        return Reply(view.as_atom(await self._public(), "/status"), 200, dict(_KEEP), "application/atom+xml")

    async def json(self, request: Request) -> Reply:
        return Reply(view.as_json(await self._public()), headers=dict(_KEEP))

    async def site(self, request: Request) -> dict[str, str]:
        """A whole small web site: it names nothing of this box, and needs nothing from it."""
        site, values = self._site, await self._values()
        found: view.Public = values["public"]
        page = site.renderer.text(
            "status.html",
            values | {"export": True, "stylesheet": "timeball.css", "icon": "mark.svg", "feed": "feed.atom", "pool": self._use.pool("")},
        )  # fmt: skip
        word = f"{found.inside} of {found.members} in" if found.members else "no servers"
        return {
            "index.html": page,
            "feed.atom": view.as_atom(found, "index.html"),
            "status.json": Reply(view.as_json(found)).body().decode(),
            "badge.svg": view.badge(found.name, word, found.said.shape),
            "timeball.css": site.assets.text("timeball.css"),
            "mark.svg": site.assets.text("mark.svg"),
        }

    # -- what they show -----------------------------------------------------------------------------------------------

    async def _values(self) -> dict[str, Any]:
        return {"public": await self._public(), "now": self._site.now()}

    async def _public(self) -> view.Public:
        now = self._site.now()
        # What was carried over a restart is true for moments only, and so is "new": such a page is made again soon.
        fresh_s = FRESH_S if self._made is None or self._made.said.shape != "none" else SOON_S
        if self._made is None or not 0 <= now - self._made.ts < fresh_s:
            self._made = await self._gather(now)
        return self._made

    async def _gather(self, now: float) -> view.Public:
        site = self._site
        rows = site.rows(None, recent=False)
        known = rows or []
        counts = zone_log.count(known)
        pool = self._name()
        named = {row.member.id: row.called for row in known if view.named(row)}
        return view.Public(
            ts=now,
            name=pool,
            said=view.sentence(site.pool(rows), counts["@"]),
            members=counts["@"].members,
            inside=counts["@"].inside,
            zones=view.zones(counts, await self._zone_days(counts, now), pool),
            servers=view.servers(known, await self._server_days(known, now)),
            unlisted=len(known) - len(named),
            incidents=view.incidents(site.journal.latest(400), named),
        )

    def _name(self) -> str:
        answers = self._site.ctx.find(AnswerTable)  # type: ignore[type-abstract]
        pool = self._use.pool("") if answers is not None else None
        return pool.zone if pool is not None and pool.zone else "this pool"

    async def _zone_days(self, counts: Mapping[str, Any], now: float) -> dict[str, list[str]]:
        try:
            return await self._site.ctx.store.read(lambda db: {z: zone_log.days(db, z, now) for z in counts})
        except StoreError:
            return {}

    async def _server_days(self, rows: list[Row], now: float) -> dict[str, list[str]]:
        asker = Request(
            "GET", "/status", actor=acting("viewer", "web")
        )  # the page shows no more than days of named servers
        limits = await self._site.thresholds(asker)
        window = {
            "from": f"{(now // 86400 - view.DAYS + 1) * 86400:.0f}",
            "to": f"{now + 1:.0f}",
            "points": "360",
        }
        found = {}
        for row in [r for r in rows if view.named(r)][:_MOST_NAMED]:
            value = await self._site.operations.value(
                asker, f"/api/v1/members/{row.member.id}/history", **window
            )
            points = value.get("points") if isinstance(value, Mapping) else None
            found[row.member.id] = view.server_days(points or (), limits.enter_score if limits else 10.0, now)
        return found

    def _secure(self, request: Request) -> str:
        """Where the reader finds this box over HTTPS, who does not use it yet; "" when nowhere."""
        endpoints = self._site.ctx.get(Front).tls
        name = host_name(request.headers.get("host", ""))
        if not endpoints or not name or request.line == "tls":
            return ""
        port = endpoints[0].port
        return f"https://{f'[{name}]' if ':' in name else name}{'' if port == 443 else f':{port}'}/"


_LINES = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "state": {"type": "string", "enum": ["ok", "degraded", "failing", "none", "paused"]},
            "said": {"type": "string"},
            "days": {
                "type": "array",
                "items": {"type": "string"},
                "description": "the last 90, in UTC, oldest first",
            },
        },
        "required": ["name", "state", "said", "days"],
    },
}
_PUBLIC = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "as_of": {"type": "number"},
        "state": {"type": "string"},
        "verdict": {"type": "string"},
        "servers_in_pool": {"type": "integer"},
        "servers": {"type": "integer"},
        "zones": _LINES,
        "listed": _LINES,
        "unlisted": {"type": "integer", "description": "servers that are not named"},
        "incidents": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"began": {"type": "number"}, "ended": {"type": "number"}, "text": {"type": "string"}},
                "required": ["began", "ended", "text"],
            },
        },
    },
    "required": ["name", "as_of", "state", "verdict", "servers_in_pool", "servers", "zones", "listed", "unlisted", "incidents"],
}  # fmt: skip
