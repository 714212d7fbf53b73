"""Probes the members, scores them by the NTP Pool's rules, and says who may be answered and why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from appliance.api.context import RunContext, SetupContext
from appliance.api.contrib import (
    HealthCheck,
    Metric,
    Migration,
    Panel,
    ProbeKind,
    Retention,
    Route,
    ScoreRule,
)
from appliance.api.plugin import PluginInfo, hookimpl
from appliance.api.services import Members, Prober, ScoreBoard
from appliance_monitor.config import MonitorConfig
from appliance_monitor.places import SCORED

if TYPE_CHECKING:
    import click

    from appliance_monitor.service import Monitor

plugin = PluginInfo(
    id="monitor", title="Monitor", api=1, config=MonitorConfig, provides=(ScoreBoard, Prober), requires=(Members,),
    after=("clock",),
)  # fmt: skip


@hookimpl
def setup(ctx: SetupContext) -> None:
    from appliance_monitor.service import Monitor

    monitor = Monitor(ctx)
    ctx.provide(ScoreBoard, monitor)  # type: ignore[type-abstract]
    ctx.provide(Prober, monitor)  # type: ignore[type-abstract]


@hookimpl
async def run(ctx: RunContext) -> None:
    await _monitor(ctx).run(ctx)


@hookimpl
def migrations(ctx: SetupContext) -> Iterable[Migration]:
    from appliance_monitor import keeping, sightings

    return [*keeping.MIGRATIONS, sightings.MIGRATION]


@hookimpl
def retention(ctx: SetupContext) -> Iterable[Retention]:
    from appliance_monitor import keeping, sightings

    return [keeping.retention(ctx.config.raw_days), sightings.retention(ctx.config.raw_days)]


@hookimpl
def probe_kinds(ctx: SetupContext) -> Iterable[ProbeKind]:
    return [ProbeKind(SCORED, _monitor(ctx).sampler.sample, title="NTP")]


@hookimpl
def score_rules(ctx: SetupContext) -> Iterable[ScoreRule]:
    from appliance_monitor.steps import rules

    return rules(ctx.config.extras, ctx.config.profile)


@hookimpl
def routes(ctx: SetupContext) -> Iterable[Route]:
    from appliance_monitor import keeping
    from appliance_monitor.routes import monitor_routes

    return monitor_routes(ctx, _monitor(ctx), keeping.retention(ctx.config.raw_days))


@hookimpl
def panels(ctx: SetupContext) -> Iterable[Panel]:
    from appliance_monitor.shown import panel

    return [panel(_monitor(ctx))]


@hookimpl
def metrics(ctx: SetupContext) -> Iterable[Metric]:
    from appliance_monitor.shown import metrics as monitor_metrics

    return monitor_metrics(_monitor(ctx))


@hookimpl
def health_checks(ctx: SetupContext) -> Iterable[HealthCheck]:
    from appliance_monitor.shown import health_checks as monitor_checks

    return monitor_checks(_monitor(ctx))


@hookimpl
def commands(cli: click.Group) -> None:
    from appliance_monitor.cli import register

    register(cli)


def _monitor(ctx: SetupContext) -> Monitor:
    from appliance_monitor.service import Monitor

    monitor = ctx.get(ScoreBoard)  # type: ignore[type-abstract]
    assert isinstance(monitor, Monitor)
    return monitor
