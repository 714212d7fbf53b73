"""Takes new members in: names are looked up, servers are asked, and what is good is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from appliance.api.context import SetupContext
from appliance.api.errors import ApiError, Conflict, Invalid
from appliance.api.model import Member
from appliance.api.services import Prober, TimeSource
from appliance_members import admission, trust
from appliance_members.addresses import endpoint
from appliance_members.config import Config
from appliance_members.naming import HostLookup, NameState, lookup_host
from appliance_members.orders import Order
from appliance_members.registry import NOBODYS, Entry, Holder
from appliance_members.roster import Roster

#: Live checks, and lookups of names, that run at the same time.
AT_ONCE = 16


class CheckFailed(ApiError):
    """The live check found no server that can be a member."""

    status = 422
    code = "check_failed"


def _failed(refused: Sequence[admission.Check], asked: int) -> CheckFailed:
    if len(refused) == 1:
        return CheckFailed(f"{refused[0].why}. Nothing was added; it can be forced")
    return CheckFailed(
        f"{len(refused)} of {asked} servers failed the live check; nothing was added",
        errors={endpoint(c.address, c.port): c.why for c in refused},
    )


class NoProber(ApiError):
    """Nobody can look at the server now."""

    status = 503
    code = "no_monitor"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the orders.

    Attributes:
        created: the new members.
        checks: what the live check found, one for each address it looked at.
        present: addresses that were members before.
    """

    created: tuple[Member, ...]
    checks: tuple[admission.Check, ...]
    present: tuple[str, ...]

    def refused(self) -> list[dict[str, Any]]:
        """Every address that was not taken, and why."""
        return [{"address": c.address, "port": c.port, "why": c.why} for c in self.checks if not c.accepted]


class Registrar:
    """Admits members.

    Attributes:
        names: what is known about the host names of members; replaced whole.
    """

    def __init__(self, ctx: SetupContext, roster: Roster, lookup: HostLookup = lookup_host) -> None:
        self.roster = roster
        self.names: dict[str, NameState] = {}
        self.lookup = lookup
        self._ctx = ctx

    async def admit(
        self,
        orders: Sequence[Order],
        *,
        console: bool,
        force: bool,
        partial: bool,
        holder: Holder = NOBODYS,
    ) -> Outcome:
        """Check the servers and add those that are good.

        Args:
            orders: what is asked for.
            console: the order came over the admin socket.
            force: add them whatever the check finds; the finding is recorded.
            partial: add the good ones when others fail; otherwise all or nothing.
            holder: whose they will be.

        Raises:
            Conflict: all of them are members already, or there is no room, for them or for so many of one holder.
            CheckFailed: the check found none that is good (or not all, unless `partial`).
            Invalid: a name cannot be looked up. NoProber: nobody can check. StoreError: it could not be kept.
        """
        candidates = await self._candidates(orders)
        registry = self.roster.registry
        known = registry.by_endpoint()
        present = [e for e in candidates if (e.address, e.port) in known]
        fresh = [e for e in candidates if (e.address, e.port) not in known]
        if not fresh:
            registry.add(candidates)  # says who they are
        # Before any packet is sent: is there room at all?
        registry.add(fresh, holder)
        checks = await self._check(fresh, force=force)
        refused = [c for c in checks if not c.accepted]
        if refused and (not partial or len(refused) == len(checks)):
            raise _failed(refused, len(checks))
        config: Config = self._ctx.config
        now = self.roster.now()
        entries = [
            replace(
                entry,
                added_at=now,
                verified_by="admin"
                if (console and config.verify.trust_console) or self.trusts(entry.address)
                else "",
                evidence=f"{'forced: ' if check.forced else ''}{check.why}",
            )
            for entry, check in zip(fresh, checks, strict=True)
            if check.accepted
        ]
        await self.roster.apply(lambda r: r.add(entries, holder))
        taken, table = self.roster.registry.by_endpoint(), self.roster.table.get()
        return Outcome(
            tuple(table[taken[e.address, e.port].id] for e in entries),
            tuple(checks),
            tuple(endpoint(e.address, e.port) for e in present),
        )

    def trusts(self, address: str) -> bool:
        """Whether a server at that address needs no proof of whose it is."""
        config: Config = self._ctx.config
        return trust.lies_in(address, trust.parse_networks(config.verify.trusted_networks))

    async def _candidates(self, orders: Sequence[Order]) -> list[Entry]:
        """One entry for each address, without id; every name is looked up."""
        looked_up = await self._look_up(dict.fromkeys(o.name for o in orders if not o.address))
        found: dict[tuple[str, int], Entry] = {}
        for order in orders:
            for address in [order.address] if order.address else looked_up[order.name]:
                if (address, order.port) in found:
                    raise Conflict(f"{endpoint(address, order.port)} stands twice in what was sent")
                found[address, order.port] = Entry(
                    id="", address=address, name=order.name, port=order.port, **order.details
                )
        return list(found.values())

    async def _look_up(self, names: Iterable[str]) -> dict[str, Sequence[str]]:
        """The addresses of every name, or Invalid with each that has none."""
        gate = asyncio.Semaphore(AT_ONCE)
        addresses: dict[str, Sequence[str]] = {}
        errors: dict[str, str] = {}

        async def look_up(name: str) -> None:
            async with gate:
                try:
                    addresses[name] = await self.lookup(name)
                except OSError as error:
                    errors[name] = str(error)

        await asyncio.gather(*(look_up(name) for name in names))
        if errors:
            raise Invalid("; ".join(list(errors.values())[:5]), errors=errors if len(errors) > 1 else None)
        now = self.roster.now()
        states = {n: self.names.get(n, NameState()).answered(a, (), now) for n, a in addresses.items()}
        self.names = {**self.names, **states}
        return addresses

    async def _check(self, entries: Sequence[Entry], *, force: bool) -> list[admission.Check]:
        prober = self._ctx.find(Prober)  # type: ignore[type-abstract]
        if prober is None:
            if not force:
                raise NoProber(
                    "nobody can check the server because no monitor is running; start it, or add the member with force"
                )
            return [admission.unchecked(e.address, e.port) for e in entries]
        limits, gate = self._limits(), asyncio.Semaphore(AT_ONCE)

        async def check(entry: Entry) -> admission.Check:
            async with gate:
                found = await admission.examine(prober, entry.address, entry.port, limits)
            return admission.forced(found) if force else found

        return list(await asyncio.gather(*(check(e) for e in entries)))

    def _limits(self) -> admission.Limits:
        config: Config = self._ctx.config
        wanted = config.admission
        return admission.Limits(
            wanted.attempts, wanted.max_stratum, wanted.max_offset_s, self.clock_is_good()
        )

    def clock_is_good(self) -> bool:
        """Whether our own time may judge others; where nobody keeps it, the system clock is taken at its word."""
        source = self._ctx.find(TimeSource)  # type: ignore[type-abstract]
        return source is None or source.state.get().synchronised(self._ctx.clock.monotonic_ns())
