"""Everybody's standing and verdict: moved on by each scored probe, read by everybody else."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from appliance.api.events import VerdictChanged
from appliance.api.model import Family, Member, ScoredProbe, Verdict
from appliance.core.cells import Cell
from appliance_monitor import gate
from appliance_monitor.gate import GatePolicy
from appliance_monitor.standing import Standing, after
from appliance_monitor.truth import Untruth

#: Probes of each member that are kept in memory, and of all members together (some 30 MB).
RECENT = 60
RECENT_IN_ALL = 60_000


class Board:
    """Standings, verdicts and the last probes of all members.

    Attributes:
        verdicts: by member id; replaced whole.
        standings: by member id, also of members that have none yet.
        dirty: members whose standing has changed since it was last kept.
    """

    def __init__(self, verdicts: Cell[Mapping[str, Verdict]], publish: Callable[[object], None]) -> None:
        self.verdicts = verdicts
        self.standings: dict[str, Standing] = {}
        self.dirty: set[str] = set()
        self._members: Mapping[str, Member] = {}
        #: Those of a family who may be answered at all.
        self._able: dict[Family, list[str]] = {4: [], 6: []}
        self._recent: dict[str, deque[Mapping[str, Any]]] = {}
        self._recent_each = RECENT
        self._kept: dict[Family, frozenset[str]] = {4: frozenset(), 6: frozenset()}
        self._publish = publish

    def restore(self, standings: Iterable[Standing]) -> None:
        """What was known before the restart; standings of members that are gone wait for them to come back."""
        self.standings.update((standing.member, standing) for standing in standings)

    def remember(self, member: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Probes from before the restart, oldest first."""
        self._recent.setdefault(member, deque(maxlen=self._recent_each)).extend(rows)

    def set_members(self, members: Mapping[str, Member], policy: GatePolicy, now: float) -> None:
        """The registry changed: judge everybody anew."""
        for gone in self._members.keys() - members.keys():
            self.standings.pop(gone, None)
            self._recent.pop(gone, None)
            self.dirty.add(gone)
        self._members = members
        self._able = {4: [], 6: []}
        for member in members.values():
            if gate.barred(member) is None:
                self._able[member.family].append(member.id)
        each = max(3, min(RECENT, RECENT_IN_ALL // max(1, len(members))))
        if each != self._recent_each:
            self._recent_each = each
            self._recent = {key: deque(rows, maxlen=each) for key, rows in self._recent.items()}
        known = self.verdicts.get()
        if not known.keys() <= members.keys():
            self.verdicts.set({key: verdict for key, verdict in known.items() if key in members})
        self.judge_all(policy, now)

    def judge_all(self, policy: GatePolicy, now: float) -> None:
        """Let everybody in or out under `policy` (after a change of members or configuration)."""
        for member in self._members:
            self.standings[member] = gate.decide(self.standing(member), policy, now)
        for family in self._kept:
            self._kept[family] = self._find_kept(family, policy, now)
        self._show(self._members, policy)

    def standing(self, member: str) -> Standing:
        """What is remembered of a member; a new one's when nothing is."""
        return self.standings.get(member) or Standing(member)

    def absorb(self, scored: ScoredProbe, found: Untruth | None, policy: GatePolicy) -> Verdict | None:
        """One more probe of a member; its new verdict, None when the member is gone."""
        member = self._members.get(scored.probe.member)
        if member is None:
            return None
        before = self.standing(member.id)
        now = scored.probe.ts
        standing = gate.decide(after(before, scored, found), policy, now)
        self.standings[member.id] = standing
        self.dirty.add(member.id)
        self._recent.setdefault(member.id, deque(maxlen=self._recent_each)).append(log_row(scored))
        touched = {member.id}
        family = member.family
        moved = (before.inside, before.misses, before.untrue) != (
            standing.inside,
            standing.misses,
            standing.untrue,
        )
        if moved or self._kept[family]:
            kept = self._find_kept(family, policy, now)
            touched |= kept ^ self._kept[family]
            self._kept[family] = kept
        self._show(touched, policy)
        return self.verdicts.get().get(member.id)

    def recent(self, member: str, limit: int = 20) -> Sequence[Mapping[str, Any]]:
        """The last probes from memory, newest first."""
        rows = self._recent.get(member)
        return [] if rows is None else list(islice(reversed(rows), max(0, limit)))

    def answering(self, number: int, but: Collection[str], before_ts: float) -> list[str]:
        """Members that answered their last probe, at most `number`, the latest first; none of `but`, none since `before_ts`."""
        able = [
            standing
            for key in self._members.keys() - but
            if (standing := self.standing(key)).last_ts is not None
            and standing.misses == 0
            and standing.last_ts <= before_ts
        ]
        able.sort(key=lambda standing: standing.last_ts or 0.0, reverse=True)
        return [standing.member for standing in able[:number]]

    def touch(self) -> None:
        """Say that the verdicts are still what we think."""
        self.verdicts.set(self.verdicts.get())

    def _find_kept(self, family: Family, policy: GatePolicy, now: float) -> frozenset[str]:
        if policy.plain:
            return frozenset()
        standings = self.standings
        return gate.kept([standings[key] for key in self._able[family] if key in standings], policy, now)

    def _show(self, touched: Iterable[str], policy: GatePolicy) -> None:
        """Publish the verdicts of `touched` members, and who crossed the line."""
        old = self.verdicts.get()
        new = dict(old)
        changes = []
        for key in touched:
            member = self._members.get(key)
            if member is None:
                continue
            verdict = gate.verdict(member, self.standing(key), policy, keep=key in self._kept[member.family])
            before = new.get(key)
            new[key] = verdict
            if (before.in_pool if before else False) != verdict.in_pool:
                changes.append(VerdictChanged(member, before, verdict))
        self.verdicts.set(new)
        for change in changes:
            self._publish(change)


def log_row(scored: ScoredProbe) -> dict[str, Any]:
    """One row of the monitor log."""
    probe, step = scored.probe, scored.step
    return {
        "ts": round(probe.ts, 3),
        "monitor": probe.monitor,
        "offset_s": probe.offset_s,
        "rtt_s": probe.rtt_s,
        "stratum": probe.stratum,
        "leap": probe.leap,
        "step": step.step,
        "score": scored.score,
        "error": probe.error,
        "rule": step.rule,
        "why": step.why,
    }
