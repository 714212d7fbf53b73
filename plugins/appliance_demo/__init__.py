"""Simulated members on loopback, for people to see the loop turning and for tests to break."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from appliance.api.context import RunContext, SetupContext
from appliance.api.contrib import Route
from appliance.api.plugin import PluginInfo, hookimpl
from appliance_demo.config import DemoConfig
from appliance_demo.service import Playground, serve

if TYPE_CHECKING:
    import click

plugin = PluginInfo(
    id="demo",
    title="Simulated members",
    api=1,
    config=DemoConfig,
    provides=(Playground,),
    needs=frozenset({"udp:11124"}),
    enabled=False,
)


@hookimpl
def setup(ctx: SetupContext) -> None:
    ctx.provide(Playground, Playground(ctx.config, ctx.clock))


@hookimpl
async def run(ctx: RunContext) -> None:
    await serve(ctx, ctx.get(Playground))


@hookimpl
def routes(ctx: SetupContext) -> Iterable[Route]:
    from appliance_demo.routes import routes as demo_routes

    return demo_routes(ctx.get(Playground))


@hookimpl
def commands(cli: click.Group) -> None:
    from appliance_demo.cli import register

    register(cli)
