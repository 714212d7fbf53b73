"""Where the time comes from: chronyd, the kernel, or the system clock as it is; and what it is worth."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from appliance.api.context import RunContext, SetupContext
from appliance.api.contrib import HealthCheck, Metric, Migration, Panel, Retention, Route
from appliance.api.plugin import PluginInfo, hookimpl
from appliance.api.services import TimeSource
from appliance_clock.config import ClockConfig

if TYPE_CHECKING:
    import click

    from appliance_clock.service import ClockService

plugin = PluginInfo(id="clock", title="Clock", api=1, config=ClockConfig, provides=(TimeSource,))


@hookimpl
def setup(ctx: SetupContext) -> None:
    from appliance_clock.service import ClockService

    ctx.provide(TimeSource, ClockService(ctx))  # type: ignore[type-abstract]


@hookimpl
async def run(ctx: RunContext) -> None:
    await _service(ctx).run(ctx)


@hookimpl
def routes(ctx: SetupContext) -> Iterable[Route]:
    from appliance_clock.routes import routes as clock_routes

    return clock_routes(ctx, _service(ctx))


@hookimpl
def migrations(ctx: SetupContext) -> Iterable[Migration]:
    from appliance_clock.track import MIGRATIONS

    return MIGRATIONS


@hookimpl
def retention(ctx: SetupContext) -> Iterable[Retention]:
    from appliance_clock.track import RETENTION

    return RETENTION


@hookimpl
def panels(ctx: SetupContext) -> Iterable[Panel]:
    from appliance_clock.shown import panel

    return [panel(_service(ctx))]


@hookimpl
def metrics(ctx: SetupContext) -> Iterable[Metric]:
    from appliance_clock.shown import metrics as clock_metrics

    return clock_metrics(_service(ctx))


@hookimpl
def health_checks(ctx: SetupContext) -> Iterable[HealthCheck]:
    from appliance_clock.shown import health_checks as clock_checks

    return clock_checks(_service(ctx))


@hookimpl
def commands(cli: click.Group) -> None:
    from appliance_clock.cli import register

    register(cli)


def _service(ctx: SetupContext) -> ClockService:
    from appliance_clock.service import ClockService

    service = ctx.get(TimeSource)  # type: ignore[type-abstract]
    assert isinstance(service, ClockService)
    return service
