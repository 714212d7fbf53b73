"""Serves NTP: binds through the data plane, hands it the clock's state and the policy, and counts what comes of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from appliance.api.context import RunContext, SetupContext
from appliance.api.contrib import HealthCheck, Metric, PacketPolicy, Panel, Route
from appliance.api.plugin import PluginInfo, hookimpl
from appliance.api.services import NtpStats, NtpTap
from appliance_ntp.config import NtpConfig

if TYPE_CHECKING:
    import click

    from appliance_ntp.service import NtpService

plugin = PluginInfo(
    id="ntp",
    title="Time service",
    api=1,
    config=NtpConfig,
    provides=(NtpStats, NtpTap),
    after=("clock",),
    needs=frozenset({"udp:123"}),
)


@hookimpl
def setup(ctx: SetupContext) -> None:
    from appliance_ntp.service import NtpService

    service = NtpService(ctx)
    ctx.provide(NtpStats, service)  # type: ignore[type-abstract]
    ctx.provide(NtpTap, service.tap)  # type: ignore[type-abstract]


@hookimpl
async def run(ctx: RunContext) -> None:
    await _service(ctx).run(ctx)


@hookimpl
def packet_policies(ctx: SetupContext) -> Iterable[PacketPolicy]:
    from appliance_ntp.policy import rules_of

    # The administrator's word comes before that of plugins, and follows the configuration when that is reloaded.
    return [PacketPolicy(rules_of(ctx.config), order=0, current=lambda: rules_of(ctx.config))]


@hookimpl
def routes(ctx: SetupContext) -> Iterable[Route]:
    from appliance_ntp.client_routes import client_routes
    from appliance_ntp.routes import routes as ntp_routes

    return [*ntp_routes(_service(ctx)), *client_routes(_service(ctx))]


@hookimpl
def commands(cli: click.Group) -> None:
    from appliance_ntp.cli import register

    register(cli)


@hookimpl
def panels(ctx: SetupContext) -> Iterable[Panel]:
    from appliance_ntp.shown import panel

    return [panel(_service(ctx))]


@hookimpl
def metrics(ctx: SetupContext) -> Iterable[Metric]:
    from appliance_ntp.shown import metrics as ntp_metrics

    return ntp_metrics(_service(ctx))


@hookimpl
def health_checks(ctx: SetupContext) -> Iterable[HealthCheck]:
    from appliance_ntp.shown import health_checks as ntp_checks

    return ntp_checks(_service(ctx))


def _service(ctx: SetupContext) -> NtpService:
    from appliance_ntp.service import NtpService

    service = ctx.get(NtpStats)  # type: ignore[type-abstract]
    assert isinstance(service, NtpService)
    return service
