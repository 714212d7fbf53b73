"""All addresses of the web plugin: pages, forms, static files and the event stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from aiohttp import web

from appliance.api.context import SetupContext
from appliance.api.contrib import Menu, Route
from appliance.api.errors import ApiError
from appliance.api.services import Members
from appliance.core.routes import NARROWED, Request
from appliance_web.about import About
from appliance_web.actions import Actions
from appliance_web.check_api import CheckApi
from appliance_web.chosen import Chosen
from appliance_web.clock_page import ClockPage
from appliance_web.dns_page import DnsPage
from appliance_web.doctor import DoctorPage
from appliance_web.drawing import CHART, ChartQuery, Drawing
from appliance_web.entries import Entries
from appliance_web.following import CheckStream
from appliance_web.going_back import LEAVE, RESTART, ROLL_BACK, GoingBack
from appliance_web.many import IMPORT_BYTES, Many
from appliance_web.opening import still
from appliance_web.pages import Pages
from appliance_web.public_pages import PublicPages
from appliance_web.reaching import UPLOAD_BYTES, Reaching
from appliance_web.server import ServerPage
from appliance_web.settings import FORM_BYTES, Settings
from appliance_web.site import Site
from appliance_web.stream import Hub, TooManyStreams
from appliance_web.tools import Tools
from appliance_web.use_page import UsePage
from appliance_web.way import address_of, neighbourhood
from appliance_web.wizard import Wizard

#: A stream whose reader takes nothing for so long is ended.
WRITE_S = 20.0


class _Full(ApiError):
    """All places for live pages are taken."""

    status = 503
    code = "too_many_streams"


def web_routes(ctx: SetupContext) -> tuple[Route, ...]:
    """Everything this plugin answers."""
    site = ctx.get(Site)
    pages, tools, about, actions = Pages(site), Tools(site), About(site), Actions(site)
    reaching = Reaching(site)

    def page(
        path: str, handler: object, method: str = "GET", scope: str = "servers:read", **more: Any
    ) -> Route:
        # A form does its work through the API, which is what the audit trail records.
        return Route(method, path, handler, scope, page=True, audit=False, **more)  # type: ignore[arg-type]

    return (
        page("/", pages.overview, own=NARROWED, menu=Menu("Overview", "first", 10)),
        page("/members", pages.members, own=NARROWED, menu=Menu("Servers", "first", 20)),
        page("/members/add/form", actions.add_form, scope="servers:write", own=NARROWED),
        page("/members/add", actions.add, "POST", "servers:write", own=NARROWED),
        *_servers(ServerPage(site), Wizard(site), Many(site), Chosen(site), page),
        page("/members/{id}/pause", actions.pause, "POST", "servers:write", own="id"),
        page("/members/{id}/resume", actions.resume, "POST", "servers:write", own="id"),
        Route(
            "GET",
            "/checks/{check}/stream",
            CheckStream(site).handle,
            "monitors:probe",
            "A live check, line by line",
            page=True,
            stream=True,
            own=NARROWED,
        ),
        page("/scores/{ip}", pages.scores, own="ip"),
        page("/time", tools.time, scope="time:read", menu=Menu("Time", "first", 40)),
        page("/clock", ClockPage(site).show, scope="clock:read", menu=Menu("Clock", "first", 50)),
        page("/dns", DnsPage(site).show, scope="dns:read", menu=Menu("Zones & DNS", "first", 30)),
        page("/log", tools.log, own=NARROWED, menu=Menu("Log", "first", 60)),
        page("/use", UsePage(site).show, scope="public", menu=Menu("Use it", "pool", 10)),
        page("/plugins", about.plugins, scope="box:read", menu=Menu("Plugins", "box", 20)),
        *PublicPages(site).routes(),
        page("/tls", reaching.tls, scope="box:read", menu=Menu("TLS & trust", "box", 30)),
        page("/tls/renew", reaching.renew, "POST", "config:write", secret=True),
        page("/tls/reset", reaching.reset, "POST", "config:write", secret=True),
        page("/tls/upload", reaching.upload, "POST", "config:write", max_body=UPLOAD_BYTES, secret=True),
        *_settings(Settings(site), page),
        *_doctor(DoctorPage(site), page),
        page("/plugins/{id}/retry", about.retry, "POST", "plugins:write"),
        *(
            page(step.path, handler, method, "plugins:write")
            for step in (ROLL_BACK, LEAVE, RESTART)
            for method, handler in (("GET", GoingBack(site, step).ask), ("POST", GoingBack(site, step).do))
        ),
        page("/api", about.api, scope="public"),
        page("/help", about.contents, scope="public", menu=Menu("Help", "pool", 200)),
        page("/help/{name}", about.manual_page, scope="public"),
        page("/help/img/{picture}", about.picture, scope="public"),
        page("/help/{folder}/{name}", about.manual_page, scope="public"),
        page("/static/{file}", site.assets.serve, scope="public"),
        *CheckApi(site).routes(),
        Route(
            "GET",
            "/api/v1/members/{id}/chart",
            Drawing(site).chart,
            "servers:read",
            "What the charts of a server draw: columns, the scorer's lines, marks of what happened",
            query=ChartQuery,
            returns=CHART,
            own="id",
        ),
        Route(
            "GET",
            "/api/v1/events",
            EventStream(ctx).handle,
            "servers:read",
            "What happens, as server-sent events",
            stream=True,
            own=NARROWED,
        ),
    )


def _servers(
    server: ServerPage, wizard: Wizard, many: Many, chosen: Chosen, page: Callable[..., Route]
) -> tuple[Route, ...]:
    """A server's page with its forms, and the steps that add one."""
    read, write = "servers:read", "servers:write"
    return (
        page("/members/{id}", server.show, scope=read, own="id"),
        page("/members/{id}/change", server.change, "POST", write, own="id"),
        page("/members/{id}/remove-at", server.remove_at, "POST", write, own="id"),
        page("/members/{id}/keep", server.keep, "POST", write, own="id"),
        page("/members/{id}/verify", server.verify, "POST", write, own="id"),
        page("/members/{id}/owner", server.give, "POST", write),
        page("/members/{id}/probe", server.probe, "POST", "monitors:probe", own="id"),
        page("/badge/{id}", server.badge, scope="scores:read"),
        page("/members/bulk", chosen.bulk, "POST", write, own=NARROWED),
        page("/members/import", many.form, scope=write, own=NARROWED),
        page("/members/import", many.take, "POST", write, max_body=IMPORT_BYTES, own=NARROWED),
        page("/members/add", wizard.start, scope=write, own=NARROWED),
        page("/members/add/look", wizard.begin, "POST", write, own=NARROWED),
        page("/members/add/{draft}/{step}", wizard.show, scope=write, own=NARROWED),
        page("/members/add/{draft}/{step}", wizard.save, "POST", write, own=NARROWED),
    )


