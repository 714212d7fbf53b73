"""Keeps the answers right: a change of health, members or configuration is in the answers well under a second later."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from appliance.api.context import RunContext, SetupContext
from appliance.api.contrib import AnswerSource, LiveName
from appliance.api.errors import NotReady
from appliance.api.events import AnswersChanged
from appliance.api.services import Members, ScoreBoard
from appliance.core.packet_tap import ServiceTap
from appliance.core.port_holder import port_holder
from appliance.dataplane import handed
from appliance.dataplane.dns_reply import HANDED_UP
from appliance.dataplane.interface import DataPlane, DnsServer, Endpoint
from appliance.dataplane.python_dns import OUTCOME_NAMES
from appliance_dns import last_answers, secret
from appliance_dns.answers import EPOCH_S, Answers, Inputs
from appliance_dns.config import DnsConfig
from appliance_dns.last_answers import NOTHING, LastAnswers
from appliance_dns.limited import LimitWatch
from appliance_dns.live import Live
from appliance_dns.zone import Zone

#: Changes within this time after a rebuild wait for its end; the first one after a pause does not wait.
QUIET_S = 0.2
#: From so many members on the zone is built in a thread, so that the event loop does not stall.
_MANY = 300
#: Records of other plugins are asked for this often, and after every other change.
_ASK_SOURCES_S = 10
#: Weights alone are written this seldom: flash cards wear out.
_SAVE_WEIGHTS_S = 60


def prepare(ctx: SetupContext) -> DnsService:
    """Everything that outlives a run.

    Raises:
        ConfigError: the shared secret is missing or too short.
    """
    config: DnsConfig = ctx.config
    secrets = (
        secret.shared(ctx.secret(config.secret)) if config.secret else secret.own(ctx.state_dir / "secret")
    )
    inputs = Inputs(
        config=lambda: ctx.config,
        members=ctx.find(Members),  # type: ignore[type-abstract]
        board=ctx.find(ScoreBoard),  # type: ignore[type-abstract]
        sources=lambda: sorted(ctx.contributions(AnswerSource), key=lambda source: source.order),
        secrets=secrets,
        live=Live(lambda: ctx.contributions(LiveName), ctx.log),
        own_addresses=own_addresses(config.endpoints()),
        wall_ns=ctx.clock.wall_ns,
    )
    return DnsService(ctx, Answers(inputs, _restored(ctx), ctx.log))


def _restored(ctx: SetupContext) -> LastAnswers:
    path = ctx.state_dir / "last_answers.json"
    try:
        return last_answers.load(path)
    except (OSError, ValueError) as error:
        ctx.log.warning("the last answers are not restored: %s", error)
        return NOTHING


def own_addresses(listen: Sequence[Endpoint]) -> tuple[str, ...]:
    """Addresses at which this box can be asked, for its own NS record: those it listens on, or that it sends from."""
    found = []
    for endpoint in listen:
        if endpoint.host not in ("0.0.0.0", "::"):  # noqa: S104 - a comparison
            found.append(endpoint.host)
            continue
        six = ":" in endpoint.host
        # Connecting a UDP socket sends nothing: it asks the routing table which address would be used.
        try:
            with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.connect(("2001:db8::1" if six else "192.0.2.1", 53))
                found.append(sock.getsockname()[0])
        except OSError:
            continue  # no route in this family: nobody outside can ask us there either
    return tuple(dict.fromkeys(address for address in found if "%" not in address))


class DnsService:
    """The answer table and the server that answers from it.

    Attributes:
        server: while it runs.
        limits: who is over the rate limit.
        tap: lets others look at queries.
    """

    def __init__(self, ctx: SetupContext, answers: Answers) -> None:
        self.answers = answers
        self.server: DnsServer | None = None
        self.limits = LimitWatch(ctx.log)
        self.tap = ServiceTap("dns", in_words, ctx.clock)
        self.plane: DataPlane = ctx.get(DataPlane)  # type: ignore[type-abstract]
        self._ctx = ctx
        self._dirty = asyncio.Event()
        self._saved: LastAnswers | None = None
        self._saved_zone: Zone | None = None
        self._saved_ns = 0
        self._save_failed = False
        self._served: Zone | None = None
        self._asked_ns = 0
        self._epoch = 0

    @property
    def zone(self) -> Zone | None:
        return self.answers.zone

    def figures(self) -> dict[str, object]:
        """How the pool is, for everybody: nothing in it tells who is a member."""
        candidates = self.answers.candidates
        return {
            "members": len(candidates),
            "usable": sum(1 for c in candidates if c.weight > 0),
            "serial": self.answers.serial,
            "monitor": "silent" if self.answers.stale else "ok",
        }

    async def run(self, ctx: RunContext) -> None:
        """Serve until cancelled.

        Raises:
            NotReady: an address cannot be bound now.
        """
        for undo in self._watch(ctx):
            ctx.on_stop(undo)
        self.answers.inputs = replace(
            self.answers.inputs, own_addresses=own_addresses(ctx.config.endpoints())
        )
        self.answers.refresh()
        assert self.zone is not None
        self.server = self._bind(ctx, self.zone)
        self._served, self.answers.idle = self.zone, False
        ctx.on_stop(self.tap.serve(self.server))
        try:
            ctx.every(1.0, self._look_around)
            ctx.spawn("samples", self.tap.keep_drained())
            ctx.every(1.0, lambda: self._save(ctx))
            ctx.ready()
            self._tell(ctx)
            while True:
                await self._rebuild_when_changed(ctx)
        finally:
            server, self.server, self.answers.idle = self.server, None, True
            if server is not None:
                server.close()

    def _watch(self, ctx: RunContext) -> list[Any]:
        inputs = self.answers.inputs
        undo = [ctx.config_changes.watch(self._mark)]
        if inputs.members is not None:
            undo.append(inputs.members.table.watch(self._mark))
        if inputs.board is not None:
            undo.append(inputs.board.verdicts.watch(self._mark))
        return undo

    def _mark(self, _value: object = None) -> None:
        self._dirty.set()

    def _bind(self, ctx: RunContext, zone: Zone) -> DnsServer:
        wanted = list(ctx.config.endpoints())
        while True:
            try:
                return self.plane.serve_dns(wanted, zone.snapshot, self.answers.inputs.live)
            except OSError as error:
                without = [e for e in wanted if not (str(e) == error.filename and e.host == "::")]
                no_ipv6 = error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
                if no_ipv6 and without and len(without) < len(wanted):
                    ctx.log.warning("this machine has no IPv6: DNS answers over IPv4 only")
                    wanted = without
                    continue
                raise NotReady(_why_not(error)) from error

    async def _rebuild_when_changed(self, ctx: RunContext) -> None:
        await self._dirty.wait()
        self._dirty.clear()
        began_ns = ctx.clock.monotonic_ns()
        if len(self.answers.candidates) >= _MANY:
            await ctx.to_thread(self.answers.refresh)
        else:
            self.answers.refresh()
        self._asked_ns = ctx.clock.monotonic_ns()
        if self.zone is not self._served and self.zone is not None and self.server is not None:
            self.server.set_answers(self.zone.snapshot)
            self._served = self.zone
            self._tell(ctx)
        took_s = (ctx.clock.monotonic_ns() - began_ns) / 1e9
        await ctx.clock.sleep(max(QUIET_S, 3 * took_s))

    def _tell(self, ctx: RunContext) -> None:
        inside = sum(1 for c in self.answers.candidates if c.weight > 0)
        total = len(self.answers.candidates)
        ctx.bus.publish(AnswersChanged(self.answers.serial, inside, total - inside))
        ctx.status(f"{inside} of {total} members are answered for {ctx.config.zone}")

    def _look_around(self) -> None:
        """What nobody tells us about: the monitor's silence, the hour, records of other plugins, a dead packet thread."""
        clock = self._ctx.clock
        if self.server is not None:
            if (failure := self.server.failure()) is not None:
                raise failure
            self.limits.look(self.server.offenders(), clock.monotonic_ns())
        epoch = clock.wall_ns() // (EPOCH_S * 1_000_000_000)
        ask = (
            clock.monotonic_ns() - self._asked_ns > _ASK_SOURCES_S * 1_000_000_000
            and self.answers.inputs.sources()
        )
        if ask or epoch != self._epoch or self.answers.is_stale() != self.answers.stale:
            self._epoch = epoch
            self._mark()

    async def _save(self, ctx: RunContext) -> None:
        """Keep who is in for the next start: at once when somebody enters or leaves, seldom for weights alone."""
        zone, now_ns = self.zone, ctx.clock.monotonic_ns()
        if zone is self._saved_zone:
            return
        current = LastAnswers.of(self.answers.serial, self.answers.candidates)
        same_members = self._saved is not None and current.members == self._saved.members
        if same_members and now_ns - self._saved_ns < _SAVE_WEIGHTS_S * 1_000_000_000:
            return
        try:
            await ctx.to_thread(last_answers.save, ctx.state_dir / "last_answers.json", current)
        except OSError as error:
            if not self._save_failed:
                ctx.log.warning("the answers cannot be kept for the next start: %s", error)
            self._save_failed = True
            return
        self._saved, self._saved_zone, self._saved_ns, self._save_failed = current, zone, now_ns, False


