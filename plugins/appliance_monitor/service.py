"""The monitor at work: probes who is due, scores what comes back, publishes the verdicts."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appliance.api.context import RunContext, SetupContext
from appliance.api.contrib import ProbeKind, ScoreRule
from appliance.api.events import ClockStepped, ProbeFinished
from appliance.api.model import ClockState, Member, ProbeResult, Sample, ScoredProbe, Target, Verdict
from appliance.api.services import Members, TimeSource
from appliance.core.cells import Cell
from appliance_monitor import keeping, selfcheck
from appliance_monitor.board import Board, log_row
from appliance_monitor.config import MonitorConfig
from appliance_monitor.gate import GatePolicy
from appliance_monitor.pace import Pace, interval_s, pace_of
from appliance_monitor.probe import Sampler
from appliance_monitor.samples import is_final, result_of
from appliance_monitor.schedule import Schedule
from appliance_monitor.score import advance
from appliance_monitor.steps import in_order, judge
from appliance_monitor.target import is_local, parse_target
from appliance_monitor.truth import untruth

#: The verdicts are said again this often while we are fit to judge; older ones than STALE_S are nobody's any more.
TOUCH_S = 10.0
STALE_S = 60.0
KEEP_S = 5.0
REFERENCES_S = 180.0
REFERENCE_OFFSET_S = 0.010
#: How long a silence is held back while nobody has answered since, at most.
HOLD_S = 30.0
_TURN_S = 0.25


@dataclass(frozen=True, slots=True)
class Held:
    """A silent probe that is not scored before we know that the silence is not ours."""

    result: ProbeResult
    started_ns: int
    until_ns: int


class Monitor:
    """Provides `ScoreBoard` and `Prober`; see `appliance.api.services`.

    Attributes:
        verdicts: by member id.
        trouble: why we cannot judge others now, "" when we can.
        results: probes since the start by outcome: "ok", the error, "discarded".
    """

    def __init__(self, ctx: SetupContext) -> None:
        self._ctx = ctx
        self._clock = ctx.clock
        self.verdicts: Cell[Mapping[str, Verdict]] = ctx.cell("verdicts", {})
        self.board = Board(self.verdicts, ctx.bus.publish)
        self.trouble = ""
        self.results: Counter[str] = Counter()
        self.sampler = Sampler(ctx.clock, random.SystemRandom().getrandbits, self._clock_state)
        self._rng = random.Random()  # noqa: S311 - only moves probes a little
        self._schedule = Schedule(self._rng)
        self._sense = selfcheck.NetworkSense()
        self._held: list[Held] = []
        self._in_flight = 0
        self._steps = 0
        self._reference_trouble = ""
        self._restored = False

    # -- what others ask --------------------------------------------------------------------------------------------

    @property
    def config(self) -> MonitorConfig:
        config: MonitorConfig = self._ctx.config
        return config

    @property
    def policy(self) -> GatePolicy:
        """The figures of the gate in force."""
        c = self.config
        return GatePolicy(
            c.gate, c.enter_score, c.leave_score, c.misses, c.slow_start, c.min_keep, c.keep_for_s
        )

    def stale_after_s(self) -> float:
        return STALE_S

    def recent(self, member_id: str, limit: int = 20) -> Sequence[Mapping[str, Any]]:
        return self.board.recent(member_id, limit)

    async def probe(
        self, target: Target, *, samples: int | None = None, on_sample: Callable[[Sample], None] | None = None
    ) -> ProbeResult:
        """Look at any server once; scores nothing."""
        taken = await self._take(target, pace_of(target.address, self.config, samples), on_sample)
        return result_of(taken, ts=self._now(), target=target, monitor=self.config.name)

    def in_flight(self) -> int:
        """Probes under way."""
        return self._in_flight

    def rules(self) -> tuple[ScoreRule, ...]:
        """The rules that judge now, in the order in which they are asked."""
        return in_order(self._ctx.contributions(ScoreRule), self.config.profile)

    # -- the run ----------------------------------------------------------------------------------------------------

    async def run(self, ctx: RunContext) -> None:
        """Work until cancelled."""
        members = ctx.get(Members)  # type: ignore[type-abstract]
        if not self._restored:  # a restart of this run knows more than the database
            await keeping.restore(ctx.store, self.board)
            self._restored = True
        self._held.clear()
        self._in_flight = 0
        self._schedule = Schedule(self._rng)
        self._follow(members.table.get())
        ctx.on_stop(members.table.watch(self._follow))
        ctx.on_stop(ctx.config_changes.watch(lambda _: self.board.judge_all(self.policy, self._now())))
        ctx.on_stop(lambda: keeping.keep(ctx.store, self.board))
        ctx.every(KEEP_S, lambda: keeping.keep(ctx.store, self.board))
        ctx.every(TOUCH_S, self._look_at_ourselves)
        ctx.every(1.0, self._settle_held)
        ctx.spawn("clock steps", self._watch_steps(ctx))
        if self.config.references:
            ctx.spawn("references", self._ask_references(ctx))
        self._look_at_ourselves()
        ctx.ready()
        while True:
            now_ns = self._clock.monotonic_ns()
            self._start_due(ctx, members.table.get(), now_ns)
            wait_s = self._schedule.wait_s(now_ns)
            await self._clock.sleep(_TURN_S if wait_s is None else min(_TURN_S, max(0.005, wait_s)))

    def _start_due(self, ctx: RunContext, members: Mapping[str, Member], now_ns: int) -> None:
        while self._in_flight < self.config.max_in_flight and (key := self._schedule.take(now_ns)):
            member = members.get(key)
            if member is None:
                self._schedule.remove(key)
            elif self._cannot_tell(now_ns):
                self._schedule.again(key, now_ns, min(TOUCH_S, self.config.interval_s), now_ns)
            else:
                self._in_flight += 1
                ctx.spawn(f"probe {member.address}", self._probe_member(member, now_ns))

    async def _probe_member(self, member: Member, started_ns: int) -> None:
        steps = self._steps
        target = Target(member.address, member.port)
        try:
            taken = await self._take(target, pace_of(member.address, self.config))
        finally:
            self._in_flight -= 1
        now_ns = self._clock.monotonic_ns()
        result = result_of(taken, ts=self._now(), target=target, member=member.id, monitor=self.config.name)
        if steps != self._steps or self._cannot_tell(now_ns):
            self.results["discarded"] += 1
        else:
            hold_ns = int(min(HOLD_S, self.config.interval_s) * 1e9)
            self._weigh(Held(result, started_ns, now_ns + hold_ns), now_ns)
        self._schedule.again(
            member.id,
            started_ns,
            interval_s(member.address, self.board.standing(member.id), self.config),
            now_ns,
        )

    async def _take(
        self, target: Target, pace: Pace, on_sample: Callable[[Sample], None] | None = None
    ) -> list[Sample]:
        """The samples of one probe, oldest first; ends early when one says all there is to say."""
        sample_once = self._sample_once()
        taken: list[Sample] = []
        while True:
            sample = await sample_once(target, pace.timeout_s)
            taken.append(sample)
            if on_sample is not None:
                on_sample(sample)
            # On our own network a refusal is the machine's own word: asking again changes nothing.
            said_all = is_final(sample) or (sample.error == "refused" and is_local(target.address))
            if said_all or len(taken) >= pace.samples:
                return taken
            await self._clock.sleep(pace.spacing_s * self._rng.uniform(1, 1.05))

    def _sample_once(self) -> Callable[[Target, float], Any]:
        kinds = {kind.name: kind for kind in self._ctx.contributions(ProbeKind)}
        return kinds["ntp"].sample if "ntp" in kinds else self.sampler.sample

    # -- what comes back --------------------------------------------------------------------------------------------

    def _weigh(self, held: Held, now_ns: int) -> None:
        """Score a result, or hold a silence back until somebody else's answer proves that it is not ours."""
        result = held.result
        if result.responded or result.error == "refused":
            self._sense.heard(now_ns)
            self._score(result)
            ready = [h for h in self._held if h.started_ns <= now_ns]
            self._held = [h for h in self._held if h not in ready]
            for earlier in ready:
                self._score(earlier.result)
            return
        self._sense.missed(result.member)
        if self._sense.proven_since(held.started_ns) or len(self._schedule) < selfcheck.QUORUM:
            self._score(result)
        else:
            self._held.append(held)

    def _settle_held(self) -> None:
        """Silences that nobody's answer has explained in time: ours if they are common, else the members' own."""
        now_ns = self._clock.monotonic_ns()
        due = [h for h in self._held if h.until_ns <= now_ns]
        if not due:
            return
        self._held = [h for h in self._held if h.until_ns > now_ns]
        if self._sense.suspicious(len(self._schedule)):
            self.results["discarded"] += len(due)
            self._look_at_ourselves()
            return
        for held in due:
            self._score(held.result)

    def _score(self, result: ProbeResult) -> None:
        config = self.config
        step = judge(result, self.rules())
        before = self.board.standing(result.member).score_of(result.monitor)
        scored = ScoredProbe(result, step, advance(before, step.step, step.cap))
        verdict_before = self.verdicts.get().get(result.member)
        verdict = self.board.absorb(scored, untruth(result, config.tolerance_s, step), self.policy)
        self.results[result.error or "ok"] += 1
        if verdict is None:
            return
        self._ctx.store.append(keeping.PROBES, keeping.probe_row(result.member, log_row(scored)))
        self._ctx.bus.publish(ProbeFinished(scored))
        if verdict_before is not None and verdict_before.in_pool != verdict.in_pool:
            self._ctx.log.info("%s: %s", result.target.address, verdict.reason)

    # -- ourselves --------------------------------------------------------------------------------------------------

    def _clock_state(self) -> ClockState | None:
        source = self._ctx.find(TimeSource)  # type: ignore[type-abstract]
        return source.state.get() if source else None

    def _cannot_tell(self, now_ns: int) -> str:
        return selfcheck.clock_trouble(self._clock_state(), now_ns) or self._reference_trouble

    def _look_at_ourselves(self) -> None:
        """Say the verdicts again while we are fit to judge; let them age while we are not."""
        trouble = self._cannot_tell(self._clock.monotonic_ns())
        if not trouble and self._sense.suspicious(len(self._schedule)):
            trouble = f"{len(self._sense.silent)} servers are silent and nobody answers: our own network may be the reason"
        if trouble != self.trouble:
            self.trouble = trouble
            if trouble:
                self._ctx.log.warning("cannot tell: %s; no score moves", trouble)
            else:
                self._ctx.log.info("can judge again")
        if not trouble:
            self.board.touch()

    async def _watch_steps(self, ctx: RunContext) -> None:
        """A step of the clock makes every probe under way worthless."""
        with ctx.subscribe(ClockStepped) as steps:
            async for step in steps:
                self._steps += 1
                ctx.log.info("the clock stepped by %+.3f s: probes under way are discarded", step.step_s)

    async def _ask_references(self, ctx: RunContext) -> None:
        """Ask the reference hosts now and then; too many failures mean that the fault is ours."""
        while True:
            targets = [parse_target(text) for text in self.config.references]
            failed = 0
            for target in targets:
                sample = await self.sampler.sample(target, self.config.timeout_s)
                good = (
                    sample.error is None
                    and sample.leap != 3
                    and abs(sample.offset_s or 0) <= REFERENCE_OFFSET_S
                )
                failed += not good
            bad = selfcheck.references_fail(failed, len(targets))
            self._reference_trouble = f"{failed} of {len(targets)} reference servers fail" if bad else ""
            self._look_at_ourselves()
            await ctx.clock.sleep(REFERENCES_S)

    def _follow(self, members: Mapping[str, Member]) -> None:
        """Keep the schedule and the board in step with the registry."""
        now_ns = self._clock.monotonic_ns()
        for gone in self._schedule.members() - members.keys():
            self._schedule.remove(gone)
        for key in members:
            if key not in self._schedule:
                self._schedule.add(key, now_ns)
        self.board.set_members(members, self.policy, self._now())

    def _now(self) -> float:
        return self._clock.wall_ns() / 1e9
