"""The box itself: host name, network, SSH, restart, reset, backup, and what a person who helps needs to see."""

from __future__ import annotations

from pathlib import Path

from appliance.api.agent import Agent
from appliance.api.context import RunContext, SetupContext
from appliance.api.plugin import PluginInfo, hookimpl
from appliance_box.config import BoxConfig

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
async def run(ctx: RunContext) -> None:
    from appliance_box.service import serve

    await serve(ctx)
