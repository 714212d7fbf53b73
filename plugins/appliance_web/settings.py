"""The settings pages: every table as a form, then the difference, then the result, and the way back."""

from __future__ import annotations

import json
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, quote

from appliance.api.errors import ApiError, Invalid, NotFound
from appliance.api.pages import ask_confirmed, refusal
from appliance.core.routes import Reply, Request
from appliance.dataplane.interface import Endpoint
from appliance_web.actions import redirect
from appliance_web.forms import reading
from appliance_web.forms.changes import changes
from appliance_web.forms.drawing import Drawing, error_path, summary
from appliance_web.forms.fields import fields
from appliance_web.site import Site
from appliance_web.views import settings as view

#: A list of a hundred rows with a dozen fields each fits.
FORM_BYTES = 2_000_000
_MOST_FIELDS = 20_000
#: Previews that somebody may still press the button of.
_MOST_PROPOSALS = 64
#: Codes of refusals that are about the password and not about the change.
_OF_THE_PASSWORD = ("confirm_password", "too_often")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change that was shown and waits for its button; it stays here, so that no secret travels back to the browser."""

    table: str
    body: Mapping[str, Any]
    undoes: int = 0
    title: str = ""

    @property
    def method(self) -> str:
        """Of the operation that makes it."""
        return "POST" if self.undoes else "PATCH"

    @property
    def path(self) -> str:
        """Of the operation that makes it."""
        return f"/api/v1/config/changes/{self.undoes}/undo" if self.undoes else "/api/v1/config"


class Settings:
    """Handlers.

    Attributes:
        site: what all pages share.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self._proposals: OrderedDict[str, Proposal] = OrderedDict()

    # -- looking ----------------------------------------------------------------------------------------------------

    async def index(self, request: Request) -> Reply:
        found = await self._get(request, "/tables")
        history = await self._get(request, "/changes")
        tables = view.tables(found["tables"])
        return await self.site.page(
            request, "settings.html", "Settings", here="/settings", live="config", topic="configuration",
            same=[("CLI", "timeball config history"), ("CLI", "timeball config explain KEY"), ("API", "GET /api/v1/config/tables")],
            said=view.sentence(tables, history, found["broken"]),
            tables=tables,
            latest=[view.change(entry) for entry in history[:5]],
        )  # fmt: skip

    async def table(self, request: Request) -> Reply:
        about = await self.about(request, request.params["table"])
        return await self._form_page(request, about, reading.fill(fields(about["schema"]), about["values"]))

    async def history(self, request: Request) -> Reply:
        entries = [view.change(entry) for entry in await self._get(request, "/changes")]
        return await self.site.page(
            request, "settings_history.html", "Changes of the settings", here="/settings", live="config",
            topic="configuration", same=[("CLI", "timeball config history"), ("API", "GET /api/v1/config/changes")],
            entries=entries,
        )  # fmt: skip

    async def change(self, request: Request) -> Reply:
        number = quote(request.params["id"], safe="")
        entry = await self._get(request, f"/changes/{number}")
        return await self.site.page(
            request, "settings_change.html", f"Change {entry['id']}", here="/settings", live="config plugin",
            topic="configuration",
            same=[("CLI", f"timeball config diff {entry['id']}"), ("CLI", f"timeball config undo {entry['id']}"),
                  ("API", f"GET /api/v1/config/changes/{entry['id']}")],
            entry=view.change(entry),
            diff=view.diff_lines(entry["diff"]),
            addresses=await self._new_addresses(request, entry),
        )  # fmt: skip

    # -- changing ---------------------------------------------------------------------------------------------------

    async def submit(self, request: Request) -> Reply:
        """A form came back: rearrange its rows, or check it and show what it would do."""
        form = read_form(request)
        about = await self.about(request, request.params["table"])
        known = fields(about["schema"])
        operation = next(iter(form.get("op", ())), "review")
        if operation != "review":
            return await self._form_page(request, about, reading.rearranged(known, form, operation))
        was = _was(form)
        now, errors = reading.read(known, form)
        wanted = changes(known, was, now, form, about)
        body = _body(about["table"], wanted)
        if errors:
            errors = await self._more_errors(request, about, body) | errors
            return await self._form_page(request, about, form, errors, status=422)
        if form.get("on.there") and bool(form.get("on")) != about["on"]:
            body["set"][f"{about['table']}.enabled"] = bool(form.get("on"))
        if not body["set"] and not body["unset"]:
            return await self._form_page(request, about, form, why="Nothing is different from what is set.")
        revision = next(iter(form.get("revision", ())), "")
        return await self._preview(
            request, about, Proposal(request.params["table"], {**body, "revision": revision}), form
        )

    async def switch(self, request: Request) -> Reply:
        """Switch a plugin on or off: shows what that means first."""
        plugin = request.params["id"]
        about = await self.about(request, plugin)
        body = {
            "set": {f"{about['table']}.enabled": not about["on"]},
            "unset": [],
            "revision": about["revision"],
        }
        return await self._preview(request, about, Proposal(plugin, body), None)

    async def undo(self, request: Request) -> Reply:
        """Show what taking a change back would do."""
        number = quote(request.params["id"], safe="")
        reply = await self.site.operations.ask(
            request, "POST", f"/api/v1/config/changes/{number}/undo", body={"dry_run": True}
        )
        if reply.status >= 300:
            raise _as_error(reply)
        return await self._preview_page(
            request, Proposal("", {}, int(number)), reply.value, f"Take change {number} back"
        )

    async def apply(self, request: Request) -> Reply:
        """Do what was shown."""
        form = {name: values[-1] for name, values in read_form(request).items()}
        proposal = self._proposals.pop(form.get("proposal", ""), None)
        if proposal is None:
            raise NotFound(
                "this preview is not there any more: it was done already, or the appliance started again since. "
                "The history of the settings shows what was changed"
            )
        reply = await ask_confirmed(
            self.site.operations, request, form, proposal.method, proposal.path, proposal.body
        )
        if reply.status >= 300:
            if (again := await self._asked_again(request, proposal, reply)) is not None:
                return again
            if proposal.table:
                return await self._refused(
                    request, await self.about(request, proposal.table), proposal, reply, None
                )
            raise _as_error(reply)
        made = reply.value.get("change")
        return redirect(f"/settings/changes/{made['id']}" if made else "/settings")

    async def keep(self, request: Request) -> Reply:
        number = quote(request.params["id"], safe="")
        reply = await self.site.operations.ask(request, "POST", f"/api/v1/config/changes/{number}/keep")
        if reply.status >= 300:
            raise _as_error(reply)
        return redirect(f"/settings/changes/{number}")

    async def proposed(
        self, request: Request, proposal: Proposal, title: str
    ) -> tuple[str, Mapping[str, str], Reply | None]:
        """What a change would do, as a page; without one, why there is none and what is wrong, by key."""
        body = {**proposal.body, "dry_run": True}
        reply = await self.site.operations.ask(request, "PATCH", "/api/v1/config", body=body)
        if reply.status >= 300:
            return *refusal(reply), None
        if not reply.value["diff"]:
            return "The files say that already.", {}, None
        return "", {}, await self._preview_page(request, proposal, reply.value, title)

    # -- parts ------------------------------------------------------------------------------------------------------

    async def _asked_again(self, request: Request, proposal: Proposal, reply: Reply) -> Reply | None:
        """The preview once more, when the password was missing or not taken; None when it is refused for another reason."""
        why, errors = refusal(reply)
        if reply.value.get("code") not in _OF_THE_PASSWORD and errors.keys() != {"password"}:
            return None
        shown = await self.site.operations.ask(
            request, proposal.method, proposal.path, body={**proposal.body, "dry_run": True}
        )
        if shown.status >= 300:
            return None
        wrong = errors.get("password", "")
        return await self._preview_page(
            request, proposal, shown.value, proposal.title, why=why, wrong=wrong, status=reply.status
        )

    async def _preview(
        self, request: Request, about: Mapping[str, Any], proposal: Proposal, form: reading.Form | None
    ) -> Reply:
        reply = await self.site.operations.ask(
            request, "PATCH", "/api/v1/config", body={**proposal.body, "dry_run": True}
        )
        if reply.status >= 300:
            return await self._refused(request, about, proposal, reply, form)
        if not reply.value["diff"]:
            return await self._form_page(request, about, form or {}, why="The files say that already.")
        return await self._preview_page(request, proposal, reply.value, f"Change {about['title']}")

    async def _more_errors(
        self, request: Request, about: Mapping[str, Any], body: Mapping[str, Any]
    ) -> dict[str, str]:
        """What the model says of the fields that can be read, so that everything is told at once."""
        if not body["set"] and not body["unset"]:
            return {}
        reply = await self.site.operations.ask(
            request, "PATCH", "/api/v1/config", body={**body, "dry_run": True}
        )
        found = refusal(reply)[1] if reply.status == 422 else {}
        return {error_path(key, about["table"]): text for key, text in found.items()}

    async def _preview_page(
        self, request: Request, proposal: Proposal, planned: Mapping[str, Any], title: str, *, why: str = "",
        wrong: str = "", status: int = 200,
    ) -> Reply:  # fmt: skip
        key = secrets.token_urlsafe(16)
        self._proposals[key] = replace(proposal, title=title)
        while len(self._proposals) > _MOST_PROPOSALS:
            self._proposals.popitem(last=False)
        return await self.site.page(
            request, "settings_preview.html", title, here="/settings", topic="configuration", status=status,
            title_said=title,
            key=key,
            table=proposal.table,
            diff=view.diff_lines(planned["diff"]),
            notes=planned["notes"],
            effects=view.effects(planned["effects"]),
            locks_out=planned["locks_out"],
            confirm_s=planned["confirm_s"],
            needs_password=planned["needs_password"],
            ask_password=bool(planned["needs_password"]) and not request.actor.confirmed,
            why=why,
            wrong=wrong,
        )  # fmt: skip

    async def _refused(self, request: Request, about: Mapping[str, Any], proposal: Proposal, reply: Reply,
                       form: reading.Form | None) -> Reply:  # fmt: skip
        """The form again, with what is wrong beside the fields, or on top of what somebody else has changed."""
        why, errors = refusal(reply)
        if form is None or reply.status == 412:
            known = fields(about["schema"])
            form = reading.fill(known, view.overlaid(about["values"], proposal.body, about["table"]))
        marks = {error_path(key, about["table"]): text for key, text in errors.items()}
        if reply.status == 412:
            value = reply.value if isinstance(reply.value, Mapping) else {}
            marks |= {error_path(key, about["table"]): "somebody else changed this meanwhile"
                      for key in value.get("overlap") or ()}  # fmt: skip
        return await self._form_page(request, about, form, marks, why=why, status=reply.status)

    async def _form_page(
        self, request: Request, about: Mapping[str, Any], form: reading.Form, errors: Mapping[str, str] | None = None,
        *, why: str = "", status: int = 200,
    ) -> Reply:  # fmt: skip
        known = fields(about["schema"])
        drawing = Drawing(form, errors or {}, about["keys"], about["values"])
        drawn = drawing.draw(known)
        table = about["table"]
        name = table.removeprefix("plugins.")
        keep_was = form.get("was") if status != 412 else None
        return await self.site.page(
            request, "settings_table.html", about["title"], here="/settings", topic="configuration", status=status,
            same=[("CLI", f"timeball config set {table}.KEY=VALUE"), ("CLI", f"timeball config explain {table}.KEY"),
                  ("API", f"GET /api/v1/config/tables/{name}"), ("API", "PATCH /api/v1/config")],
            about=about,
            name=name,
            usual=[d for d in drawn if not d.field.advanced],
            advanced=[d for d in drawn if d.field.advanced],
            advanced_open=any(d.troubled for d in drawn if d.field.advanced),
            wrong=summary(drawn),
            general=drawing.rest(),
            why=why,
            on=bool(form.get("on")) if form.get("on.there") else about["on"],
            was=keep_was[0] if keep_was else json.dumps(reading.together(known, about["values"])),
            revision=(form.get("revision") or [about["revision"]])[0] if keep_was else about["revision"],
        )  # fmt: skip

    async def about(self, request: Request, table: str) -> dict[str, Any]:
        found: dict[str, Any] = await self._get(request, f"/tables/{quote(table, safe='')}")
        return found

    async def _get(self, request: Request, path: str) -> Any:
        reply = await self.site.operations.ask(request, "GET", f"/api/v1/config{path}")
        if reply.status != 200:
            raise _as_error(reply)
        return reply.value

    async def _new_addresses(self, request: Request, entry: Mapping[str, Any]) -> list[str]:
        """Where the pages are after a change of where they listen."""
        moved = (
            {"plugins.web.listen": "http", "plugins.web.listen_tls": "https"}.items()
            if entry["state"] == "waiting"
            else ()
        )
        if not any(key in entry["keys"] for key, _ in moved):
            return []
        about = await self.about(request, "web")
        host = request.headers.get("host", "localhost").rpartition(":")[0] or "localhost"
        found = []
        for key, scheme in moved:
            listen = about["values"].get(key.rpartition(".")[2], ())
            if isinstance(listen, list):
                found += [
                    view.address(scheme, Endpoint.parse(text), host) for text in listen if text != "auto"
                ]
        return found


def read_form(request: Request) -> dict[str, list[str]]:
    """All fields of a form with all their values.

    Raises:
        Invalid: it is not such a form.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.content and media_type != "application/x-www-form-urlencoded":
        raise Invalid(
            "this address takes a form (application/x-www-form-urlencoded); programs use /api/v1/config"
        )
    if len(request.content) > FORM_BYTES:
        raise Invalid("the form is too large")
    try:
        return parse_qs(
            request.content.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
        )
    except ValueError:
        raise Invalid("the form cannot be read") from None


def _was(form: reading.Form) -> dict[str, Any]:
    try:
        value = json.loads(next(iter(form.get("was", ())), ""))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Invalid("the form is not whole: load the page again")
    return value


def _body(table: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "set": {f"{table}.{key}": value for key, value in wanted.items() if value is not None},
        "unset": [f"{table}.{key}" for key, value in wanted.items() if value is None],
    }


def _as_error(reply: Reply) -> ApiError:
    why, errors = refusal(reply)
    error = ApiError(why, errors=errors)
    error.status = reply.status
    return error


__all__: Sequence[str] = ("Settings",)
