"""Time from a GPS receiver: its pulse on a pin and its sentences on a serial line, handed to chronyd; how well that goes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from appliance.api.context import RunContext, SetupContext
from appliance.api.contrib import HealthCheck, Metric, Panel, Route
from appliance.api.plugin import PluginInfo, hookimpl
from appliance_gps.config import GpsConfig
from appliance_gps.service import Receiver

if TYPE_CHECKING:
    import click

plugin = PluginInfo(id="gps", title="GPS and PPS", api=1, config=GpsConfig, provides=(Receiver,))


@hookimpl
def setup(ctx: SetupContext) -> None:
    ctx.provide(Receiver, Receiver(ctx))


@hookimpl
async def run(ctx: RunContext) -> None:
    await ctx.get(Receiver).run(ctx)


@hookimpl
def routes(ctx: SetupContext) -> Iterable[Route]:
    from appliance_gps.routes import routes as gps_routes

    return gps_routes(ctx.get(Receiver))


@hookimpl
def panels(ctx: SetupContext) -> Iterable[Panel]:
    from appliance_gps.shown import panel

    receiver = ctx.get(Receiver)
    return [panel(receiver)] if receiver.wanted else []


@hookimpl
def metrics(ctx: SetupContext) -> Iterable[Metric]:
    from appliance_gps.shown import metrics as gps_metrics

    return gps_metrics(ctx.get(Receiver))


@hookimpl
def health_checks(ctx: SetupContext) -> Iterable[HealthCheck]:
    from appliance_gps.shown import health_checks as gps_checks

    return gps_checks(ctx.get(Receiver))


@hookimpl
def commands(cli: click.Group) -> None:
    from appliance_gps.cli import register

    register(cli)
