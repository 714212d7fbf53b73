"""The page "Inspector": each button does one operation of the API as the reader."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from appliance.api.contrib import Menu, Route
from appliance.api.http import Reply, Request
from appliance.api.services import Frame
from appliance_inspector.routes import alert_shown
from appliance_inspector.service import Inspector


def page_routes(frame: Frame, inspector: Inspector) -> list[Route]:
    """The page and its forms."""

    async def show(request: Request, why: str = "", status: int = 200) -> Reply:
        return await frame.page(  # type: ignore[no-any-return]
            request, "inspector/inspector.html", "Inspector", here="/inspector", topic="inspector", status=status, why=why,
            about=inspector.summary(), alerts=[alert_shown(inspector, alert) for alert in inspector.alerts.all()[:100]],
            ways=inspector.ways.all()[:10], ignored=inspector.ignored.all(), may=request.actor.may("inspector:operate"),
            same=(("shell", "timeball inspector alerts"), ("http", "GET /api/v1/inspector/alerts")),
        )  # fmt: skip

    async def page(request: Request) -> Reply:
        return await show(request)

    async def change(request: Request) -> Reply:
        form = {key: values[-1] for key, values in parse_qs(request.content[:4096].decode("latin-1")).items()}
        if "apply" in form:
            asked: tuple[str, str, Any] = ("POST", f"alerts/{form['apply']}/apply", {"for_s": 86_400})
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
        return Reply("", 303, {"Location": "/inspector"}, "text/html")

    return [
        Route("GET", "/inspector", page, scope="read", page=True, produces=("text/html",), summary="Inspector",
              menu=Menu("Inspector", "pool", 60)),
        Route("POST", "/inspector", change, scope="operate", page=True, produces=("text/html",), audit=False,
              summary="One button of the inspector's page"),
    ]  # fmt: skip
