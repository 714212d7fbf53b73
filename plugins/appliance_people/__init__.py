"""The people of the box: who may sign in, what each may do, and what each did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from appliance.api.plugin import PluginInfo, hookimpl
from appliance.api.services import AuditWitness, Frame, Identity
from appliance.core.routes import RouteTable
from appliance_people.claim import Claim
from appliance_people.config import PeopleConfig
from appliance_people.people import People
from appliance_people.trail import Trail

if TYPE_CHECKING:
    from collections.abc import Iterable

    import click

    from appliance.api.context import RunContext, SetupContext
    from appliance.api.contrib import HealthCheck, Migration, Route

plugin = PluginInfo(
    id="people",
    title="People",
    api=1,
    config=PeopleConfig,
    provides=(AuditWitness, Identity, People, Claim, Trail),
    after=("web",),
)


@hookimpl
def setup(ctx: SetupContext) -> None:
    import socket

    from appliance_people.hashing import Hashing
    from appliance_people.identity import Recognition

    config: PeopleConfig = ctx.config
    hashing = Hashing((socket.gethostname(),))
    people = People(ctx.store, ctx.clock, hashing, ctx.state_dir)
    file = Path(config.setup_file) if config.setup_file else None
    ctx.provide(People, people)
    ctx.provide(Identity, Recognition(people, setup_anywhere=config.allow_public_setup))  # type: ignore[type-abstract]
    ctx.provide(Claim, Claim(people, ctx.store, ctx.clock, file))
    trail = Trail(ctx.store, ctx.clock, ctx.state_dir)
    ctx.provide(Trail, trail)
    ctx.provide(AuditWitness, trail)  # type: ignore[type-abstract]
    ctx.get(
        RouteTable
    ).witness = trail  # from the first request on; rows wait until there is a table for them


@hookimpl
def migrations(ctx: SetupContext) -> Iterable[Migration]:
    from appliance_people.keeping import MIGRATIONS

    return MIGRATIONS


@hookimpl
def routes(ctx: SetupContext) -> Iterable[Route]:
    from appliance_people.operations import Operations
    from appliance_people.pages import Pages, page_routes
    from appliance_people.routes import api_routes
    from appliance_people.setup_pages import SetupPages, setup_routes

    operations = Operations(
        ctx.get(People), ctx.get(Claim), ctx.get(Trail), ctx.store, ctx.get(RouteTable), ctx.bus
    )
    frame = ctx.find(Frame)  # type: ignore[type-abstract]
    if frame is None:  # no pages without the plugin that draws them
        return api_routes(operations)
    frame.add_templates(ctx.id, Path(__file__).parent / "templates")
    pages = (*page_routes(Pages(frame, ctx.get(People))), *setup_routes(SetupPages(frame)))
    return (*api_routes(operations), *pages)


@hookimpl
def health_checks(ctx: SetupContext) -> Iterable[HealthCheck]:
    from appliance_people.checks import checks

    return checks(ctx.get(Trail))


@hookimpl
def commands(cli: click.Group) -> None:
    from appliance_people.cli import register

    register(cli)


@hookimpl
async def run(ctx: RunContext) -> None:
    from appliance_people.service import serve

    await serve(ctx)
