"""The pages: what the pool does, why, and the forms to change it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.api.plugin import PluginInfo, hookimpl
from appliance_web.config import WebConfig
from appliance_web.journal import Journal
from appliance_web.stream import Hub

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.api.context import RunContext, SetupContext
    from appliance.api.contrib import Metric, Migration, Retention, Route

plugin = PluginInfo(
    id="web",
    title="Web pages",
    api=1,
    config=WebConfig,
    provides=(Hub, Journal),
    after=("clock", "ntp", "members", "monitor", "dns"),
    needs=frozenset({"tcp:80"}),
)


@hookimpl
def setup(ctx: SetupContext) -> None:
    import secrets

    ctx.provide(Hub, Hub(secrets.token_hex(4), most=ctx.config.max_streams))
    ctx.provide(Journal, Journal())


@hookimpl
def routes(ctx: SetupContext) -> Iterable[Route]:
    from appliance_web.routes import web_routes

    return web_routes(ctx)


@hookimpl
def migrations(ctx: SetupContext) -> Iterable[Migration]:
    from appliance_web.keeping import MIGRATIONS

    return MIGRATIONS


@hookimpl
def retention(ctx: SetupContext) -> Iterable[Retention]:
    from appliance_web.keeping import RETENTION

    return RETENTION


@hookimpl
def metrics(ctx: SetupContext) -> Iterable[Metric]:
    from appliance.api.contrib import Metric

    return (Metric("web_streams", "Live pages that are open", "gauge", lambda: len(ctx.get(Hub))),)


@hookimpl
async def run(ctx: RunContext) -> None:
    from appliance_web.service import serve

    await serve(ctx)
