"""The run of the time service: bind, follow clock and policy, notice when the packet thread dies."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence
from typing import Any

from appliance.api.context import RunContext, SetupContext
from appliance.api.contrib import PacketPolicy, PolicyRule
from appliance.api.errors import ConfigError, NotReady
from appliance.api.model import ClockState
from appliance.api.services import TimeSource
from appliance.core.cells import Cell
from appliance.core.packet_tap import ServiceTap
from appliance.core.port_holder import port_holder
from appliance.dataplane import handed
from appliance.dataplane.interface import (
    Client,
    DataPlane,
    Endpoint,
    NtpPolicy,
    NtpServer,
    RateLimit,
)
from appliance.dataplane.ntp_outcome import split
from appliance_ntp.clients import Moment
from appliance_ntp.config import NtpConfig
from appliance_ntp.keys import Keys
from appliance_ntp.policy import collect, compile_policy, limit_of
from appliance_ntp.tally import Tally
from appliance_ntp.view import summary

_LOOK_EVERY_S = 1.0
#: For so long the clients that were read are good: a full table takes a moment.
_CLIENTS_NS = 1_000_000_000


class NtpService:
    """What lives as long as the process: counts and configuration. `run` adds the sockets.

    Attributes:
        tally: counts and rates.
        policy: what is in force.
        missing: listeners that could not be made, and why.
        keys: which requests with a MAC are believed.
        tap: lets others look at packets.
    """

    def __init__(self, ctx: SetupContext) -> None:
        self._ctx = ctx
        self.clock = ctx.clock
        self._nobody = Cell(ClockState.unsynchronised("no plugin tells the time"), clock=ctx.clock)
        self.plane: DataPlane = ctx.get(DataPlane)  # type: ignore[type-abstract]
        self.tally = Tally()
        self.policy = NtpPolicy(default="ignore")
        self.missing: dict[str, str] = {}
        self.keys = Keys()
        self.tap = ServiceTap("ntp", in_words, ctx.clock)
        self._asked: tuple[tuple[PolicyRule, ...], RateLimit | None] | None = None
        self._known: tuple[int, Sequence[Client]] = (0, ())
        self._complaint = ""

    @property
    def clock_state(self) -> Cell[ClockState]:
        """What our time is worth; unsynchronised while no plugin says anything about it."""
        source = self._ctx.find(TimeSource)  # type: ignore[type-abstract]
        return self._nobody if source is None else source.state

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What is bound now; nothing while the service does not run."""
        return self.tally.server.endpoints if self.tally.server else ()

    def summary(self) -> dict[str, Any]:
        """See `appliance.api.services.NtpStats`."""
        return summary(self)

    def now(self) -> Moment:
        """Now by both clocks."""
        return Moment(self.clock.monotonic_ns(), self.clock.wall_ns() / 1e9)

    async def clients(self) -> Sequence[Client]:
        """Who asked, at most a second old."""
        server = self.tally.server
        if server is None:
            return ()
        now_ns = self.clock.monotonic_ns()
        read_ns, known = self._known
        if not known or now_ns - read_ns > _CLIENTS_NS:
            known = await asyncio.to_thread(server.clients)
            self._known = (now_ns, known)
        return known

    async def run(self, ctx: RunContext) -> None:
        """Serve until cancelled.

        Raises:
            NotReady: an address is taken, or not there yet.
            ConfigError: we may never have it.
        """
        self._follow_policy()
        await self._follow_keys(ctx)
        try:
            server = self._bind(ctx.config)
        except OSError as e:
            # in a thread, because looking through all processes may take a moment
            raise await ctx.to_thread(_refusal, e) from e
        server.set_keys(self.keys.keys)
        self.tally.server = server
        ctx.on_stop(lambda: self._stop(server))
        ctx.on_stop(self.tap.serve(server))
        ctx.spawn("samples", self.tap.keep_drained())
        clock_state = self.clock_state
        ctx.on_stop(clock_state.watch(server.set_clock))
        server.set_clock(clock_state.get())  # it may have changed between binding and watching
        ctx.on_stop(ctx.config_changes.watch(lambda _: self._follow_policy()))
        for endpoint, why in self.missing.items():
            ctx.log.warning("no time service on %s: %s", endpoint, why)
        served = " and ".join(str(endpoint) for endpoint in server.endpoints)
        lacking = "".join(f"; not on {endpoint}: {why}" for endpoint, why in self.missing.items())
        ctx.status(f"answers on {served}{lacking}")
        ctx.ready()
        while True:
            self.tally.sample(self.clock.monotonic_ns())
            await self.clock.sleep(_LOOK_EVERY_S)
            failure = server.failure()
            if failure is not None:
                raise RuntimeError(f"the packet thread died: {failure}") from failure
            self._follow_policy()
            if await self._follow_keys(ctx):
                server.set_keys(self.keys.keys)

    async def _follow_keys(self, ctx: RunContext) -> bool:
        """Look whether the keys file is another one than before; tell what is wrong with it once."""
        changed = await ctx.to_thread(self.keys.follow, ctx.config.keys_file)
        if changed:
            for problem in self.keys.problems:
                ctx.log.error("keys: %s", problem)
            for warning in self.keys.warnings:
                ctx.log.warning("keys: %s", warning)
            ctx.log.info("%s", self.keys.verdict)
        return changed

    def _bind(self, config: NtpConfig) -> NtpServer:
        """Bind what can be bound. A kernel without IPv6 keeps nobody from IPv4."""
        self.missing = {}
        wanted = [Endpoint.parse(text) for text in config.listen]
        while wanted:
            try:
                return self.plane.serve_ntp(
                    wanted, self.clock_state.get(), self.policy, clients=config.clients
                )
            except OSError as e:
                endpoint = next((w for w in wanted if str(w) == e.filename), None)
                if e.errno != errno.EAFNOSUPPORT or endpoint is None:
                    raise
                wanted.remove(endpoint)
                self.missing[str(endpoint)] = "the kernel has no IPv6"
        raise NotReady("none of the addresses can be served: the kernel has no IPv6")

    def _stop(self, server: NtpServer) -> None:
        server.close()
        self.tally.retire()
        self._known = (0, ())

    def _follow_policy(self) -> None:
        """Put what the contributions ask for now into force; asking is cheap, compiling happens on change only."""
        try:
            asked = collect(self._ctx.contributions(PacketPolicy)), limit_of(self._ctx.config)
            if asked == self._asked:
                return
            policy = compile_policy(*asked)
        except Exception as e:
            # Another plugin's doing. Before the first packet that must stop us; later what was in force stays in force.
            if self._asked is None:
                raise ConfigError("", f"a packet policy makes no sense: {e}") from e
            if str(e) != self._complaint:
                self._complaint = str(e)
                self._ctx.log.exception("a packet policy makes no sense, the old one stays in force")
            return
        self._asked, self._complaint, self.policy = asked, "", policy
        if self.tally.server is not None:
            self.tally.server.set_policy(self.policy)
            self._ctx.log.info(
                "policy changed: %d rules, others: %s", len(self.policy.rules), self.policy.default
            )


