"""Operations on the plugins that were installed on this box."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from appliance.api.contrib import Route
from appliance.api.errors import Conflict
from appliance.core.routes import Request
from appliance.host import answers
from appliance.host.starts import chosen_at_boot
from appliance.kit.installed import CannotInstall, Installed, overview

if TYPE_CHECKING:
    from appliance.host.app import Host

log = logging.getLogger("timeball.host")


def installed_routes(host: Host) -> tuple[Route, ...]:
    """All of them."""

    async def get_installed(request: Request) -> dict[str, Any]:
        return {
            **await asyncio.get_running_loop().run_in_executor(
                host.shared.threads, look, Installed(host.state_dir)
            ),
            "safe_mode": host.starts.book.safe if host.starts else "",
            "waits_for_restart": pending(host),
        }

    def look(installed: Installed) -> dict[str, Any]:
        try:
            return {**overview(installed), "damaged": ""}
        except CannotInstall as why:  # then above all somebody wants to go back
            folder = (installed.home / "current").resolve().name
            return {
                "folder": folder,
                "installed": [],
                "changed": [],
                "history": installed.history(),
                "damaged": str(why),
            }

    async def roll_back(request: Request) -> dict[str, Any]:
        try:
            before = await asyncio.get_running_loop().run_in_executor(
                host.shared.threads, Installed(host.state_dir).roll_back
            )
        except CannotInstall as why:
            raise Conflict(str(why)) from None
        except OSError as error:
            raise Conflict(
                f"{error.filename or 'the state folder'}: {error.strerror}; on the box: sudo timeball plugin rollback"
            ) from None
        request.note.target = before or "no installed plugins"
        log.warning("%s went back to the plugins of %s", request.actor, request.note.target)
        if host.starts is not None:
            host.starts.leave()
        return {"folder": before, "takes_effect": "with the next start"}

    async def leave_safe_mode(request: Request) -> dict[str, Any]:
        if host.starts is None or not host.starts.leave():
            raise Conflict("safe mode does not outlast this start: there is nothing to leave")
        log.warning("%s ends safe mode with the next start", request.actor)
        return {"safe_mode": False, "takes_effect": "with the next start"}

    return (
        Route(
            "GET",
            "/api/v1/plugins/installed",
            get_installed,
            "box:read",
            "What was installed on this box and when, files that changed since, and why safe mode is on",
            returns=answers.INSTALLED,
        ),
        Route(
            "POST",
            "/api/v1/plugins/installed/rollback",
            roll_back,
            "plugins:write",
            "Go back to the plugins before the last installation or removal, with the next start",
            returns=answers.WENT_BACK,
            confirm=True,
        ),
        Route(
            "POST",
            "/api/v1/plugins/safe-mode/leave",
            leave_safe_mode,
            "plugins:write",
            "Try other people's plugins again with the next start",
            returns=answers.LEFT,
            confirm=True,
        ),
    )


def pending(host: Host) -> str:
    """Why what is installed is not what runs, or ""."""
    there = Installed(host.state_dir).in_force()
    if there != host.plugins_in_force:
        return (
            "other plugins are installed than those that run" if there else "no plugin is installed any more"
        )
    over = host.starts is not None and host.starts.safe and not host.starts.book.safe
    if over and not chosen_at_boot():  # that holds until the whole box starts again
        return "safe mode has ended"
    return ""
