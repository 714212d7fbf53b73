"""What the plugin says about the pool as a whole: metrics, health, a card for the overview."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from appliance.api.context import SetupContext
from appliance.api.contrib import Finding, HealthCheck, Metric, Panel
from appliance.api.model import Level, Member
from appliance.api.services import ScoreBoard
from appliance.core.beginning import beginning
from appliance.core.derived import Derived
from appliance_members.config import Config
from appliance_members.naming import pending_names
from appliance_members.registrar import Registrar
from appliance_members.roster import Roster
from appliance_members.standing import Standing, group_of, stand


def _begins(standings: Iterable[Standing]) -> bool:
    return beginning("ok" if s.in_pool else s.code for s in standings)


class Figures:
    """Counts over all members."""

    def __init__(self, ctx: SetupContext, roster: Roster, registrar: Registrar) -> None:
        self._ctx = ctx
        self._roster = roster
        self._registrar = registrar
        self._stood = Derived(stand)

    def standings(self) -> list[tuple[Member, Standing]]:
        """Every member with how it stands."""
        board = self._ctx.find(ScoreBoard)  # type: ignore[type-abstract]
        verdicts = board.verdicts.get() if board else {}
        return [(m, self._stood.of(key, m, verdicts.get(key))) for key, m in self._roster.table.get().items()]

    def servers(self) -> Iterable[tuple[tuple[str, ...], float]]:
        """Members by zone, family and group."""
        counts = Counter(
            (zone, f"ipv{member.family}", group_of(s))
            for member, s in self.standings()
            for zone in member.zones
        )
        return list(counts.items())

    async def nobody_is_left(self) -> str | None:
        """What is wrong when not one member may be answered."""
        standings = [s for _, s in self.standings()]
        if any(s.in_pool for s in standings) or not standings or _begins(standings):
            return None
        causes = Counter(group_of(s) for s in standings)
        told = ", ".join(f"{n} {group}" for group, n in causes.most_common())
        who = f"none of {len(standings)} members" if len(standings) > 1 else "not even the one member"
        return f"{who} may be answered ({told})"

    async def nobody_yet(self) -> Finding | None:
        """What is missing before the pool can answer for the first time: with servers, nothing but patience."""
        standings = [s for _, s in self.standings()]
        if not standings:
            return Finding("there is no member yet", info=True)
        if not _begins(standings):
            return None
        new = sum(s.code == "new" for s in standings)
        return Finding(
            f"{new} new {'member is' if new == 1 else 'members are'} judged for the first time, and nobody is answered yet",
            info=True,
            remedy="wait: each enters after a number of good probes; `timeball member list` tells how many are missing",
        )

    async def unknown_names(self) -> str | None:
        """Declared names that do not resolve."""
        config: Config = self._ctx.config
        return "; ".join(pending_names(config.member, self._registrar.names, self._roster.registry)) or None

    async def unproven(self) -> Finding | None:
        """Members that wait for the proof that they are whose they are said to be."""
        waiting = [m for m in self._roster.table.get().values() if m.state == "unverified"]
        if not waiting:
            return None
        count = f"{len(waiting)} members wait" if len(waiting) > 1 else "1 member waits"
        return Finding(
            f"{count} for proof of ownership, and {'are' if len(waiting) > 1 else 'is'} not answered",
            info=True,
            evidence=tuple(f"{m.name or m.address} ({m.id})" for m in waiting[:10]),
            remedy="`timeball member show ID` says how to prove it; an administrator may vouch for it",
        )

    async def card(self) -> Mapping[str, Any]:
        """Facts for the overview."""
        standings = self.standings()
        groups = Counter(group_of(s) for _, s in standings)
        inside = groups.pop("in_pool", 0)
        nobody = None if inside else await self.nobody_is_left()
        yet = None if inside or nobody else await self.nobody_yet()
        level = "failing" if nobody else "ok" if yet is None else "none"
        problem = nobody or (yet and yet.text)
        return {
            "verdict": problem or f"{inside} of {len(standings)} members are in the answers",
            "level": level,
            "facts": [
                ["IPv4 in the answers", sum(s.in_pool and m.family == 4 for m, s in standings)],
                ["IPv6 in the answers", sum(s.in_pool and m.family == 6 for m, s in standings)],
                *[[group, n] for group, n in sorted(groups.items())],
            ],
        }

    def metrics(self) -> list[Metric]:
        return [
            Metric("pool_servers", "Members by zone, address family and how they stand", "gauge", self.servers, ("zone", "family", "state")),
            Metric("members", "Members, whatever their state", "gauge", lambda: float(len(self._roster.table.get()))),
            Metric("member_names_unresolved", "Host names of members whose last lookup failed", "gauge",
                   lambda: float(sum(bool(s.error) for s in self._registrar.names.values()))),
        ]  # fmt: skip

    def health_checks(self) -> list[HealthCheck]:
        return [
            HealthCheck("members in the answers", self.nobody_is_left, Level.FAILING,
                        remedy="see `timeball member list` for the reason of each",
                        why="Clients that ask for the pool get no address.", well="members are in the answers"),
            HealthCheck("members", self.nobody_yet, remedy="add one with `timeball member add ADDRESS`",
                        why="A pool is its members.", well="the pool has members"),
            HealthCheck("names of members", self.unknown_names, remedy="check the name and this box's resolver",
                        why="A member without an address is not watched and not answered.", well="every member's name has an address"),
            HealthCheck("proofs of members", self.unproven, why="Nobody has shown that these servers want to be in the pool.",
                        well="every member is vouched for"),
        ]  # fmt: skip

    def panel(self) -> Panel:
        return Panel("members", "Members", self.card, order=20, link="/members")