def in_words(outcome: int) -> tuple[str, str]:
    """Outcome and action of a sampled query."""
    name = "handed_up" if outcome == HANDED_UP else OUTCOME_NAMES.get(outcome, str(outcome))
    return name, "ignore" if name == "drop" else "reply"


def _why_not(error: OSError) -> str:
    """Why an address cannot be had, in one sentence."""
    where = str(error.filename)
    beside = _beside(where) if error.errno in (errno.EADDRINUSE, errno.EACCES) else ""
    if beside:
        return f"cannot listen on {where}: {beside}"
    if error.errno == errno.EADDRINUSE:
        return f"{where} is in use by {_holder(where) or 'another program'}: stop it, or change plugins.dns.listen"
    if error.errno == errno.EACCES:
        return f"{where} may not be bound: ports below 1024 need root or CAP_NET_BIND_SERVICE"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{where} is no address of this machine: correct plugins.dns.listen, or give the machine that address"
    return f"cannot listen on {where}: {error.strerror}"


def _beside(endpoint: str) -> str:
    """Why the address cannot be had beside what the service manager handed over."""
    wanted = Endpoint.parse(endpoint)
    found = (handed.advice(wanted, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM))
    return next((text for text in found if text), "")


def _holder(endpoint: str) -> str:
    """Who has the address, in words, as far as this user may know."""
    port = Endpoint.parse(endpoint).port
    return port_holder(port) or port_holder(port, tcp=True)
