"""Who is in the pool: declared and added members, their live check, verification, pauses and removals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from appliance.api.context import RunContext, SetupContext
from appliance.api.contrib import HealthCheck, Metric, Migration, Panel, Route
from appliance.api.plugin import PluginInfo, hookimpl
from appliance.api.services import Members
from appliance.core.routes import RouteTable
from appliance_members.config import Config
from appliance_members.desk import Desk

if TYPE_CHECKING:
    import click

plugin = PluginInfo(id="members", title="Members", api=1, config=Config, provides=(Members, Desk))


@hookimpl
def setup(ctx: SetupContext) -> None:
    desk = Desk(ctx)
    ctx.provide(Members, desk.roster)  # type: ignore[type-abstract]
    ctx.provide(Desk, desk)
    # What stands at these paths are members: whoever may no more than what is his own is held to their owners.
    ctx.get(RouteTable).owners |= dict.fromkeys(("servers", "monitors"), desk.roster.owner_of)


@hookimpl
async def run(ctx: RunContext) -> None:
    from appliance_members.service import Keeper

    desk = ctx.get(Desk)
    await Keeper(ctx, desk.roster, desk.registrar, desk.proofs).run()


@hookimpl
def migrations(ctx: SetupContext) -> Iterable[Migration]:
    from appliance_members.keeping import MIGRATIONS

    return MIGRATIONS


@hookimpl
def routes(ctx: SetupContext) -> Iterable[Route]:
    from appliance_members.operations import Operations
    from appliance_members.routes import member_routes

    desk = ctx.get(Desk)
    return member_routes(Operations(ctx, desk.roster, desk.registrar, desk.proofs))


@hookimpl
def metrics(ctx: SetupContext) -> Iterable[Metric]:
    return ctx.get(Desk).figures.metrics()


@hookimpl
def health_checks(ctx: SetupContext) -> Iterable[HealthCheck]:
    return ctx.get(Desk).figures.health_checks()


@hookimpl
def panels(ctx: SetupContext) -> Iterable[Panel]:
    return [ctx.get(Desk).figures.panel()]


@hookimpl
def commands(cli: click.Group) -> None:
    from appliance_members.cli import register

    register(cli)
