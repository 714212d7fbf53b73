"""The box itself: host name, network, SSH, restart, reset, backup, and what a person who helps needs to see."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.api.agent import Agent
from appliance.api.context import RunContext, SetupContext
from appliance.api.contrib import HealthCheck, Route
from appliance.api.plugin import PluginInfo, hookimpl
from appliance.api.services import Frame
from appliance_box.config import BoxConfig

if TYPE_CHECKING:
    import click

plugin = PluginInfo(
    id="box",
    title="Box",
    api=1,
    config=BoxConfig,
    provides=(Agent,),
    after=("web", "people"),
)


@hookimpl
def setup(ctx: SetupContext) -> None:
    from appliance_box.agent.client import Client

    config: BoxConfig = ctx.config
    ctx.provide(Agent, Client(Path(config.agent_socket)))  # type: ignore[type-abstract]


@hookimpl
def routes(ctx: SetupContext) -> Iterable[Route]:
    from appliance_box.backup_operations import Backups, backup_routes
    from appliance_box.bundle_operations import Bundles, bundle_routes
    from appliance_box.operations import Operations, box_routes
    from appliance_box.pages import Pages, page_routes

    box = Operations(ctx)
    backups = Backups(ctx, box)
    found = (*box_routes(box), *backup_routes(backups), *bundle_routes(Bundles(ctx, box)))
    frame = ctx.find(Frame)  # type: ignore[type-abstract]
    if frame is None:  # no pages without the plugin that draws them
        return found
    frame.add_templates(ctx.id, Path(__file__).parent / "templates")
    return (*found, *page_routes(Pages(frame, ctx)))


@hookimpl
def health_checks(ctx: SetupContext) -> Iterable[HealthCheck]:
    from appliance_box import operations
    from appliance_box.checks import checks

    config: BoxConfig = ctx.config
    return checks(ctx, Path(config.agent_socket), operations.ROOT)


@hookimpl
def commands(cli: click.Group) -> None:
    from appliance_box.cli import register

    register(cli)


@hookimpl
async def run(ctx: RunContext) -> None:
    from appliance_box.service import serve

    await serve(ctx)
