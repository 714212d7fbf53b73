"""The hooks. All but `run` are plain functions that describe; the host calls each plugin alone, once per load.

A wrong type, an exception or an `async def` where none belongs makes that plugin FAILED and withdraws everything it
contributed. Implementations name only the arguments they want, without defaults.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING

from appliance.api.context import RunContext, SetupContext
from appliance.api.contrib import (
    AnswerSource,
    HealthCheck,
    LiveName,
    Metric,
    Migration,
    PacketPolicy,
    Panel,
    ProbeKind,
    Retention,
    Route,
    ScoreRule,
)
from appliance.api.plugin import hookspec

if TYPE_CHECKING:
    import click


@hookspec
def setup(ctx: SetupContext) -> None:
    """Build the long-lived objects and `ctx.provide()` them.

    Runs before anything else of the plugin, in dependency order, without an event loop to wait on. Raise `ConfigError`
    for a configuration that cannot work; what may merely be *not ready yet* belongs in `run`.
    """


@hookspec
def run(ctx: RunContext) -> Awaitable[None] | None:
    """Do the work: the one asynchronous hook.

    Open what is needed with `async with`, call `ctx.ready()`, and live until cancelled. Raise `NotReady` when the world
    is not ready. Any other exception is a bug and restarts the plugin with backoff.
    """


@hookspec
def migrations(ctx: SetupContext) -> Iterable[Migration] | None:
    """Schema steps for tables named `<plugin>__...`, applied before any `run`."""


@hookspec
def retention(ctx: SetupContext) -> Iterable[Retention] | None:
    """How long rows of append-only tables live and which roll-ups remain; the host does the work."""


@hookspec
def routes(ctx: SetupContext) -> Iterable[Route] | None:
    """Operations of the API and pages. A route without a scope is a mistake: the plugin is not started."""


@hookspec
def panels(ctx: SetupContext) -> Iterable[Panel] | None:
    """Cards for the overview page."""


@hookspec
def probe_kinds(ctx: SetupContext) -> Iterable[ProbeKind] | None:
    """Ways to look at a member, or at places of your own; the monitor owns schedule and time limits."""


@hookspec
def score_rules(ctx: SetupContext) -> Iterable[ScoreRule] | None:
    """Rules that judge a probe: pure functions."""


@hookspec
def answer_sources(ctx: SetupContext) -> Iterable[AnswerSource] | None:
    """Static records for the pool's zone, and functions that reweigh the candidates of its answers."""


@hookspec
def live_names(ctx: SetupContext) -> Iterable[LiveName] | None:
    """Names of the pool's zone that are answered from memory for each query."""


@hookspec
def packet_policies(ctx: SetupContext) -> Iterable[PacketPolicy] | None:
    """Which prefixes the NTP service answers, ignores or denies, as data."""


@hookspec
def metrics(ctx: SetupContext) -> Iterable[Metric] | None:
    """Metric families for /metrics."""


@hookspec
def health_checks(ctx: SetupContext) -> Iterable[HealthCheck] | None:
    """Questions for /health and `timeball doctor`."""


@hookspec
def commands(cli: click.Group) -> None:
    """Add commands to the command line; called only by the CLI, without a running host."""
