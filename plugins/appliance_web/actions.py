"""Plain HTML forms: each does one operation of the API as the reader, then sends the reader on to a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, quote

from appliance.api.errors import ApiError, Invalid
from appliance.api.pages import refusal
from appliance.core.routes import Reply, Request
from appliance_web.site import Site

#: A form has a handful of short fields; more is not from our pages.
_MOST_BYTES = 64 * 1024
_MOST_FIELDS = 64

_TEXT_FIELDS = ("name", "operator", "note")
_LIST_FIELDS = ("zones", "tags")
_NUMBER_FIELDS = ("port", "netspeed")


class Actions:
    """Handlers of the forms."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def add_form(self, request: Request) -> Reply:
        """The empty form."""
        return await self._add_page(request, {}, {}, "", [])

    async def add(self, request: Request) -> Reply:
        """Add a member: its page when it was taken, else the form again with what the live check found."""
        form = read_form(request)
        body, errors = member_body(form)
        if errors:
            return await self._add_page(
                request, form, errors, "Something in the form is not right.", [], status=422
            )
        reply = await self._site.operations.ask(request, "POST", "/api/v1/members", body=body)
        value = reply.value if isinstance(reply.value, Mapping) else {}
        created = value.get("created") or []
        if reply.status < 300 and created:
            return redirect(f"/members/{quote(str(created[0]['id']))}?done=added")
        if reply.status < 300:
            present = ", ".join(str(key) for key in value.get("present") or [])
            why = f"It is a member already: {present}." if present else "It was not taken."
            return await self._add_page(request, form, {}, why, value.get("refused") or [], status=409)
        why, fields = refusal(reply)
        return await self._add_page(
            request, form, fields, why, value.get("refused") or [], status=reply.status
        )

    async def pause(self, request: Request) -> Reply:
        hours = read_form(request).get("hours", "")
        limited = hours.isascii() and hours.isdigit() and len(hours) <= 4 and int(hours) > 0
        body = {"for_s": int(hours) * 3600.0} if limited else {}
        return await self._done(request, "pause", "paused", body)

    async def resume(self, request: Request) -> Reply:
        return await self._done(request, "resume", "resumed")

    # -- parts ------------------------------------------------------------------------------------------------------

    async def _done(self, request: Request, verb: str, notice: str, body: Any = None) -> Reply:
        key = quote(request.params["id"], safe="")
        reply = await self._site.operations.ask(request, "POST", f"/api/v1/members/{key}/{verb}", body=body)
        if reply.status >= 300:
            raise as_error(reply)
        return redirect(f"/members/{key}?done={notice}")

    async def _add_page(self, request: Request, form: Mapping[str, str], errors: Mapping[str, str], why: str,
                        refused: Any, *, status: int = 200) -> Reply:  # fmt: skip
        return await self._site.page(
            request, "add.html", "Add a server", here="/members", topic="web", status=status,
            same=[("CLI", "timeball member add ADDRESS"), ("API", 'POST /api/v1/members {"address": "..."}')],
            form=form, more=any(form.get(field) for field in ("name", "operator", "tags", "note")), errors=errors, why=why, refused=refused, general={k: v for k, v in errors.items() if k not in _KNOWN},
        )  # fmt: skip


_KNOWN = frozenset({"address", *_TEXT_FIELDS, *_LIST_FIELDS, *_NUMBER_FIELDS})


def read_form(
    request: Request, *, most_bytes: int = _MOST_BYTES, most_fields: int = _MOST_FIELDS
) -> dict[str, str]:
    """The fields of an HTML form, the last value of each; a password as it was typed, all others without outer spaces.

    Raises:
        Invalid: it is not such a form.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.content and media_type != "application/x-www-form-urlencoded":
        raise Invalid("this address takes a form (application/x-www-form-urlencoded); programs use /api/v1")
    if len(request.content) > most_bytes:
        raise Invalid("the form is too large")
    try:
        fields = parse_qs(
            request.content.decode(), keep_blank_values=True, max_num_fields=most_fields, errors="strict"
        )
    except ValueError:
        raise Invalid("the form cannot be read") from None
    return {name: values[-1] if "password" in name else values[-1].strip() for name, values in fields.items()}


def member_body(form: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The API's body for a form, and what is wrong by field. Empty fields are left to their defaults."""
    body: dict[str, Any] = {"address": form.get("address", "")}
    errors: dict[str, str] = {}
    if not body["address"]:
        errors["address"] = "give an address or a host name"
    for field in _TEXT_FIELDS:
        if form.get(field):
            body[field] = form[field]
    for field in _LIST_FIELDS:
        if form.get(field):
            body[field] = form[field].replace(",", " ").split()
    for field in _NUMBER_FIELDS:
        text = form.get(field, "")
        if text and not (text.isascii() and text.isdigit() and len(text) < 12):
            errors[field] = "a whole number, please"
        elif text:
            body[field] = int(text)
    if form.get("force") == "yes":
        body["force"] = True
    return body, errors


def redirect(where: str) -> Reply:
    """Send the reader on with GET; `where` is always an address of ours."""
    return Reply("", 303, {"Location": where, "Cache-Control": "no-store"}, "text/plain")


def as_error(reply: Reply) -> ApiError:
    """What an operation refused, to be refused in turn."""
    why, fields = refusal(reply)
    error = ApiError(why, errors=fields)
    error.status = reply.status
    return error
