"""Puts the door together from the configuration: certificates, rules, and who is asked about people."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from aiohttp import web

from appliance.api.actor import Actor
from appliance.api.context import RunContext, SetupContext
from appliance.api.errors import Unknown
from appliance.api.services import AuditWitness, Identity, TimeSource
from appliance_web import visitors
from appliance_web.config import WebConfig
from appliance_web.door import Door, WhoAsks
from appliance_web.front import Front
from appliance_web.limits import Rates
from appliance_web.repeats import Repeats
from appliance_web.tls import names
from appliance_web.tls.keeper import Keeper
from appliance_web.way import Rules, Way, address_of, read_networks, trusted


def front(ctx: SetupContext) -> Front:
    """How the box is reached: its certificates, before anything is served."""
    return Front(
        Keeper(
            ctx.state_dir / "tls", lambda: names.here(ctx.config.hosts), lambda: ctx.clock.wall_ns() / 1e9,
            lambda: _knows_the_time(ctx),
        )
    )  # fmt: skip


def _knows_the_time(ctx: SetupContext) -> bool:
    """Without anybody who watches the clock it is taken for right."""
    source = ctx.find(TimeSource)  # type: ignore[type-abstract]
    return source is None or source.state.get().synchronised(ctx.clock.monotonic_ns())


def door(ctx: RunContext, shown: Front) -> Door:
    """The rules at the door."""
    config: WebConfig = ctx.config
    configured = frozenset(config.hosts)

    def context() -> ssl.SSLContext:
        assert shown.keeper.serving is not None
        return shown.keeper.serving.context

    return Door(
        who_asks(ctx),
        still=still(ctx),
        names=lambda: configured | shown.keeper.known,
        rules=Rules(read_networks(config.proxies), http_admin=config.allow_http_admin),
        reads=Rates("reads", config.reads_per_minute),
        changes=Rates("changes", config.changes_per_minute),
        context=context,
        repeats=Repeats(ctx.store, lambda: ctx.clock.wall_ns() / 1e9),
        witness=lambda: ctx.find(AuditWitness),  # type: ignore[type-abstract]
        hsts=lambda: config.hsts == "auto" and shown.hsts(),
        most=config.max_connections,
        most_each=config.max_connections_per_address,
    )


def still(ctx: RunContext | SetupContext) -> Callable[[Actor], bool]:
    """Says whether somebody who was known a moment ago still is: what is revoked is over at once, also for what was begun."""

    def ask(actor: Actor) -> bool:
        identity = ctx.find(Identity)  # type: ignore[type-abstract]
        return identity is None or identity.still(actor)

    return ask


def who_asks(ctx: RunContext) -> WhoAsks:
    """Asks the plugin that knows people, where there is one; without it nobody can sign in.

    Whoever shows an Authorization header is known by it or refused (401), wherever it sits.
    """
    config: WebConfig = ctx.config
    scrapers = read_networks(config.scrapers)

    async def ask(raw: web.Request, way: Way) -> Actor:
        identity = ctx.find(Identity)  # type: ignore[type-abstract]
        known = None
        if identity is not None:
            headers = {name.lower(): value for name, value in raw.headers.items()}
            known = await identity.identify(headers, way.remote, way.line)
        if known is None and "Authorization" in raw.headers:
            # A program believes that it is known: it must not do as a stranger may, from here perhaps run the pool.
            raise Unknown(
                "the Authorization header names no token of this box: send one of `timeball token new`, or leave the header out"
            )
        return known or visitors.stranger(
            way.remote,
            relayed=way.relayed,
            public=config.public,
            trust_loopback=config.trust_loopback,
            claimed=identity is None or identity.claimed,
            setup_anywhere=identity is not None and identity.setup_anywhere,
            scraper=trusted(address_of(way.remote), scrapers),
        )

    return ask