def _settings(settings: Settings, page: Callable[..., Route]) -> tuple[Route, ...]:
    """Pages that change the configuration."""
    read, write = "config:read", "config:write"
    entries = Entries(settings)
    return (
        page("/settings/{table}/list/{key}", entries.index, scope=read),
        page("/settings/{table}/list/{key}/{number}", entries.one, scope=read),
        page(
            "/settings/{table}/list/{key}/{number}",
            entries.submit,
            "POST",
            write,
            max_body=FORM_BYTES,
            secret=True,
        ),
        page("/settings", settings.index, scope=read, menu=Menu("Settings", "box", 10)),
        page("/settings/changes", settings.history, scope=read),
        page("/settings/changes/{id}", settings.change, scope=read),
        page("/settings/changes/{id}/keep", settings.keep, "POST", write),
        page("/settings/changes/{id}/undo", settings.undo, "POST", write),
        page("/settings/apply", settings.apply, "POST", write, secret=True),
        page("/settings/{table}", settings.table, scope=read),
        page("/settings/{table}", settings.submit, "POST", write, max_body=FORM_BYTES, secret=True),
        page("/plugins/{id}/switch", settings.switch, "POST", write),
    )


def _doctor(doctor: DoctorPage, page: Callable[..., Route]) -> tuple[Route, ...]:
    """The doctor, and what it mends."""
    return (
        page("/doctor", doctor.page, scope="doctor:read", menu=Menu("Doctor", "box", 40)),
        page("/doctor/report", doctor.report, scope="config:read"),
        page("/doctor/{id}/fix", doctor.confirm, scope="doctor:fix"),
        page("/doctor/{id}/fix", doctor.mend, "POST", "doctor:fix"),
        page("/doctor/{id}/undo", doctor.undo, "POST", "doctor:fix"),
    )


class EventStream:
    """Serves the hub to one reader after the other."""

    def __init__(self, ctx: SetupContext) -> None:
        self._ctx = ctx

    def _own(self, account: str) -> Callable[[str], bool]:
        """Whether a member is the account's, as it stands at the moment of asking."""
        members = self._ctx.find(Members)  # type: ignore[type-abstract]
        return lambda key: members is not None and members.owner_of(key) == account

    async def handle(self, request: Request) -> web.StreamResponse:
        """Stream until the reader goes or the plugin stops.

        Raises:
            ApiError: all places are taken.
        """
        raw: web.Request = request.raw
        hub = self._ctx.get(Hub)
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
        )
        try:
            only = self._own(request.only) if request.only else None
            who = request.actor.account or neighbourhood(address_of(request.remote))
            with hub.listen(request.headers.get("last-event-id", ""), only, who) as stream:
                await response.prepare(raw)
                # A reader that is gone shows itself at the next write, which is the next heartbeat at the latest; one whose
                # session or token is over hears nothing more.
                known = still(self._ctx)
                with contextlib.suppress(ConnectionError, TimeoutError):
                    async for line in stream:
                        if not known(request.actor):
                            break
                        async with asyncio.timeout(WRITE_S):
                            await response.write(line)
        except TooManyStreams:
            raise _Full(
                "too many live pages are open; this one works without, but has to be loaded again"
            ) from None
        response.force_close()
        return response
