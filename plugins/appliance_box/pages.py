"""The pages of the box. Each form does one operation of the API in the reader's name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from appliance.api.context import SetupContext
from appliance.api.contrib import Menu, Route
from appliance.api.errors import ApiError
from appliance.api.http import Reply, Request
from appliance.api.pages import ask_confirmed, refusal
from appliance.api.services import Frame
from appliance.core.routes import RouteTable
from appliance_box import forms
from appliance_box.backup_operations import LARGEST

_CONFIRM_S = 60
#: A backup older than this is told as old.
_OLD_S = 31 * 86400.0
#: What these find wrong is wrong with the box, not with the pool.
_OF_THE_BOX = ("box", "host", "store", "settings", "updates")


class Pages:
    """Handlers."""

    def __init__(self, frame: Frame, ctx: SetupContext) -> None:
        self._frame = frame
        self._ctx = ctx

    # -- looking ----------------------------------------------------------------------------------------------------

    async def box(
        self, request: Request, *, why: str = "", said: str = "", tried: str = "", form: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None, status: int = 200,
    ) -> Reply:  # fmt: skip
        about = await self._get(request, "/api/v1/box")
        machine = await self._frame.ask(request, "GET", "/api/v1/machine")
        health = (await self._frame.ask(request, "GET", "/api/v1/health")).value
        return await self._frame.page(  # type: ignore[no-any-return]
            request, "box/box.html", "Box", here="/box", topic="box", status=status,
            same=[("CLI", "timeball box show"), ("CLI", "timeball support-bundle"), ("API", "GET /api/v1/box")],
            about=about, wrong=[one for one in health["problems"] if one["source"] in _OF_THE_BOX], machine=machine.value if machine.status == 200 else None, why=why, said=said or _SAID.get(request.query.get("said", ""), ""),
            may_admin=request.actor.may("box:admin"), may_bundle=request.actor.may("config:read"),
            may_backup=request.actor.may("backup:create"), may_plugins=request.actor.may("plugins:write"),
            may_updates=request.actor.may("updates:read"),
            may_reset=request.actor.may("ownership:reset"), ask_password=not request.actor.confirmed, tried=tried, form=form or {}, fields=fields or {},
        )  # fmt: skip

    async def network(
        self, request: Request, *, form: Mapping[str, str] | None = None, why: str = "", fields: Mapping[str, str] | None = None, status: int = 200,
    ) -> Reply:  # fmt: skip
        about = await self._get(request, "/api/v1/box")
        settings = forms.settings_of(form, about["settings"] or {}) if form else about["settings"] or {}
        known = [field for path in (fields or {}) if (field := forms.field_of(path))]
        return await self._frame.page(  # type: ignore[no-any-return]
            request, "box/network.html", "Network and name", here="/box", topic="box", status=status,
            same=[("CLI", "timeball box set host_name=north"), ("CLI", "timeball box network eth0 --static 192.0.2.5/24"),
                  ("API", "POST /api/v1/box/settings")],
            about=about, settings=settings, wifi=forms.wifi_row(settings), rows=forms.rows(settings, about["interfaces"], about["wireless"]),
            why=why, fields=fields or {}, wrong=known, confirm_s=_CONFIRM_S, may_ssh=request.actor.may("ownership:ssh"), ask_password=not request.actor.confirmed,
            found_at=forms.new_addresses(about["pending"]["settings"]) if about["pending"] else [],
        )  # fmt: skip

    async def backup(self, request: Request, *, why: str = "", said: str = "", status: int = 200) -> Reply:
        found = await self._get(request, "/api/v1/backup")
        return await self._frame.page(  # type: ignore[no-any-return]
            request, "box/backup.html", "Backup", here="/box", topic="backup", status=status,
            same=[("CLI", "timeball backup create ."), ("CLI", "timeball backup verify FILE"), ("CLI", "timeball backup restore FILE"),
                  ("API", "POST /api/v1/backup"), ("API", "POST /api/v1/backup/restore")],
            found=found, old_s=_OLD_S, why=why, said=said or _SAID.get(request.query.get("said", ""), ""),
            may_restore=request.actor.may("backup:restore"), ask_password=not request.actor.confirmed,
        )  # fmt: skip

    # -- the password, once more ------------------------------------------------------------------------------------

    async def unlock(self, request: Request) -> Reply:
        """Give the password for the forms that need it, and come back."""
        form = forms.read(request)
        where = form.get("back", "/box")
        where = where if where in ("/box", "/box/backup") else "/box"
        reply = await self._frame.ask(
            request, "POST", "/api/v1/session/confirm", body={"password": form.get("my_password", "")}
        )
        if reply.status >= 300:
            why, status = refusal(reply)[0], reply.status
            return await (self.box if where == "/box" else self.backup)(request, why=why, status=status)
        return _redirect(where)

    # -- the box ----------------------------------------------------------------------------------------------------

    async def do(self, request: Request) -> Reply:
        """Restart, switch off, reset, safe mode, dismiss."""
        form = forms.read(request)
        what = request.params["what"]
        path, body, said = {
            "restart": ("/api/v1/box/restart", None, "restarting"),
            "restart-service": ("/api/v1/restart", None, "anew"),
            "power-off": ("/api/v1/box/power-off", None, "off"),
            "reset": ("/api/v1/box/reset", {"confirm": form.get("confirm", "")}, "erasing"),
            "safe-mode": ("/api/v1/plugins/safe-mode/enter", None, "safe"),
            "dismiss": ("/api/v1/box/preseed/dismiss", None, "dismissed"),
        }.get(what, ("", None, ""))
        if not path:
            return await self.box(request, why="there is no such button", status=404)
        reply = await ask_confirmed(self._frame, request, form, "POST", path, body)
        if reply.status >= 300:
            why, fields = refusal(reply)
            return await self.box(request, why=why, tried=what, form=form, fields=fields, status=reply.status)
        return await self.box(request, said=_SAID[said])

    async def change(self, request: Request) -> Reply:
        form = forms.read(request)
        about = await self._get(request, "/api/v1/box")
        settings = forms.settings_of(form, about["settings"] or {})
        if about["settings"] and not request.actor.may("ownership:ssh"):  # whose form has no such fields
            settings["ssh"] = about["settings"]["ssh"]
        body = {"settings": settings, "confirm_s": _CONFIRM_S}
        reply = await ask_confirmed(self._frame, request, form, "POST", "/api/v1/box/settings", body)
        if reply.status >= 300:
            why, fields = refusal(reply)
            return await self.network(request, form=form, why=why, fields=fields, status=reply.status)
        return _redirect("/box/network")

    async def settle(self, request: Request) -> Reply:
        """Keep a change that waits, or take it back."""
        form = forms.read(request)
        verb = "confirm" if form.get("keep") == "yes" else "go-back"
        reply = await self._frame.ask(
            request, "POST", f"/api/v1/box/settings/{verb}", body={"id": form.get("id", "")}
        )
        if reply.status >= 300:
            return await self.network(request, why=refusal(reply)[0], status=reply.status)
        return _redirect("/box/network")

    # -- backups ----------------------------------------------------------------------------------------------------

    async def download(self, request: Request) -> Any:
        """Make a backup and send it."""
        form = forms.read(request)
        if form.get("passphrase", "") != form.get("passphrase_again", ""):
            return await self.backup(request, why="the two passphrases differ", status=422)
        reply = await self._stream(request, "/api/v1/backup", {"passphrase": form.get("passphrase", "")})
        if isinstance(reply, Reply) and reply.status >= 300:
            return await self.backup(request, why=refusal(reply)[0], status=reply.status)
        return reply

    async def upload(self, request: Request) -> Reply:
        reply = await self._stream(request, "/api/v1/backup/restore", None)
        if reply.status >= 300:
            return await self.backup(request, why=refusal(reply)[0], status=reply.status)
        return _redirect("/box/backup#waits")

    async def apply(self, request: Request) -> Reply:
        """Take the uploaded backup, and start anew."""
        form = forms.read(request)
        if form.get("do") != "yes":
            await self._frame.ask(request, "DELETE", "/api/v1/backup/restore")
            return _redirect("/box/backup")
        body = {"config": form.get("config") == "yes", "box": form.get("box") == "yes"}
        reply = await self._frame.ask(request, "POST", "/api/v1/backup/restore/apply", body=body)
        return await self._and_restart(request, reply)

    async def back(self, request: Request) -> Reply:
        """Take the state from before the last restore."""
        forms.read(request)
        return await self._and_restart(
            request, await self._frame.ask(request, "POST", "/api/v1/backup/return")
        )

    async def _and_restart(self, request: Request, reply: Reply) -> Reply:
        if reply.status >= 300:
            return await self.backup(request, why=refusal(reply)[0], status=reply.status)
        notes = " ".join(f"{note}." for note in reply.value.get("notes", ()))
        again = await self._frame.ask(request, "POST", "/api/v1/restart")
        said = (
            _SAID["anew"] if again.status < 300 else "It is taken with the next start: restart the appliance."
        )
        return await self.backup(request, said=f"{said} {notes}".strip())

    async def bundle(self, request: Request) -> Reply:
        reply = await self._frame.ask(request, "GET", "/api/v1/support-bundle")
        if reply.status >= 300:
            raise _as_error(reply)
        return reply  # type: ignore[no-any-return]

    # -- parts ------------------------------------------------------------------------------------------------------

    async def _stream(self, request: Request, path: str, body: Any) -> Any:
        """An operation that takes or gives a file: it gets the connection itself."""
        inner = replace(
            request, method="POST", path=path, params={}, query={}, body=None, note=type(request.note)(),
            content=b"" if body is None else json.dumps(body).encode(),
            headers={**request.headers, **({} if body is None else {"content-type": "application/json"})},
        )  # fmt: skip
        return await self._ctx.get(RouteTable).dispatch(inner)

    async def _get(self, request: Request, path: str) -> Any:
        reply = await self._frame.ask(request, "GET", path)
        if reply.status != 200:
            raise _as_error(reply)
        return reply.value


#: What was done, for the reader.
_SAID = {
    "restarting": "The box restarts. It answers again in a minute or two.",
    "anew": "The appliance starts anew. It answers again in a few seconds.",
    "off": "The box switches itself off. To start it again, take its power away and give it back.",
    "erasing": "Everything is erased now, and the box starts as new: claim it with the setup code on its screen.",
    "safe": "From the next start on, only the plugins that came with the appliance run.",
    "dismissed": "Forgotten.",
}


def _as_error(reply: Reply) -> ApiError:
    why, errors = refusal(reply)
    error = ApiError(why, errors=errors)
    error.status = reply.status
    return error


def _redirect(where: str) -> Reply:
    return Reply("", 303, {"Location": where, "Cache-Control": "no-store"}, "text/plain")


def page_routes(pages: Pages) -> tuple[Route, ...]:
    """All pages. Their forms leave the audit trail to the operations that they do."""

    def page(method: str, path: str, handler: Any, scope: str, **more: Any) -> Route:
        return Route(
            method, path, handler, scope, page=True, audit=False, plain=False, secret=method == "POST", **more
        )

    restore = "backup:restore"
    return (
        page("GET", "/box", pages.box, "box:read", menu=Menu("Box", "box", 5)),
        page("GET", "/box/network", pages.network, "box:admin"),
        page("POST", "/box/network", pages.change, "box:admin"),
        page("POST", "/box/network/settle", pages.settle, "box:admin"),
        page("POST", "/box/unlock", pages.unlock, "self:write"),
        page("GET", "/box/backup", pages.backup, "backup:create"),
        page("POST", "/box/backup", pages.download, "backup:create"),
        page("POST", "/box/restore", pages.upload, restore, as_it_comes=True, max_body=LARGEST),
        page("POST", "/box/restore/apply", pages.apply, restore),
        page("POST", "/box/restore/return", pages.back, restore),
        page("GET", "/box/support-bundle", pages.bundle, "config:read"),
        page("POST", "/box/do/{what}", pages.do, "box:admin"),
    )
