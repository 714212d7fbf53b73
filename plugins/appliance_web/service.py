"""Serves the pages, and turns what happens in the box into events and journal entries."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Coroutine
from typing import Any

from appliance.api.actor import acting
from appliance.api.context import RunContext
from appliance.api.errors import NotReady
from appliance.api.events import (
    AnswersChanged,
    ClockStepped,
    ConfigChanged,
    MembersChanged,
    PluginChanged,
    ProbeFinished,
    VerdictChanged,
)
from appliance.api.model import ScoredProbe
from appliance.api.services import TimeSource
from appliance.core.bus import Subscription
from appliance.core.plain_json import plain
from appliance.core.port_holder import port_holder
from appliance.core.routes import Request, RouteTable
from appliance.core.tasks import spawn
from appliance.dataplane import handed
from appliance_web import keeping, opening, packets, zone_log
from appliance_web.config import WebConfig
from appliance_web.front import Front
from appliance_web.journal import TABLE, Entry, Journal, PluginTroubles, started, told
from appliance_web.listener import Listener
from appliance_web.operations import Operations
from appliance_web.site import Site
from appliance_web.stream import Hub
from appliance_web.tls import errand
from appliance_web.tls.keeper import Keeper
from appliance_web.traffic import SAMPLE_S, Traffic
from appliance_web.traffic import TABLE as TRAFFIC

HEARTBEAT_S = 15.0
#: Probes are told together once in this time, and no more than so many of them by name, those that failed first: a reader of
#: a pool of any size gets half a kilobyte a second.
PROBES_S = 1.0
PROBES_TOLD = 4
HEALTH_S = 5.0
#: How late a new address may be in the certificate, and a right clock be noticed.
CERTIFICATES_S = 15.0

_TOLD = (VerdictChanged, MembersChanged, PluginChanged, ClockStepped, AnswersChanged, ConfigChanged)


async def serve(ctx: RunContext) -> None:
    """The plugin's life.

    Raises:
        NotReady: an address that cannot be bound now.
    """
    config: WebConfig = ctx.config
    hub, journal, shown = ctx.get(Hub), ctx.get(Journal), ctx.get(Front)
    site = ctx.get(Site)
    await _certificates(ctx, shown.keeper)
    listener = Listener(ctx.get(RouteTable), site.error_page, opening.door(ctx, shown))
    listener.book = shown.book
    listener.log_requests = config.access_log
    journal.recall(await ctx.store.read(keeping.latest))
    auto = config.tls_is_auto
    try:
        async with listener.serve(
            config.endpoints(), hub.close, tls=config.tls_endpoints(), tls_if_free=auto
        ):
            shown.plain, shown.tls, shown.unbound = (
                listener.endpoints,
                listener.tls_endpoints,
                listener.unbound,
            )
            ctx.status(_where(shown))
            ctx.log.info("%s", _where(shown))
            watcher = _Watcher(ctx, hub, journal, site.operations)
            watcher.begin()
            with contextlib.ExitStack() as queues:
                for kind in _TOLD:
                    ctx.spawn(
                        kind.__name__, watcher.tell(queues.enter_context(ctx.subscribe(kind, maxsize=512)))
                    )
                ctx.spawn(
                    "probes", watcher.count(queues.enter_context(ctx.subscribe(ProbeFinished, maxsize=4096)))
                )
                ctx.spawn("clock", watcher.watch_clock())
                ctx.spawn("checks", site.checks.run())
                ctx.spawn("config", _take_changes(ctx, listener))
                ctx.every(HEARTBEAT_S, hub.beat)
                ctx.every(CERTIFICATES_S, lambda: _look_after(ctx, shown.keeper))
                ctx.every(PROBES_S, watcher.tell_probes)
                ctx.every(SAMPLE_S, lambda: _count_traffic(ctx))
                ctx.every(packets.EVERY_S, lambda: _count_packets(ctx))
                ctx.every(zone_log.EVERY_S, lambda: _count_zones(ctx, site))
                ctx.every(HEALTH_S, watcher.tell_health)
                ctx.ready()
                await asyncio.Event().wait()  # until the run ends
    except OSError as error:
        wanted = [*config.endpoints(), *(() if auto else config.tls_endpoints())]
        holders = {port_holder(endpoint.port, tcp=True) for endpoint in wanted}
        taken = " and ".join(sorted(holders - {""})) if error.errno == errno.EADDRINUSE else ""
        why = f"in use by {taken}" if taken else (error.strerror or str(error))
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            beside = (
                handed.advice(endpoint, socket.SOCK_STREAM)
                for endpoint in wanted
                if not handed.descriptors(endpoint, socket.SOCK_STREAM)
            )
            why = next((text for text in beside if text), why)
        raise NotReady(f"cannot listen on {', '.join(map(str, wanted))}: {why}") from error
    finally:
        shown.plain, shown.tls, shown.unbound = (), (), ""


def _where(shown: Front) -> str:
    plain = ", ".join(f"http://{endpoint}/" for endpoint in shown.plain)
    secure = ", ".join(f"https://{endpoint}/" for endpoint in shown.tls)
    text = f"pages at {plain}" + (f" and {secure}" if secure else "")
    return f"{text}; no HTTPS at {shown.unbound}" if shown.unbound else text


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Wait for work in a thread also when we are cancelled: it writes files, which nobody may find half-way."""
    task = spawn(work, name="web:certificates")
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise


