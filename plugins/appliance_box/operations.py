"""Operations on the box: what it is, its settings, restart, reset. What needs root's rights is the agent's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from appliance.api.agent import Agent, AgentRefusal
from appliance.api.context import SetupContext
from appliance.api.contrib import Route
from appliance.api.errors import ApiError, Conflict, Invalid, Refused
from appliance.api.http import Request
from appliance_box import answers, bodies, facts, told

#: Of the file system; tests put another one here.
ROOT = Path("/")


class NoAgent(ApiError):
    """Nobody with root's rights is there to do it."""

    status = 503
    code = "no_agent"


def as_error(refusal: AgentRefusal) -> ApiError:
    """A refusal of the agent as one of ours."""
    text = refusal.message + (f"; {refusal.remedy}" if refusal.remedy else "")
    if refusal.code in ("no_agent", "not_allowed", "silent", "broken"):
        return NoAgent(text)
    if refusal.code in ("bad_settings", "bad_arguments", "not_confirmed"):
        field, colon, rest = refusal.message.partition(": ")
        return Invalid(text, errors={field: rest} if colon and " " not in field else {})
    return Conflict(text)


class Operations:
    """Handlers.

    Args:
        ctx: of the plugin.
        root: of the file system; None: this one.
    """

    def __init__(self, ctx: SetupContext, root: Path | None = None) -> None:
        self._ctx = ctx
        self.root = root or ROOT

    async def ask(
        self, action: str, arguments: Mapping[str, Any] | None = None, timeout_s: float = 60.0
    ) -> Mapping[str, Any]:
        """One action of the agent. Raises ApiError."""
        agent = self._ctx.get(Agent)  # type: ignore[type-abstract]
        try:
            return await agent.do(action, arguments, timeout_s=timeout_s)
        except AgentRefusal as refusal:
            raise as_error(refusal) from None

    async def show(self, request: Request) -> dict[str, Any]:
        """What it is, its settings as far as the agent tells them, and what waits."""
        about = await asyncio.to_thread(facts.read, self.root)
        report = await asyncio.to_thread(told.public, self.root)
        settings: Mapping[str, Any] | None = None
        why = about["not_offered"]
        if not why:
            try:
                settings = await self.ask("box.read")
            except ApiError as error:
                why = str(error)
        return {
            **about, "settings": settings and settings["settings"], "pending": settings and settings["pending"],
            "wireless": settings["wireless"] if settings else [], "not_offered": why,
            "preseed": report.as_dict() if report else None,
        }  # fmt: skip

    async def change(self, request: Request) -> Mapping[str, Any]:
        body: bodies.NewSettings = request.body
        request.note.target, request.note.after = "settings of the box", _without_secrets(body.settings)
        settings = body.settings
        if not request.actor.may("ownership:ssh"):
            settings = await self._with_the_same_ssh(settings)
        return await self.ask("box.apply", {"settings": settings, "confirm_s": body.confirm_s})

    async def _with_the_same_ssh(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Settings that let in by SSH whom those in force do: whoever logs in is root, and root is the owner.

        Raises:
            Refused: they let in others.
        """
        ssh = (await self.ask("box.read"))["settings"]["ssh"]
        if wanted.get("ssh", ssh) != ssh:
            raise Refused(
                "who gets in by SSH is root on this box, which is as much as its owner: an owner sets that"
            )
        return {**wanted, "ssh": ssh}

    async def confirm(self, request: Request) -> Mapping[str, Any]:
        return await self.ask("box.confirm", {"id": request.body.id})

    async def go_back(self, request: Request) -> Mapping[str, Any]:
        return await self.ask("box.go_back", {"id": request.body.id})

    async def restart(self, request: Request) -> Mapping[str, Any]:
        return await self.ask("power.restart")

    async def power_off(self, request: Request) -> Mapping[str, Any]:
        return await self.ask("power.off")

    async def reset(self, request: Request) -> Mapping[str, Any]:
        return await self.ask("box.reset", {"confirm": request.body.confirm})

    async def dismiss(self, request: Request) -> Mapping[str, Any]:
        return await self.ask("box.dismiss")


def _without_secrets(settings: Mapping[str, Any]) -> dict[str, Any]:
    wifi = settings.get("wifi")
    covered = {**wifi, "password": "(secret)"} if isinstance(wifi, dict) and wifi.get("password") else wifi
    return {**settings, "wifi": covered} if "wifi" in settings else dict(settings)


def box_routes(o: Operations) -> tuple[Route, ...]:
    """The operations."""
    box = "/api/v1/box"
    refuses = (409, 422, 503)

    def does(
        path: str, handler: Any, summary: str, returns: Any, body: Any = None, scope: str = "box:admin", **more: Any
    ) -> Route:  # fmt: skip
        return Route(
            "POST",
            f"{box}/{path}",
            handler,
            scope,
            summary,
            body=body,
            returns=returns,
            refuses=refuses,
            **more,
        )

    return (
        Route("GET", box, o.show, "box:read", "What this box is, and its settings", returns=answers.BOX),
        does(
            "settings", o.change, "Change host name, network, SSH, time zone", answers.CHANGED, bodies.NewSettings, secret=True,
            confirm=True,
        ),
        does("settings/confirm", o.confirm, "Keep a change that waits for it", answers.CONFIRMED, bodies.Confirmation),
        does("settings/go-back", o.go_back, "Take a change that waits back", answers.GONE_BACK, bodies.Confirmation),
        does("preseed/dismiss", o.dismiss, "Forget what was wrong with the settings of the first start", answers.DISMISSED),
        does("restart", o.restart, "Restart the box", answers.ASKED, confirm=True),
        does("power-off", o.power_off, "Switch the box off", answers.ASKED, confirm=True),
        # The owners go with everything else, and whoever is first then is the next one.
        does(
            "reset", o.reset, "Erase everything and start as new", answers.RESET, bodies.Reset, scope="ownership:reset", confirm=True,
        ),
    )  # fmt: skip
