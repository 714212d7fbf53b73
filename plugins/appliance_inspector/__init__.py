"""Looks at sampled packets: readable rules, judged in a child process; alerts say what, who, since when, and what would stop it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.api.context import RunContext, SetupContext
from appliance.api.contrib import HealthCheck, Metric, PacketPolicy, Panel, Route
from appliance.api.plugin import PluginInfo, hookimpl
from appliance.api.services import Frame
from appliance_inspector.config import InspectorConfig
from appliance_inspector.service import Inspector

if TYPE_CHECKING:
    import click

plugin = PluginInfo(
    id="inspector",
    title="Inspector",
    api=1,
    config=InspectorConfig,
    provides=(Inspector,),
    after=("ntp", "dns", "web"),
    # The child takes memory that a small machine may not have to spare.
    enabled=False,
)


@hookimpl
def setup(ctx: SetupContext) -> None:
    ctx.provide(Inspector, Inspector(ctx))


@hookimpl
async def run(ctx: RunContext) -> None:
    await ctx.get(Inspector).run(ctx)


@hookimpl
def packet_policies(ctx: SetupContext) -> Iterable[PacketPolicy]:
    return [PacketPolicy(order=100, current=ctx.get(Inspector).ignored.rules)]


@hookimpl
def routes(ctx: SetupContext) -> Iterable[Route]:
    from appliance_inspector.pages import page_routes
    from appliance_inspector.routes import routes as api_routes

    inspector = ctx.get(Inspector)
    frame = ctx.find(Frame)  # type: ignore[type-abstract]
    if frame is None:  # no pages without the plugin that draws them
        return api_routes(inspector)
    frame.add_templates(ctx.id, Path(__file__).parent / "templates")
    return [*api_routes(inspector), *page_routes(frame, inspector)]


@hookimpl
def panels(ctx: SetupContext) -> Iterable[Panel]:
    from appliance_inspector.shown import panel

    return [panel(ctx.get(Inspector))]


@hookimpl
def metrics(ctx: SetupContext) -> Iterable[Metric]:
    from appliance_inspector.shown import metrics as own_metrics

    return own_metrics(ctx.get(Inspector))


@hookimpl
def health_checks(ctx: SetupContext) -> Iterable[HealthCheck]:
    from appliance_inspector.shown import health_checks as own_checks

    return own_checks(ctx.get(Inspector))


@hookimpl
def commands(cli: click.Group) -> None:
    from appliance_inspector.cli import register

    register(cli)
