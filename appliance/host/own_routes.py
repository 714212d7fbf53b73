"""The host's own operations: health, plugins, configuration, the API document."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from appliance.api.contrib import Route
from appliance.api.errors import Conflict, NotFound, StoreError
from appliance.api.model import Level
from appliance.core.routes import Reply, Request
from appliance.host import answers
from appliance.host.anew import anew_routes
from appliance.host.config_routes import config_routes
from appliance.host.doctor import doctor_routes
from appliance.host.how_it_runs import how_it_runs
from appliance.kit.installed import CannotInstall, Installed, overview
from appliance.kit.measure import measured, seen
from appliance.kit.quality import Quality, as_dict, judged, read

if TYPE_CHECKING:
    from appliance.host.app import Host
    from appliance.host.loader import Loaded

log = logging.getLogger("timeball.host")


def own_routes(host: Host) -> tuple[Route, ...]:
    """Routes that exist whatever plugins there are."""

    async def get_health(request: Request) -> Reply:
        fresh = await host.refresh_health()
        status = 503 if fresh.level is Level.FAILING else 200
        return Reply(
            {
                "status": fresh.level,
                "problems": fresh.problems,
                "as_of": fresh.as_of,
                # Which version runs here is nobody's business who only wants to know whether it is well.
                **({"version": host.version} if request.actor.may("box:read") else {}),
            },
            status,
        )

    async def get_plugins(request: Request) -> list[Any]:
        good = {loaded.id: loaded for loaded in host.plugins.good()}
        found = {key: await how_good(host, loaded) for key, loaded in good.items()}
        return [
            {
                **_status(host, key),
                "contributions": {h: len(c) for h, c in host.shared.contributions.get(key, {}).items()},
                "faults": [fault.text for fault in host.faults.of(key)],
                "quality": as_dict(found.get(key)),
                "deprecated": list(good[key].deprecated) if key in good else [],
            }
            for key in host.supervised
        ]

    async def get_installed(request: Request) -> dict[str, Any]:
        return {
            **await asyncio.get_running_loop().run_in_executor(
                host.shared.threads, look, Installed(host.state_dir)
            ),
            "safe_mode": host.starts.book.safe if host.starts else "",
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

    async def retry_plugin(request: Request) -> Any:
        supervised = host.supervised.get(request.params["id"])
        if supervised is None:
            raise NotFound(f"there is no plugin {request.params['id']}")
        supervised.retry_now()
        return _status(host, request.params["id"])

    async def get_openapi(request: Request) -> dict[str, Any]:
        return host.routes.openapi()

    async def get_status(request: Request) -> dict[str, Any]:
        return {
            "version": host.version,
            "state_dir": host.state_dir,
            "health": host.health.get(),
            "store": host.store.stats(),
            "loop_lag": host.lag.lag,
            "bus_dropped": host.bus.dropped(),
            "safe_mode": host.starts.safe_mode(left_out=any(p.left_out for p in host.plugins.found))
            if host.starts
            else None,
            **how_it_runs(host.plane),
        }

    return (
        Route(
            "GET",
            "/health",
            get_health,
            "public",
            "Is it well? 503 when something is failing",
            returns=answers.HEALTH,
            also=(503,),
        ),
        Route(
            "GET",
            "/api/v1/health",
            get_health,
            "public",
            "The same as /health",
            returns=answers.HEALTH,
            also=(503,),
        ),
        Route(
            "GET",
            "/api/v1/status",
            get_status,
            "box:read",
            "Version, health, store, event loop, data plane, privileges",
            returns=answers.STATUS,
        ),
        Route(
            "GET",
            "/api/v1/plugins",
            get_plugins,
            "box:read",
            "Every plugin with its state and why",
            returns=answers.PLUGINS,
        ),
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
        ),
        Route(
            "POST",
            "/api/v1/plugins/safe-mode/leave",
            leave_safe_mode,
            "plugins:write",
            "Try other people's plugins again with the next start",
            returns=answers.LEFT,
        ),
        Route(
            "POST",
            "/api/v1/plugins/{id}/retry",
            retry_plugin,
            "plugins:write",
            "Try a failed or waiting plugin again now",
            returns=answers.PLUGIN,
        ),
        Route("GET", "/api/v1/openapi.json", get_openapi, "public", "This document", returns=answers.OPENAPI),
        *anew_routes(host),
        *config_routes(host),
        *doctor_routes(host),
    )


async def how_good(host: Host, loaded: Loaded) -> Quality:
    """A plugin's checklist beside what is seen of it here; one that was not set up shows its own word alone."""
    contributed = host.shared.contributions.get(loaded.id)
    if contributed is None:
        return loaded.quality or read("")
    try:
        found = await seen(loaded.id, contributed, host.store)
    except StoreError:
        return loaded.quality or read("")
    # Reading its files is work for a thread.
    rules = await asyncio.get_running_loop().run_in_executor(host.shared.threads, measured, loaded, found)
    return judged(loaded.quality, rules)


def _status(host: Host, key: str) -> dict[str, Any]:
    status = host.supervised[key].status
    return {name: getattr(status, name) for name in status.__slots__}
