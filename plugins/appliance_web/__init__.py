"""The pages: what the pool does, why, and the forms to change it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.api.plugin import PluginInfo, hookimpl
from appliance.api.services import Frame
from appliance_web.config import WebConfig
from appliance_web.front import Front
from appliance_web.journal import Journal
from appliance_web.packets import Packets
from appliance_web.site import Site
from appliance_web.stream import Hub
from appliance_web.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Iterable

    import click

    from appliance.api.context import RunContext, SetupContext
    from appliance.api.contrib import HealthCheck, Metric, Migration, Retention, Route

plugin = PluginInfo(
    id="web",
    title="Web pages",
    api=1,
    config=WebConfig,
    provides=(Hub, Journal, Front, Site, Frame, Traffic, Packets),
    after=("clock", "ntp", "members", "monitor", "dns"),
    needs=frozenset({"tcp:80", "tcp:443"}),
)


@hookimpl
def setup(ctx: SetupContext) -> None:
    import secrets

    from appliance.api.contrib import Metric
    from appliance_web.opening import front

    ctx.provide(Hub, Hub(secrets.token_hex(4), most=ctx.config.max_streams))
    ctx.provide(Journal, Journal())
    ctx.provide(Front, front(ctx))
    ctx.provide(Traffic, Traffic(lambda: ctx.contributions(Metric)))
    ctx.provide(Packets, Packets(lambda: ctx.contributions(Metric)))
    site = Site(ctx, ctx.get(Journal))
    ctx.provide(Site, site)
    ctx.provide(Frame, site)  # type: ignore[type-abstract]


@hookimpl
def routes(ctx: SetupContext) -> Iterable[Route]:
    from appliance_web.console import console_routes
    from appliance_web.machine import machine_routes
    from appliance_web.packets import packet_routes
    from appliance_web.routes import web_routes
    from appliance_web.tls.operations import tls_routes
    from appliance_web.traffic import traffic_routes

    return (
        *web_routes(ctx),
        *console_routes(ctx.get(Site)),
        *machine_routes(ctx.state_dir),
        *tls_routes(ctx),
        *traffic_routes(ctx, ctx.get(Traffic)),
        *packet_routes(ctx),
    )


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

    def refused() -> Iterable[tuple[tuple[str, ...], float]]:
        return [((code,), float(number)) for code, number in ctx.get(Front).book.counts.items()]

    def expiry() -> float:
        serving = ctx.get(Front).keeper.serving
        return serving.facts.ends_s if serving else 0.0

    return (
        Metric("web_streams", "Live pages that are open", "gauge", lambda: len(ctx.get(Hub))),
        Metric(
            "web_refused_total", "Requests refused at the door, by reason", "counter", refused, ("reason",)
        ),
        Metric(
            "certificate_expiry_timestamp_seconds",
            "When the certificate that is served ends",
            "gauge",
            expiry,
        ),
    )


@hookimpl
def health_checks(ctx: SetupContext) -> Iterable[HealthCheck]:
    from appliance.api.contrib import HealthCheck
    from appliance_web.tls.operations import trouble

    async def https() -> str | None:
        return trouble(ctx.get(Front), ctx.clock.wall_ns() / 1e9)

    remedy = "`timeball tls show` tells more; `timeball tls reset` goes back to the box's own certificate"
    return (
        HealthCheck(
            "https", https, remedy=remedy, well="the pages are served over HTTPS where they should be"
        ),
    )


@hookimpl
def commands(cli: click.Group) -> None:
    from appliance_web import console_cli, status_cli
    from appliance_web.tls.commands import add_commands

    add_commands(cli)
    status_cli.add_commands(cli)
    cli.add_command(console_cli.show_console)


@hookimpl
async def run(ctx: RunContext) -> None:
    from appliance_web.service import serve

    await serve(ctx)
