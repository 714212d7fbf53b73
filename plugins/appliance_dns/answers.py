"""The answer table: gathers what others know, lets the zone be built when it changed, and can explain itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appliance.api.contrib import AnswerRecord, AnswerSource, Candidate
from appliance.api.model import Member, Verdict
from appliance.api.services import Members, ScoreBoard
from appliance_dns.candidates import barred, candidates, reweighed
from appliance_dns.config import DnsConfig
from appliance_dns.last_answers import LastAnswers
from appliance_dns.live import Live
from appliance_dns.pools import Place, by_family, places, shorter, zone_paths
from appliance_dns.selection import Choice
from appliance_dns.zone import Plan, Pool, Secrets, Zone, build

EPOCH_S = 3600
_NO_DATA = "the answer is NOERROR without data"


@dataclass(frozen=True, slots=True)
class Inputs:
    """Where the table looks; none of them must be there.

    Attributes:
        config: the current configuration.
        sources: what plugins add, in their order.
        live: answers what is not in the zone but answered anew for each query.
        own_addresses: of this box.
    """

    config: Callable[[], DnsConfig]
    members: Members | None
    board: ScoreBoard | None
    sources: Callable[[], Sequence[AnswerSource]]
    live: Live
    secrets: Secrets
    own_addresses: tuple[str, ...]
    wall_ns: Callable[[], int]


class Answers:
    """Holds the zone as it is answered now.

    Attributes:
        zone: the zone, after the first `refresh`.
        candidates: every member with its weight and reason, as of the last `refresh`.
        standing: by zone path and family: who stands where.
        stale: whether the monitor must be taken for dead.
        last: what was answered before the restart; it counts until the monitor has spoken.
        idle: nobody keeps the table up to date, so it must look for itself before it explains.
    """

    def __init__(self, inputs: Inputs, last: LastAnswers, log: logging.Logger) -> None:
        self.inputs = inputs
        self.last = last
        self.zone: Zone | None = None
        self.candidates: tuple[Candidate, ...] = ()
        self.standing: Mapping[tuple[str, int], Sequence[Place]] = {}
        self.stale = False
        self.idle = True
        self.notes: Mapping[tuple[str, int], str] = {}
        self._serial = last.serial
        self._good: dict[tuple[str, int], tuple[Choice, ...]] = {}
        self._log = log
        self._complained: set[str] = set()

    @property
    def serial(self) -> int:
        return self._serial

    def refresh(self) -> None:
        """Look at all inputs; `zone` is another one afterwards if anything in it changed."""
        config = self.inputs.config()
        self.stale = self.is_stale()
        self.candidates = tuple(self._weighed())
        plan = self._plan(config)
        if self.zone is not None and plan == self.zone.plan:
            return
        # A serial must grow although the clock may be years behind after a start without a battery.
        self._serial = max(self._serial + 1, self.inputs.wall_ns() // 1_000_000_000) & 0xFFFFFFFF
        self.zone = build(plan, self._serial, self.zone)
        for problem in self.zone.problems:
            self._complain(problem)

    def is_stale(self) -> bool:
        """Whether the monitor must be taken for dead: it is missing, or its verdicts are too old."""
        board = self.inputs.board
        return board is None or board.verdicts.age_s() > board.stale_after_s()

    def _weighed(self) -> list[Candidate]:
        members = self._members()
        weighed = candidates(members, self._verdicts(members))
        for source in self.inputs.sources():
            if source.reweigh is None:
                continue
            try:
                weighed = reweighed(weighed, source.reweigh, source.name)
            except Exception as error:  # noqa: BLE001 - a plugin's mistake must not take the answers away
                self._complain(f"answer source {source.name} cannot weigh: {error!r}")
        return weighed

    def _members(self) -> Sequence[Member]:
        members = self.inputs.members
        if members is not None and members.table.age_s() != float("inf"):
            return list(members.table.get().values())
        return list(self.last.members.values())

    def _verdicts(self, members: Sequence[Member]) -> Mapping[str, Verdict]:
        spoken = dict(self.inputs.board.verdicts.get()) if self.inputs.board is not None else {}
        for member in members:
            verdict = spoken.get(member.id)
            if verdict is None or (verdict.last_ts is None and verdict.code == "new"):
                restored = self.last.verdict(member.id)
                if restored is not None:
                    spoken[member.id] = restored
        return spoken

    def _plan(self, config: DnsConfig) -> Plan:
        ttl_s = shorter(config.ttl) if self.stale else config.ttl
        families = by_family(self.candidates)
        pools: dict[tuple[str, int], Pool] = {}
        standing: dict[tuple[str, int], Sequence[Place]] = {}
        notes: dict[tuple[str, int], str] = {}
        for path in zone_paths(self.candidates):
            for family, members in families.items():
                key = (path, family)
                standing[key] = places(path, members, config.max_records, ttl_s)
                choices = tuple(p.choice for p in standing[key] if p.choice is not None)
                if choices:
                    self._good[key] = choices
                elif members:
                    choices, notes[key] = self._when_empty(config, key, ttl_s)
                pools[key] = Pool(choices, wanted=bool(members))
        self.standing, self.notes = standing, notes
        for key in self._good.keys() - pools.keys():
            del self._good[key]
        return Plan(
            config=config,
            pools=pools,
            secrets=self.inputs.secrets,
            contributed=self._contributed(config),
            live=self.inputs.live.owners(),
            own_addresses=self.inputs.own_addresses,
            epoch=self.inputs.wall_ns() // (EPOCH_S * 1_000_000_000),
        )

    def _when_empty(
        self, config: DnsConfig, key: tuple[str, int], ttl_s: int
    ) -> tuple[tuple[Choice, ...], str]:
        """What is answered when nobody is usable, and why."""
        if config.on_empty == "fallback":
            of_family = [a for a in config.fallback if (":" in a) == (key[1] == 6)]
            choices = tuple(Choice(address, 1, ttl_s=shorter(ttl_s)) for address in of_family)
            if not choices:
                return (), f"nobody is usable, and no fallback address is IPv{key[1]}: {_NO_DATA}"
            return choices, "nobody is usable: the fallback addresses are answered"
        if config.on_empty == "last_good":
            spared = {c.member.address for c in self.candidates if _may_be_kept(c)}
            choices = tuple(
                Choice(c.address, c.weight, c.tier, c.operator, shorter(ttl_s))
                for c in self._good.get(key, ())
                if c.address in spared
            )
            if not choices:
                return (), f"nobody is usable, and of those who were good last nobody may be kept: {_NO_DATA}"
            return (
                choices,
                "nobody is usable: those who were good last are answered, unless their time is wrong",
            )
        said = "the answer is SERVFAIL" if config.on_empty == "servfail" else _NO_DATA
        return (), f"nobody is usable: {said}"

    def _contributed(self, config: DnsConfig) -> tuple[tuple[str, tuple[AnswerRecord, ...]], ...]:
        contributed = []
        for source in self.inputs.sources():
            if source.records is None:
                continue
            try:
                contributed.append((source.name, tuple(source.records(config.zone))))
            except Exception as error:  # noqa: BLE001 - as above
                self._complain(f"answer source {source.name} has no records: {error!r}")
        return tuple(contributed)

    def _complain(self, problem: str) -> None:
        if problem not in self._complained and len(self._complained) < 1000:
            self._complained.add(problem)
            self._log.warning("%s", problem)

    def explain(self, name: str, rrtype: str, client: str | None) -> dict[str, Any]:
        """See `appliance.api.services.AnswerTable`."""
        from appliance_dns.explain import explain

        if self.zone is None or self.idle:
            self.refresh()
        return explain(self, name, rrtype, client)


def _may_be_kept(entry: Candidate) -> bool:
    """Whether a member that is out may be answered for lack of anybody: only if nobody wants it out and its time is right."""
    return not barred(entry.member) and entry.verdict is not None and entry.verdict.truthful
