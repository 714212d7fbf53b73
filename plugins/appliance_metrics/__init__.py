"""Every figure of every plugin at /metrics, in the format that Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterable

from appliance.api.context import SetupContext
from appliance.api.contrib import HealthCheck, Metric, Route
from appliance.api.plugin import PluginInfo, hookimpl
from appliance.api.services import HostView
from appliance_metrics.page import MetricsPage

plugin = PluginInfo(id="metrics", title="Metrics", api=1, provides=(MetricsPage,), requires=(HostView,))


@hookimpl
def setup(ctx: SetupContext) -> None:
    ctx.provide(MetricsPage, MetricsPage(ctx.get(HostView), ctx.log))  # type: ignore[type-abstract]


@hookimpl
def routes(ctx: SetupContext) -> Iterable[Route]:
    page = ctx.get(MetricsPage)
    return (
        Route(
            "GET",
            "/metrics",
            page.answer,
            "metrics:read",
            "All figures, for Prometheus",
            returns={"type": "string"},
            produces=("text/plain",),
            plain=True,  # figures are no secret to whoever may see them; a token is refused there anyway
        ),
    )


@hookimpl
def metrics(ctx: SetupContext) -> Iterable[Metric]:
    from appliance_metrics.own import host_metrics

    return host_metrics(ctx.get(HostView), ctx.clock)  # type: ignore[type-abstract]


@hookimpl
def health_checks(ctx: SetupContext) -> Iterable[HealthCheck]:
    page = ctx.get(MetricsPage)
    return (
        HealthCheck(
            "metrics",
            page.faults,
            remedy="the log has the traceback; tell the plugin's author",
            well="every metric can be read",
        ),
    )
