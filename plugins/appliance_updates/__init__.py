"""Updates of the box's image: signed bundles written to the system that does not run, tried, and taken back when they fail."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.api.context import RunContext, SetupContext
from appliance.api.contrib import HealthCheck, Panel, Route
from appliance.api.plugin import PluginInfo, hookimpl
from appliance.api.services import Frame
from appliance_updates.config import UpdatesConfig
from appliance_updates.service import Updates

if TYPE_CHECKING:
    import click

plugin = PluginInfo(
    id="updates",
    title="Updates",
    api=1,
    config=UpdatesConfig,
    provides=(Updates,),
    after=("web", "box", "people"),
)


@hookimpl
def setup(ctx: SetupContext) -> None:
    ctx.provide(Updates, Updates(ctx))


@hookimpl
async def run(ctx: RunContext) -> None:
    await ctx.get(Updates).run(ctx)


@hookimpl
def routes(ctx: SetupContext) -> Iterable[Route]:
    from appliance_updates.pages import page_routes
    from appliance_updates.routes import routes as api_routes

    updates = ctx.get(Updates)
    frame = ctx.find(Frame)  # type: ignore[type-abstract]
    if frame is None:  # no pages without the plugin that draws them
        return api_routes(updates)
    frame.add_templates(ctx.id, Path(__file__).parent / "templates")
    return [*api_routes(updates), *page_routes(frame, updates)]


@hookimpl
def panels(ctx: SetupContext) -> Iterable[Panel]:
    from appliance_updates.shown import panels as own_panels

    return own_panels(ctx.get(Updates))


@hookimpl
def health_checks(ctx: SetupContext) -> Iterable[HealthCheck]:
    from appliance_updates.shown import health_checks as own_checks

    return own_checks(ctx.get(Updates))


@hookimpl
def commands(cli: click.Group) -> None:
    from appliance_updates.cli import register

    register(cli)
