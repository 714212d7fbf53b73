"""The page "Inspector": each button does one operation of the API as the reader; before a network is ignored, the page asks."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, quote

from appliance.api.contrib import Menu, Route
from appliance.api.errors import NotFound
from appliance.api.http import Reply, Request
from appliance.api.services import Frame
from appliance_inspector.routes import alert_shown
from appliance_inspector.service import Inspector

#: As long as the page's button ignores a network; the command line and the API may say another time.
DAY_S = 86_400


def page_routes(frame: Frame, inspector: Inspector) -> list[Route]:
    """The page and its forms."""

    async def show(request: Request, why: str = "", status: int = 200, question: Any = None) -> Reply:
        done = next(
            (entry for entry in inspector.ignored.all() if entry.id == request.query.get("done")), None
        )
        return await frame.page(  # type: ignore[no-any-return]
            request, "inspector/inspector.html", "Inspector", here="/inspector", topic="inspector", status=status, why=why,
            question=question, done=done, day_s=DAY_S,
            about=inspector.summary(), alerts=[alert_shown(inspector, alert) for alert in inspector.alerts.all()[:100]],
            ways=inspector.ways.all()[:10], ignored=inspector.ignored.all(), may=request.actor.may("inspector:operate"),
            same=(("shell", "timeball inspector alerts"), ("http", "GET /api/v1/inspector/alerts")),
        )  # fmt: skip

    async def page(request: Request) -> Reply:
        wanted = request.query.get("apply", "")
        if not wanted or not request.actor.may("inspector:operate"):
            return await show(request)
        try:
            question = alert_shown(inspector, inspector.alerts.find(wanted))
        except NotFound as gone:
            return await show(request, str(gone), gone.status)
        return await show(request, question=question if question["policy"]["kind"] == "ignore" else None)

    async def change(request: Request) -> Reply:
        form = {key: values[-1] for key, values in parse_qs(request.content[:4096].decode("latin-1")).items()}
        if "apply" in form:
            asked: tuple[str, str, Any] = ("POST", f"alerts/{form['apply']}/apply", {"for_s": DAY_S})
        else:
            asked = ("DELETE", f"ignored/{form.get('undo', '')}", None)
        method, path, body = asked
        reply = await frame.ask(request, method, f"/api/v1/inspector/{path}", body=body)
        if reply.status >= 400:
            why = (
                reply.value.get("detail", "it was refused")
                if isinstance(reply.value, dict)
                else "it was refused"
            )
            return await show(request, str(why), reply.status)
        there = f"?done={quote(reply.value['id'])}#ignored" if "apply" in form else ""
        return Reply("", 303, {"Location": f"/inspector{there}"}, "text/html")

    return [
        Route("GET", "/inspector", page, scope="read", page=True, produces=("text/html",), summary="Inspector",
              menu=Menu("Inspector", "pool", 60)),
        Route("POST", "/inspector", change, scope="operate", page=True, produces=("text/html",), audit=False,
              summary="One button of the inspector's page"),
    ]  # fmt: skip