async def _certificates(ctx: RunContext, keeper: Keeper) -> None:
    """See that there are certificates and that they hold; what has to be made is made in another process.

    That one is ended when we are, as by a power cut: each of its files is there whole or not at all.
    """
    if not await ctx.to_thread(keeper.quiet):
        await errand.run(keeper)
    await _to_its_end(ctx.to_thread(keeper.refresh))


async def _look_after(ctx: RunContext, keeper: Keeper) -> None:
    """Renew what is due; what fails now is tried again."""
    try:
        await _certificates(ctx, keeper)
    except Exception:
        ctx.log.exception("looking after the certificates failed; it is tried again")


def _count_zones(ctx: RunContext, site: Site) -> None:
    rows = site.rows(None, recent=False)
    if rows is None or site.monitor() != "ok":
        return  # what nobody knows is a gap, not an outage
    for row in zone_log.as_rows(zone_log.count(rows), site.now()):
        ctx.store.append(zone_log.TABLE, row)


def _count_traffic(ctx: RunContext) -> None:
    row = ctx.get(Traffic).sample(ctx.clock.monotonic_ns())
    if row is not None:
        ctx.store.append(TRAFFIC, {"ts": ctx.clock.wall_ns() / 1e9, **row})


def _count_packets(ctx: RunContext) -> None:
    ts = ctx.clock.wall_ns() / 1e9
    for what, per_s in ctx.get(packets.Packets).sample(ctx.clock.monotonic_ns()).items():
        ctx.store.append(packets.TABLE, {"ts": ts, "what": what, "per_s": per_s})


async def _take_changes(ctx: RunContext, listener: Listener) -> None:
    async for config in ctx.config_changes.changes():
        listener.log_requests = config.access_log


def _probe(scored: ScoredProbe) -> dict[str, Any]:
    probe, offset_s = scored.probe, scored.probe.offset_s
    return {
        "member": probe.member,
        "ts": round(probe.ts, 3),
        "offset_s": None if offset_s is None else round(offset_s, 9),
        "score": round(scored.score, 3),
        "rule": scored.step.rule,
        "error": probe.error,
    }


class _Watcher:
    """Listens to the bus and the cells."""

    def __init__(self, ctx: RunContext, hub: Hub, journal: Journal, operations: Operations) -> None:
        self._ctx = ctx
        self._hub = hub
        self._journal = journal
        self._operations = operations
        self._troubles = PluginTroubles()
        self._health: Any = None
        self._probes: list[ScoredProbe] = []

    def begin(self) -> None:
        """The first entry, once in the life of the process."""
        if not self._journal.begun:
            self._journal.begun = True
            self._note(started(self._ctx.clock.wall_ns() / 1e9))

    def _note(self, entry: Entry) -> None:
        self._journal.add(entry)
        self._ctx.store.append(TABLE, keeping.as_row(entry))

    async def tell(self, events: Subscription[Any]) -> None:
        """Pass on what is rare, one by one."""
        async for event in events:
            self._tell(event)

    def _tell(self, event: object) -> None:
        now = self._ctx.clock.wall_ns() / 1e9
        entry = self._troubles.told(event, now) if isinstance(event, PluginChanged) else told(event, now)
        if entry is not None:
            self._note(entry)
        if isinstance(event, VerdictChanged):
            self._hub.publish("verdict", plain(event.after), [event.member.id])
        elif isinstance(event, MembersChanged):
            about = [event.member.id]
            self._hub.publish("member", {"id": event.member.id, "action": event.action}, about)
        elif isinstance(event, PluginChanged):
            status = event.status
            self._hub.publish("plugin", {"id": status.id, "state": status.state.value, "why": status.why})
        elif isinstance(event, ClockStepped):
            self._hub.publish("clock", {"step_s": event.step_s})
        elif isinstance(event, ConfigChanged):
            self._hub.publish("config", {"change": event.change, "state": event.state})
        elif isinstance(event, AnswersChanged):
            self._hub.publish("answers", plain(event))

    async def count(self, events: Subscription[ProbeFinished]) -> None:
        """Collect what is frequent."""
        async for event in events:
            self._probes.append(event.scored)

    def tell_probes(self) -> None:
        """One event for all probes since the last one."""
        if not self._probes:
            return
        probes, self._probes = self._probes, []
        named = sorted(probes, key=lambda scored: scored.probe.error is None)[:PROBES_TOLD]
        data = {"count": len(probes), "probes": [_probe(scored) for scored in named]}
        self._hub.publish("probes", plain(data), {scored.probe.member for scored in probes})

    async def tell_health(self) -> None:
        """One event when something begins or ceases to be wrong."""
        box = await self._operations.value(
            Request("GET", "", actor=acting("viewer", "web")), "/api/v1/status"
        )
        health = (box or {}).get("health") or {}
        seen = {"level": health.get("level"), "problems": [p.get("text") for p in health.get("problems", ())]}
        if seen != self._health:
            self._health = seen
            self._hub.publish("health", seen)

    async def watch_clock(self) -> None:
        """Only whether it is synchronised, and by whom: the figures change all the time."""
        source = self._ctx.find(TimeSource)  # type: ignore[type-abstract]
        if source is None:
            return
        before = None
        async for state in source.state.changes():
            seen = (state.synchronised(self._ctx.clock.monotonic_ns()), state.stratum, state.source)
            if seen != before:
                self._hub.publish("clock", {"synchronised": seen[0], "stratum": seen[1], "source": seen[2]})
                before = seen
