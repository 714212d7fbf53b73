"""The host's own operations: health, plugins, configuration, the API document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance.api.contrib import Route
from appliance.api.errors import NotFound
from appliance.api.model import Level
from appliance.core.routes import Reply, Request
from appliance.host import answers
from appliance.host.anew import anew_routes
from appliance.host.checklists import Checklists
from appliance.host.config_routes import config_routes
from appliance.host.doctor import doctor_routes
from appliance.host.how_it_runs import how_it_runs
from appliance.host.installed_routes import installed_routes
from appliance.kit.quality import as_dict

if TYPE_CHECKING:
    from appliance.host.app import Host


def own_routes(host: Host) -> tuple[Route, ...]:
    """Routes that exist whatever plugins there are."""
    checklists = Checklists(host)

    async def get_health(request: Request) -> Reply:
        # Each look makes every check work, and strangers may look a thousand times a minute.
        known = request.actor.kind != "nobody"
        fresh = await (host.refresh_health() if known else host.recent_health())
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
        found = await checklists.of(good)
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

    async def retry_plugin(request: Request) -> Any:
        supervised = host.supervised.get(request.params["id"])
        if supervised is None:
            raise NotFound(f"there is no plugin {request.params['id']}")
        supervised.retry_now()
        return _status(host, request.params["id"])

    async def get_openapi(request: Request) -> Reply:
        return Reply(host.routes.openapi_json())

    async def get_status(request: Request) -> dict[str, Any]:
        return {
            "version": host.version,
            "started_at": host.started_at,
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
            "POST",
            "/api/v1/plugins/{id}/retry",
            retry_plugin,
            "plugins:write",
            "Try a failed or waiting plugin again now",
            returns=answers.PLUGIN,
        ),
        Route("GET", "/api/v1/openapi.json", get_openapi, "public", "This document", returns=answers.OPENAPI),
        *anew_routes(host),
        *installed_routes(host),
        *config_routes(host),
        *doctor_routes(host),
    )


def _status(host: Host, key: str) -> dict[str, Any]:
    status = host.supervised[key].status
    return {name: getattr(status, name) for name in status.__slots__}
