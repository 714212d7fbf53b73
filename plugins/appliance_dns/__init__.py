"""Answers the pool's names with healthy members only, and can say why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from appliance.api.context import RunContext, SetupContext
from appliance.api.contrib import AnswerSource, HealthCheck, LiveName, Metric, Panel, Route
from appliance.api.plugin import PluginInfo, hookimpl
from appliance.api.services import AnswerTable, DnsTap
from appliance_dns.config import DnsConfig
from appliance_dns.service import DnsService, prepare

if TYPE_CHECKING:
    import click

plugin = PluginInfo(
    id="dns",
    title="DNS",
    api=1,
    config=DnsConfig,
    provides=(AnswerTable, DnsService, DnsTap),
    # Only "after": without members or monitor the last answers are still given.
    after=("members", "monitor"),
    needs=frozenset({"udp:53", "tcp:53"}),
)


@hookimpl
def setup(ctx: SetupContext) -> None:
    service = prepare(ctx)
    ctx.provide(DnsService, service)
    ctx.provide(AnswerTable, service.answers)  # type: ignore[type-abstract]
    ctx.provide(DnsTap, service.tap)  # type: ignore[type-abstract]


@hookimpl
async def run(ctx: RunContext) -> None:
    await ctx.get(DnsService).run(ctx)


@hookimpl
def answer_sources(ctx: SetupContext) -> Iterable[AnswerSource]:
    from appliance_dns.extras import configured_records

    return [AnswerSource("configuration", records=lambda _zone: configured_records(ctx.config), order=0)]


@hookimpl
def live_names(ctx: SetupContext) -> Iterable[LiveName]:
    from appliance_dns.live import status, whoami

    figures = ctx.get(DnsService).figures
    return [
        LiveName("_whoami", whoami, shown=lambda: ctx.config.whoami),
        LiveName("_status", lambda question: status(question, figures), shown=lambda: ctx.config.status),
    ]


@hookimpl
def routes(ctx: SetupContext) -> Iterable[Route]:
    from appliance_dns.checks import Checks
    from appliance_dns.routes import routes as operations

    service = ctx.get(DnsService)
    return operations(service, Checks(service))


@hookimpl
def panels(ctx: SetupContext) -> Iterable[Panel]:
    from appliance_dns.checks import Checks

    return [Checks(ctx.get(DnsService)).panel()]


@hookimpl
def metrics(ctx: SetupContext) -> Iterable[Metric]:
    from appliance_dns.checks import Checks

    return Checks(ctx.get(DnsService)).metrics()


@hookimpl
def health_checks(ctx: SetupContext) -> Iterable[HealthCheck]:
    from appliance_dns.checks import Checks

    return Checks(ctx.get(DnsService)).health_checks()


@hookimpl
def commands(cli: click.Group) -> None:
    from appliance_dns.cli import register

    register(cli)
