"""The monitor at work: probes who is due, scores what comes back, publishes the verdicts."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from appliance.api.context import RunContext, SetupContext
from appliance.api.contrib import ProbeKind, ScoreRule
from appliance.api.errors import ConfigError
from appliance.api.events import ClockStepped, ProbeFinished
from appliance.api.model import (
    ClockState,
    Member,
    ProbeResult,
    Sample,
    ScoredProbe,
    Sighting,
    Target,
    Verdict,
)
from appliance.api.services import Members, TimeSource
from appliance.core.cells import Cell
from appliance_monitor import keeping, selfcheck, sightings
from appliance_monitor.board import Board, log_row
from appliance_monitor.config import MonitorConfig
from appliance_monitor.gate import GatePolicy
from appliance_monitor.pace import interval_s, pace_of
from appliance_monitor.probe import Sampler
from appliance_monitor.prober import Prober
from appliance_monitor.references import ask_now_and_then
from appliance_monitor.rounds import Rounds
from appliance_monitor.samples import answered, result_of
from appliance_monitor.schedule import Schedule
from appliance_monitor.score import advance
from appliance_monitor.silence import QUORUM, Held, Silence
from appliance_monitor.steps import in_order, judge
from appliance_monitor.truth import untruth

#: The verdicts are said again this often while we are fit to judge; older ones than STALE_S are nobody's any more.
TOUCH_S = 10.0
STALE_S = 60.0
KEEP_S = 5.0
#: How long a silence is held back while nobody has answered since, at most.
HOLD_S = 30.0
#: Nobody is called as a witness more often than this, nor within this time after a probe.
WITNESS_S = 16.0
_TURN_S = 0.25


class Monitor:
    """Provides `ScoreBoard` and `Prober`; see `appliance.api.services`.

    Attributes:
        verdicts: by member id.
        trouble: why we cannot judge others now, "" when we can.
        results: probes since the start by outcome: "ok", the rule that took points, "discarded".
        rounds: what every other kind of probe finds.
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
        self._prober = Prober(ctx.clock, self._rng, lambda: ctx.contributions(ProbeKind), self.sampler.sample)
        self.rounds = Rounds(
            ctx.clock, self._rng, lambda: ctx.contributions(ProbeKind), self._prober.guard, self._failed
        )
        self._silence = Silence()
        self._witnesses_ns = 0
        self._crossed = asyncio.Event()
        self._faults: set[str] = set()
        self._in_flight = 0
        self._steps = 0
        self._reference_trouble = ""
        self._rule_trouble = ""
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
        taken = await self._prober.take(target, pace_of(target.address, self.config, samples), on_sample)
        return result_of(taken, ts=self._now(), target=target, monitor=self.config.name)

    def in_flight(self) -> int:
        """Probes under way."""
        return self._in_flight

    def rules(self) -> tuple[ScoreRule, ...]:
        """The rules that judge now, in the order in which they are asked."""
        return in_order(self._ctx.contributions(ScoreRule), self.config.profile)

    def _no_rules(self) -> str:
        """Why nobody can be scored under the configured profile, "" when they can."""
        profile = self.config.profile
        known = sorted({rule.profile for rule in self._ctx.contributions(ScoreRule) if rule.profile})
        return (
            "" if profile in known else f'no plugin has the profile "{profile}"; there are {", ".join(known)}'
        )

    # -- the run ----------------------------------------------------------------------------------------------------

    async def run(self, ctx: RunContext) -> None:
        """Work until cancelled."""
        members = ctx.get(Members)  # type: ignore[type-abstract]
        if why := self._no_rules():
            raise ConfigError("profile", why)
        if not self._restored:  # a restart of this run knows more than the database
            await keeping.restore(ctx.store, self.board)
            self._restored = True
        self._silence.forget()
        self._in_flight = 0
        self._schedule = Schedule(self._rng)
        self._follow(members.table.get())
        ctx.on_stop(members.table.watch(self._follow))
        ctx.on_stop(ctx.config_changes.watch(lambda _: self._reconfigured()))
        ctx.on_stop(lambda: keeping.keep(ctx.store, self.board))
        ctx.every(KEEP_S, lambda: keeping.keep(ctx.store, self.board))
        ctx.spawn("keep crossings", self._keep_crossings(ctx))
        ctx.every(TOUCH_S, self._look_at_ourselves)
        ctx.every(1.0, lambda: ctx.status(self._summary()))
        ctx.every(1.0, self._settle_held)
        ctx.spawn("clock steps", self._watch_steps(ctx))
        ctx.spawn("references", ask_now_and_then(ctx, self.sampler.sample, self._told_of_references))
        ctx.spawn(
            "rounds", self.rounds.run(ctx, members.table.get, self._network_trouble, self._keep_sighting)
        )
        self._look_at_ourselves()
        ctx.ready()
        while True:
            now_ns = self._clock.monotonic_ns()
            self._start_due(ctx, members.table.get(), now_ns)
            wait_s = self._schedule.wait_s(now_ns)
            await self._clock.sleep(_TURN_S if wait_s is None else min(_TURN_S, max(0.005, wait_s)))

    def _reconfigured(self) -> None:
        """Take over a new configuration: also by those who are not due for a long time under the old one."""
        self._rule_trouble = self._no_rules()
        self.board.judge_all(self.policy, self._now())
        now_ns = self._clock.monotonic_ns()
        for member in self._ctx.get(Members).table.get().values():  # type: ignore[type-abstract]
            latest_s = interval_s(member.address, self.board.standing(member.id), self.config)
            self._schedule.no_later(member.id, now_ns, latest_s)

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
        taken: list[Sample] = []
        try:
            taken = await self._prober.take(target, pace_of(member.address, self.config))
        except Exception as error:  # noqa: BLE001 - another plugin's look must not end the watch over everybody
            self._failed("the look at a server", error)
        finally:
            self._in_flight -= 1
        now_ns = self._clock.monotonic_ns()
        if not taken or steps != self._steps or self._cannot_tell(now_ns):
            self.results["discarded"] += 1
        else:
            result = result_of(
                taken, ts=self._now(), target=target, member=member.id, monitor=self.config.name
            )
            seen = self.rounds.of(member.id, result.ts)
            self._weigh(replace(result, sightings=seen), started_ns, now_ns)
        standing = self.board.standing(member.id)
        if not any(answered(sample) for sample in taken):
            # Whether the silence counts or is still held back: look again soon.
            standing = replace(standing, misses=max(1, standing.misses))
        again_s = interval_s(member.address, standing, self.config)
        self._schedule.again(member.id, started_ns, again_s, now_ns)

    # -- what comes back --------------------------------------------------------------------------------------------

    def _weigh(self, result: ProbeResult, started_ns: int, now_ns: int) -> None:
        """Score a result, or hold a silence back until somebody else's answer proves that it is not ours."""
        if result.responded or result.error == "refused":
            self._heard(now_ns)
            self._score(result)
            return
        hold_ns = int(min(HOLD_S, self.config.interval_s) * 1e9)
        if self._silence.missed(Held(result, started_ns, now_ns + hold_ns), len(self._schedule)):
            self._score(result)
        else:
            self._call_witnesses(now_ns)

    def _heard(self, now_ns: int) -> None:
        for result in self._silence.heard(now_ns):
            self._score(result)
        if self.trouble:
            self._look_at_ourselves()

    def _call_witnesses(self, now_ns: int) -> None:
        """Ask those who answered last, now: with long intervals nobody else may be due while a silence is held back."""
        if now_ns < self._witnesses_ns:
            return
        self._witnesses_ns = now_ns + int(WITNESS_S * 1e9)
        for member in self.board.answering(QUORUM, self._silence.silent, self._now() - WITNESS_S):
            self._schedule.hasten(member, now_ns)

    def _settle_held(self) -> None:
        """Silences that nobody's answer has explained in time: ours if they are common, else the members' own."""
        results, forgotten = self._silence.settle(self._clock.monotonic_ns(), len(self._schedule))
        for result in results:
            self._score(result)
        if forgotten:
            self.results["discarded"] += forgotten
            self._look_at_ourselves()

    def _score(self, result: ProbeResult) -> None:
        config = self.config
        step = judge(result, self.rules(), self._rule_failed)
        before = self.board.standing(result.member).score_of(result.monitor)
        scored = ScoredProbe(result, step, advance(before, step.step, step.cap))
        verdict_before = self.verdicts.get().get(result.member)
        verdict = self.board.absorb(scored, untruth(result, config.tolerance_s, step), self.policy)
        # By rule, not by the error's text: that is the member's to choose, and would be a label without end.
        self.results["ok" if result.error is None and step.step > 0 else step.rule] += 1
        if verdict is None:
            return
        self._ctx.store.append(keeping.PROBES, keeping.probe_row(result.member, log_row(scored)))
        self._ctx.bus.publish(ProbeFinished(scored))
        if verdict_before is None or verdict_before.in_pool != verdict.in_pool:
            self._crossed.set()
            if verdict_before is not None:
                self._ctx.log.info("%s: %s", result.target.address, verdict.reason)

    def _rule_failed(self, rule: ScoreRule, error: Exception) -> None:
        self._failed(f"the score rule {rule.name}, which is passed over,", error)

    def _failed(self, what: str, error: Exception) -> None:
        """Another plugin's fault must not stop the judging of everybody: it is named, once."""
        if what not in self._faults:
            self._faults.add(what)
            self._ctx.log.error("%s failed: %r", what, error, exc_info=error)

    # -- ourselves --------------------------------------------------------------------------------------------------

    def _clock_state(self) -> ClockState | None:
        source = self._ctx.find(TimeSource)  # type: ignore[type-abstract]
        return source.state.get() if source else None

    def _cannot_tell(self, now_ns: int) -> str:
        return (
            selfcheck.clock_trouble(self._clock_state(), now_ns)
            or self._reference_trouble
            or self._rule_trouble
        )

    def _summary(self) -> str:
        """What it does now, in one line."""
        verdicts = self.verdicts.get()
        inside = sum(verdict.in_pool for verdict in verdicts.values())
        kinds = "".join(f", {kind.title or kind.name}" for kind in self.rounds.kinds())
        return self.trouble or f"watches {len(verdicts)} servers by NTP{kinds}; {inside} are good enough"

    def _network_trouble(self) -> str:
        """Why what fails may be our own network's fault, or "": a clock that is wrong fails no connection."""
        if self._silence.suspicious(len(self._schedule)):
            return "nobody answers"
        return self._reference_trouble

    def _keep_sighting(self, sighting: Sighting) -> None:
        self._ctx.store.append(sightings.TABLE, sightings.row(sighting))

    def _look_at_ourselves(self) -> None:
        """Say the verdicts again while we are fit to judge; let them age while we are not."""
        trouble = self._cannot_tell(self._clock.monotonic_ns())
        if not trouble and self._silence.suspicious(len(self._schedule)):
            trouble = f"{len(self._silence.silent)} servers are silent and nobody answers: our own network may be the reason"
        was, self.trouble = self.trouble, trouble
        # Once when it comes and once when it goes: the figures in between change all the time.
        if trouble and not was:
            self._ctx.log.warning("cannot tell: %s; no score moves", trouble)
            self.rounds.doubt(self._now())
        elif was and not trouble:
            self._ctx.log.info("can judge again")
        if not trouble:
            self.board.touch()

    async def _keep_crossings(self, ctx: RunContext) -> None:
        """Write at once who entered or left: after a kill -9 the answers begin where they were."""
        while True:
            await self._crossed.wait()
            self._crossed.clear()
            await keeping.keep(ctx.store, self.board)

    async def _watch_steps(self, ctx: RunContext) -> None:
        """A step of the clock makes every probe under way worthless."""
        with ctx.subscribe(ClockStepped) as steps:
            async for step in steps:
                self._steps += 1
                ctx.log.info("the clock stepped by %+.3f s: probes under way are discarded", step.step_s)

    def _told_of_references(self, answered: int, failed: int, asked: int) -> None:
        self._reference_trouble = ""
        if selfcheck.references_fail(failed, asked):
            self._reference_trouble = f"{failed} of {asked} reference servers fail"
        if answered:
            self._heard(self._clock.monotonic_ns())
        self._look_at_ourselves()

    def _follow(self, members: Mapping[str, Member]) -> None:
        """Keep the schedule and the board in step with the registry."""
        now_ns = self._clock.monotonic_ns()
        for gone in self._schedule.members() - members.keys():
            self._schedule.remove(gone)
        for key in members:
            if key not in self._schedule:
                self._schedule.add(key, now_ns)
        self._silence.only(members)
        self.board.set_members(members, self.policy, self._now())

    def _now(self) -> float:
        return self._clock.wall_ns() / 1e9
