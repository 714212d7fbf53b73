"""The first minutes of a box: code and password, name of the pool and roles, the first server. At most eight actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.api.contrib import Route
from appliance.api.pages import ask_confirmed, refusal
from appliance.api.services import Frame
from appliance.core.routes import Reply, Request
from appliance_people.forms import chosen, read, redirect

#: Plugins that are a role of the box, and what each means to people.
ROLES_OF_BOX = (
    ("ntp", "Serve time", "Answers NTP requests on port 123."),
    ("monitor", "Watch the servers", "Looks at every server of the pool and scores it."),
    ("dns", "Answer DNS", "Gives clients the servers that are right."),
)


class SetupPages:
    """Handlers."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    async def claim_form(self, request: Request) -> Reply:
        return await self._claim_page(request, {})

    async def claim(self, request: Request) -> Reply:
        form = read(request)
        body = {
            "code": form.get("code", ""),
            "name": form.get("name", ""),
            "password": form.get("password", ""),
        }
        reply = await self._frame.ask(request, "POST", "/api/v1/setup/claim", body=body)
        if reply.status == 200:
            return redirect("/setup/pool", reply.headers["Set-Cookie"])
        why, fields = refusal(reply)
        return await self._claim_page(request, form, why=why, fields=fields, status=reply.status)

    async def _claim_page(self, request: Request, form: Mapping[str, str], *, why: str = "", fields: Mapping[str, str] | None = None,
                          status: int = 200) -> Reply:  # fmt: skip
        return await self._frame.page(  # type: ignore[no-any-return]
            request, "people/setup.html", "Set up this box", topic="security", status=status,
            here="/setup", same=[("CLI", "timeball setup code"), ("CLI", "timeball user add NAME --role owner")],
            form=form, why=why, fields=fields or {},
        )  # fmt: skip

    async def pool_form(self, request: Request) -> Reply:
        return await self._pool_page(request, *await self._now(request))

    async def pool(self, request: Request) -> Reply:
        """Write what differs from the configuration in force."""
        form, roles = read(request), set(chosen(request, "role"))
        zone, on = await self._now(request)
        wanted: dict[str, Any] = {}
        if form.get("zone", "") not in ("", zone):
            wanted["plugins.dns.zone"] = form["zone"]
        wanted |= {f"plugins.{key}.enabled": key in roles for key in on if (key in roles) != on[key]}
        if wanted:
            reply = await ask_confirmed(
                self._frame, request, form, "PATCH", "/api/v1/config", {"set": wanted}
            )
            if reply.status >= 300:
                why, fields = refusal(reply)
                shown = {key: key in roles for key in on}
                return await self._pool_page(
                    request, form.get("zone", ""), shown, why=why, fields=fields, status=reply.status
                )
        return redirect("/setup/server")

    async def _states(self, request: Request) -> dict[str, str]:
        """State of each plugin that there is."""
        plugins = (await self._frame.ask(request, "GET", "/api/v1/plugins")).value
        return {p["id"]: p["state"] for p in plugins} if isinstance(plugins, list) else {}

    async def _now(self, request: Request) -> tuple[str, dict[str, bool]]:
        """The pool's name, and which roles are on; only of plugins that there are."""
        config = (await self._frame.ask(request, "GET", "/api/v1/config")).value
        states = await self._states(request)
        tables = config.get("plugins", {}) if isinstance(config, Mapping) else {}
        zone = (tables.get("dns") or {}).get("zone", "")
        return str(zone), {key: states[key] != "disabled" for key, _, _ in ROLES_OF_BOX if key in states}

    async def _pool_page(self, request: Request, zone: str, on: Mapping[str, bool], *, why: str = "", fields: Mapping[str, str] | None = None,
                         status: int = 200) -> Reply:  # fmt: skip
        return await self._frame.page(  # type: ignore[no-any-return]
            request, "people/setup_pool.html", "Name and roles", topic="security", status=status,
            same=[("API", 'PATCH /api/v1/config {"set": {"plugins.dns.zone": "..."}}')],
            zone=zone, roles=[(key, name, text, on[key]) for key, name, text in ROLES_OF_BOX if key in on], named="dns" in on,
            why=why, fields=fields or {}, ask_password=bool(why) and not request.actor.confirmed, restores=(await self._states(request)).get("box") == "running",
        )  # fmt: skip

    async def server_form(self, request: Request) -> Reply:
        return await self._server_page(request)

    async def server(self, request: Request) -> Reply:
        """Check a server and add it; what the check found is said when it was not taken."""
        form = read(request)
        body: dict[str, Any] = {"address": form.get("address", "")}
        if form.get("force") == "yes":
            body["force"] = True
        reply = await self._frame.ask(request, "POST", "/api/v1/members", body=body)
        value = reply.value if isinstance(reply.value, Mapping) else {}
        if reply.status < 300 and (value.get("created") or value.get("present")):
            return redirect("/?done=added")
        why, _ = refusal(reply) if reply.status >= 300 else ("It was not taken.", {})
        return await self._server_page(
            request,
            address=body["address"],
            why=why,
            refused=value.get("refused") or [],
            status=max(reply.status, 400),
        )

    async def _server_page(
        self, request: Request, *, address: str = "", why: str = "", refused: Any = (), status: int = 200
    ) -> Reply:
        return await self._frame.page(  # type: ignore[no-any-return]
            request, "people/setup_server.html", "The first server", topic="security", status=status,
            same=[("CLI", "timeball member add ADDRESS"), ("API", 'POST /api/v1/members {"address": "..."}')],
            address=address, why=why, refused=refused,
        )  # fmt: skip


def setup_routes(pages: SetupPages) -> tuple[Route, ...]:
    """The three steps. The first is there only as long as there is no owner."""

    def page(method: str, path: str, handler: Any, scope: str) -> Route:
        return Route(
            method, path, handler, scope, page=True, audit=False, plain=False, secret=method == "POST"
        )

    return (
        page("GET", "/setup", pages.claim_form, "setup:run"),
        page("POST", "/setup", pages.claim, "setup:run"),
        page("GET", "/setup/pool", pages.pool_form, "config:write"),
        page("POST", "/setup/pool", pages.pool, "config:write"),
        page("GET", "/setup/server", pages.server_form, "servers:write"),
        page("POST", "/setup/server", pages.server, "servers:write"),
    )
