"""Pages about the box itself: its plugins and its manual."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from appliance.api.errors import NotFound
from appliance.api.pages import refusal
from appliance.core.routes import Reply, Request, RouteTable
from appliance_web import manual
from appliance_web.actions import redirect
from appliance_web.site import Site
from appliance_web.views import api as api_view
from appliance_web.views import plugins as plugins_view


class About:
    """Handlers of /plugins and /help."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._drawn, self._drawn_of = Markup(""), b""

    async def plugins(self, request: Request) -> Reply:
        found: Any = await self._site.operations.value(request, "/api/v1/plugins")
        box = await self._site.box(request)
        installed: Any = await self._site.operations.value(request, "/api/v1/plugins/installed")
        rows = plugins_view.rows(found if isinstance(found, list) else [])
        return await self._site.page(
            request, "plugins.html", "Plugins", here="/plugins", live="plugin health", topic="plugins",
            same=[("CLI", "timeball plugin list"), ("CLI", "timeball plugin installed"), ("CLI", "timeball restart"), ("API", "GET /api/v1/plugins"),
                  ("API", "GET /api/v1/plugins/installed"), ("API", "GET /api/v1/status")],
            said=plugins_view.sentence(rows),
            rows=rows,
            may_change=request.actor.may("config:write"),
            problems=plugins_view.problems(box),
            facts=plugins_view.host_facts(box),
            installed=installed,
            restarting=request.query.get("done") == "restarting",
            may_restart=request.actor.may("box:restart"),
            may_go_back=bool(installed and installed["folder"]) and request.actor.may("plugins:write"),
        )  # fmt: skip

    async def retry(self, request: Request) -> Reply:
        """Try a failed or waiting plugin again now."""
        key = quote(request.params["id"], safe="")
        reply = await self._site.operations.ask(request, "POST", f"/api/v1/plugins/{key}/retry")
        if reply.status >= 300:
            raise NotFound(refusal(reply)[0])
        return redirect("/plugins")

    async def api(self, request: Request) -> Reply:
        """The API's document, made for people."""
        table = self._site.ctx.get(RouteTable)
        if (
            document := table.openapi_json()
        ) is not self._drawn_of:  # drawn once: it is long, and anybody may ask for it
            drawn = self._site.renderer.text(
                "api_parts.html", {"operations": api_view.parts(table.openapi())}
            )
            self._drawn, self._drawn_of = Markup(drawn), document  # noqa: S704 - a template of ours, which escapes
        return await self._site.page(
            request, "api.html", "API", topic="api",
            same=[("API", "GET /api/v1/openapi.json"), ("CLI", "timeball api /api/v1/openapi.json")],
            operations=self._drawn,
        )  # fmt: skip

    async def contents(self, request: Request) -> Reply:
        if manual.exists("index"):
            return await self._help(
                request, "manual.html", "Help", page=manual.page("index"), current="index"
            )
        return await self._help(request, "contents.html", "Help")

    async def manual_page(self, request: Request) -> Reply:
        name = "/".join(request.params[part] for part in ("folder", "name") if part in request.params)
        found = manual.page(name)
        return await self._help(request, "manual.html", found.title, page=found, current=name)

    async def picture(self, request: Request) -> Reply:
        """Answer /help/img/{picture}."""
        return Reply(
            manual.picture(request.params["picture"]),
            headers={"Cache-Control": "public, max-age=3600"},
            content_type="image/svg+xml",
        )

    async def _help(self, request: Request, template: str, title: str, **values: Any) -> Reply:
        return await self._site.page(
            request, template, title, here="/help", topic="web", entries=manual.contents(), **values
        )