def in_words(outcome: int) -> tuple[str, str]:
    """Reason and action of a sampled packet."""
    reason, action = split(outcome)
    return reason.name.lower(), action.name.lower()


def _refusal(error: OSError) -> Exception:
    """What an address that cannot be bound (`filename` names it) means for a person."""
    endpoint = error.filename
    beside = handed.advice(Endpoint.parse(endpoint), socket.SOCK_DGRAM) if isinstance(endpoint, str) else ""
    if beside and error.errno in (errno.EADDRINUSE, errno.EACCES, errno.EPERM):
        return NotReady(f"cannot listen on {endpoint}: {beside}")
    if error.errno == errno.EADDRINUSE:
        holder = port_holder(Endpoint.parse(endpoint).port) or "another program (run as root to see which)"
        return NotReady(
            f"{endpoint} is in use by {holder}: stop it, or let it serve no time (for chronyd: `port 0` in its configuration)"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return NotReady(f"{endpoint}: this machine has no such address (yet)")
    if error.errno in (errno.EACCES, errno.EPERM):
        return ConfigError(
            "listen",
            f"may not bind {endpoint}: ports below 1024 need root or CAP_NET_BIND_SERVICE; or choose a port above 1023",
        )
    if error.errno == errno.ENOMEM:
        return ConfigError(
            "clients", "there is no memory to remember so many clients: choose a smaller number"
        )
    return error
