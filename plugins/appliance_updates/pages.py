"""The page "Updates": each button does one operation of the API as the reader; it works without JavaScript."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import parse_qs

from appliance.api.contrib import Menu, Route
from appliance.api.errors import Invalid
from appliance.api.http import Reply, Request
from appliance.api.pages import ask_confirmed
from appliance.api.services import Frame
from appliance.core.bodies import reading_form
from appliance_updates import shown
from appliance_updates.routes import BASE
from appliance_updates.service import Updates
from appliance_updates.uploads import MOST_BYTES, PIECE_BYTES

_SAME = (
    ("CLI", "timeball update status"), ("CLI", "timeball update check FILE"), ("CLI", "timeball update install FILE"),
    ("CLI", "timeball update rollback"), ("API", f"GET {BASE}"), ("API", f"POST {BASE}/install"),
)  # fmt: skip


class Page:
    """Handlers of /updates."""

    def __init__(self, frame: Frame, updates: Updates) -> None:
        self._frame = frame
        self._updates = updates

    async def show(
        self, request: Request, *, why: str = "", status: int = 200, checked: Mapping[str, Any] | None = None,
        tried: str = "", form: Mapping[str, str] | None = None,
    ) -> Reply:  # fmt: skip
        told = await self._updates.status(fresh=True)
        level, text, more = shown.sentence(told)
        may = request.actor.may("updates:admin")
        ready = await self._updates.candidates() if told["image"] and may else {"found": [], "wrong": []}
        return await self._frame.page(  # type: ignore[no-any-return]
            request, "updates/updates.html", "Updates", here="/updates", topic="updates", same=_SAME, status=status,
            told=told, level=level, text=text, more=more, may=may, ready=ready, why=why, checked=checked, release=shown.version,
            slot_word=shown.slot_word, event=shown.told, confirmed=request.actor.confirmed, piece=PIECE_BYTES,
            tried=tried, form=form or {}, not_taken=tried if status == 422 and not request.actor.confirmed else "",
            fallen=shown.fall_back(told), other=next((s for s in told.get("slots", ()) if not s["running"]), None),
        )  # fmt: skip

    async def page(self, request: Request) -> Reply:
        return await self.show(request)

    async def look(self, request: Request) -> Reply:
        """What a bundle brings, before anybody decides."""
        form = _form(request)
        body = {
            "file": form.get("file", ""),
            "allow_downgrade": "downgrade" in form,
            "again": "again" in form,
        }
        reply = await self._frame.ask(request, "POST", f"{BASE}/check", body=body)
        if reply.status >= 400:
            return await self.show(request, why=_said(reply), status=reply.status)
        return await self.show(request, checked={**reply.value, **body})

    async def _checked(self, request: Request, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What a bundle brings; None when it cannot be told."""
        reply = await self._frame.ask(request, "POST", f"{BASE}/check", body=body)
        return {**reply.value, **body} if reply.status < 400 else None

    async def do(self, request: Request) -> Reply:
        """One button."""
        form = _form(request)
        what = form.get("do", "")
        flags = {"allow_downgrade": "downgrade" in form, "again": "again" in form}
        asked: tuple[str, str, Any] | None = {
            "install": ("POST", f"{BASE}/install", {"file": form.get("file", ""), **flags}),
            "restart": ("POST", f"{BASE}/restart", {}),
            "back": (
                "POST",
                f"{BASE}/back",
                {"keep_data": "keep_data" in form, "unproved": "unproved" in form},
            ),
            "stay": ("POST", f"{BASE}/stay", {}),
            "seen": ("POST", f"{BASE}/seen", {}),
            "delete": ("DELETE", f"{BASE}/uploads/{form.get('file', '').removeprefix('upload:')}", None),
        }.get(what)
        if asked is None:
            raise Invalid("there is no such button", errors={"do": what[:40]})
        reply = await ask_confirmed(self._frame, request, form, *asked)
        if reply.status >= 400:
            return await self.show(
                request,
                why=_said(reply),
                status=reply.status,
                checked=await self._checked(request, asked[2]) if what == "install" else None,
                tried=what,
                form=form,
            )
        return Reply("", 303, {"Location": "/updates"}, "text/html")

    async def upload(self, request: Request) -> Reply:
        """A whole bundle in one form, for browsers without scripts: into a file as it comes."""
        raw = request.raw
        if raw is None or not request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise Invalid("a form with a file is expected", errors={"bundle": "choose a file"})
        if (raw.content_length or 0) > MOST_BYTES:
            raise Invalid("that is more than any bundle has", errors={"bundle": "choose another file"})
        with reading_form():
            reader = await raw.multipart()
            while (part := await reader.next()) is not None:
                if getattr(part, "name", None) == "bundle" and part.filename:
                    uploads = self._updates.uploads
                    await uploads.take(
                        part.filename,
                        raw.content_length or MOST_BYTES,
                        _pieces(part),
                        self._updates.in_thread,
                    )
                    return Reply("", 303, {"Location": "/updates"}, "text/html")
        raise Invalid("the form has no file", errors={"bundle": "choose a file"})


async def _pieces(part: Any) -> AsyncIterator[bytes]:
    """The part's content in pieces that are worth a thread."""
    held = bytearray()
    while chunk := await part.read_chunk(1 << 16):
        held += chunk
        if len(held) >= PIECE_BYTES:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


def _form(request: Request) -> dict[str, str]:
    text = request.content[:16384].decode("utf-8", "replace")
    return {key: values[-1] for key, values in parse_qs(text, keep_blank_values=True).items()}


def _said(reply: Reply) -> str:
    return (
        str(reply.value.get("detail", "it was refused"))
        if isinstance(reply.value, dict)
        else "it was refused"
    )


def page_routes(frame: Frame, updates: Updates) -> list[Route]:
    """The page and its forms. Forms leave the audit trail to the operations that they do."""
    page = Page(frame, updates)
    html = ("text/html",)
    return [
        Route("GET", "/updates", page.page, "read", "Updates", page=True, produces=html, menu=Menu("Updates", "box", 25)),
        Route("POST", "/updates/check", page.look, "operate", "Look into a bundle", page=True, produces=html, audit=False),
        Route("POST", "/updates", page.do, "admin", "One button of the page", page=True, produces=html, audit=False,
              plain=False, secret=True),
        Route("POST", "/updates/upload", page.upload, "admin", "Send a bundle in one form", page=True, produces=html,
              as_it_comes=True, max_body=MOST_BYTES),
    ]  # fmt: skip
