"""Operations that start the appliance anew: in place, and with other people's plugins left out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from appliance.api.contrib import Route
from appliance.api.errors import Conflict
from appliance.core.routes import Request
from appliance.host import answers

if TYPE_CHECKING:
    from appliance.host.app import Host

log = logging.getLogger("timeball.host")


def anew_routes(host: Host) -> tuple[Route, ...]:
    """Routes of the host itself."""

    async def restart(request: Request) -> dict[str, Any]:
        if host.changes.restart is None:
            raise Conflict("this process cannot start itself anew: whoever started it has to")
        log.warning("%s starts the appliance anew", request.actor)
        host.restart_soon()
        return {"restarting": True, "started_at": host.started_at}

    async def enter_safe_mode(request: Request) -> dict[str, Any]:
        if host.starts is None:
            raise Conflict("this process keeps no book of its starts")
        host.starts.enter(f"{request.actor} asked for it")
        log.warning("%s wants safe mode from the next start on", request.actor)
        return {"safe_mode": True, "takes_effect": "with the next start"}

    return (
        Route("POST", "/api/v1/restart", restart, "box:restart", "Start the appliance anew, in place: what was installed or taken back takes effect", returns=answers.RESTARTING),
        Route(
            "POST", "/api/v1/plugins/safe-mode/enter", enter_safe_mode, "plugins:write",
            "Leave other people's plugins out from the next start on", returns=answers.LEFT,
        ),
    )  # fmt: skip
