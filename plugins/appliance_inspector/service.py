"""The run of the inspector: samples in, batches to the child, alerts out; a child that dies is started again."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any

from appliance.api.context import RunContext, SetupContext
from appliance.api.errors import ConfigError, Invalid
from appliance.api.packets import TappedPacket
from appliance.api.services import DnsTap, NtpTap, PacketTap
from appliance_inspector.alerts import Alert, Alerts
from appliance_inspector.captures import Captures
from appliance_inspector.ignored import IgnoreList
from appliance_inspector.judging.confine import CPU_S
from appliance_inspector.judging.frames import Packet
from appliance_inspector.rules import Rule, all_rules
from appliance_inspector.warden import ChildGone, Warden
from appliance_inspector.ways import Ways

_BATCH = 500
_MOST_WAITING = 8192
_BACKOFF_FIRST_S, _BACKOFF_MOST_S = 0.5, 60.0
#: A rate of sampling is kept for so long at least.
_RATE_S = 5.0
_MOST_EVERY = 1 << 16
#: Those samples that the child can judge are for so many kinds: of two services, what is ordinary and what is not.
_KINDS = 4
_LINES_A_MINUTE = 10


@dataclass(slots=True)
class Counts:
    """Samples since the start; each is in exactly one of the last three in the end.

    Attributes:
        lost: taken by a child that died with them, or not delivered to us.
        skipped: more than may be judged in a second.
        starts: of the child.
        deaths: of the child, hangs included.
    """

    sampled: int = 0
    judged: int = 0
    lost: int = 0
    skipped: int = 0
    starts: int = 0
    deaths: int = 0


class Inspector:
    """What outlives a run: alerts, what is ignored, captures, counts."""

    def __init__(self, ctx: SetupContext) -> None:
        self._ctx = ctx
        self.alerts = Alerts()
        self.ignored = IgnoreList(ctx.state_dir / "ignored.json", self.now_s)
        self.captures = Captures(ctx.state_dir / "captures", self.now_s, ctx.config.keep_captures_h * 3600)
        self.ways = Ways(self.now_s)
        self.counts = Counts()
        self.rules: dict[str, Rule] = {}
        self.warden: Warden | None = None
        self.why_dead = ""
        self.every: dict[str, int] = {}
        self.unusual: dict[str, int] = {}
        self.run_ctx: RunContext | None = None
        self._waiting: deque[Packet] = deque()
        self._news = asyncio.Event()
        self._allowance = 0.0
        self._refilled_ns = 0
        self._logged = (-1, 0)

    def now_s(self) -> float:
        return self._ctx.clock.wall_ns() / 1e9

    @property
    def full_addresses(self) -> bool:
        return bool(self._ctx.config.full_addresses)

    def tap(self, service: str) -> PacketTap | None:
        """How packets of a service can be had; None when that service is not there."""
        kind: Any = NtpTap if service == "ntp" else DnsTap
        found: PacketTap | None = self._ctx.find(kind)
        return found

    async def run(self, ctx: RunContext) -> None:
        """Inspect until cancelled.

        Raises:
            ConfigError: the rules make no sense.
        """
        config = ctx.config
        try:
            rules = await ctx.to_thread(
                all_rules, Path(config.rules_file) if config.rules_file else None, config.without
            )
        except Invalid as error:
            raise ConfigError("rules_file", str(error)) from error
        self.rules = {rule.id: rule for rule in rules}
        if self.ignored.problem:
            ctx.log.warning("%s", self.ignored.problem)
        self.run_ctx = ctx
        ctx.on_stop(self._leave)
        for service in config.services:
            if (tap := self.tap(service)) is not None:
                ctx.spawn(f"sample {service}", self._sample(service, tap, config.every, config.most_per_s))
        ctx.every(60, self.captures.expire)
        if config.trace:
            ctx.spawn("trace members that left", self.ways.follow(ctx))
        backoff_s = _BACKOFF_FIRST_S
        while True:
            began_ns = ctx.clock.monotonic_ns()
            self.why_dead = await self._one_life(ctx)
            if not self.why_dead:
                continue
            self.counts.deaths += 1
            ctx.log.warning("the child that judges packets is gone: %s; it is started again", self.why_dead)
            ctx.status(f"the child is started again: {self.why_dead}")
            lived_s = (ctx.clock.monotonic_ns() - began_ns) / 1e9
            backoff_s = _BACKOFF_FIRST_S if lived_s > _BACKOFF_MOST_S else min(2 * backoff_s, _BACKOFF_MOST_S)
            await ctx.clock.sleep(backoff_s)

    async def _leave(self) -> None:
        self.run_ctx = None

    async def _one_life(self, ctx: RunContext) -> str:
        """Judge with one child until it is gone; why it is, "" when it was retired in time."""
        warden = Warden(ctx.log)
        try:
            await warden.start(list(self.rules.values()))
            assert warden.hello is not None
            self.warden, self.why_dead = warden, ""
            self.counts.starts += 1
            for what in warden.hello.lacking:
                ctx.log.warning("the child is not confined in every way: %s", what)
            ctx.status(self.sentence())
            ctx.ready()
            while warden.last is None or warden.last.cpu_s < 0.8 * CPU_S:
                await self._judge_some(warden, ctx)
        except (ChildGone, OSError) as error:
            return str(error)
        finally:
            self.warden = None
            await warden.close()
        return ""

    async def _judge_some(self, warden: Warden, ctx: RunContext) -> None:
        while not self._waiting:
            self._news.clear()
            await self._news.wait()
        batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
        try:
            verdict = await warden.judge(batch)
        except ChildGone:
            self.counts.lost += len(batch)
            raise
        self.counts.judged += len(batch)
        for alert in self.alerts.take(verdict.alerts, self.rules):
            self._log(ctx, alert)

    def _log(self, ctx: RunContext, alert: Alert) -> None:
        """A line for each alert, but a few in a minute: sources can be forged, and so there may be any number."""
        minute = ctx.clock.monotonic_ns() // (60 * 10**9)
        if minute != self._logged[0]:
            self._logged = (minute, 0)
        lines = self._logged[1]
        self._logged = (minute, lines + 1)
        if lines < _LINES_A_MINUTE:
            ctx.log.warning("%s: %s (%s)", alert.rule.id, alert.rule.title, alert.prefix)
        elif lines == _LINES_A_MINUTE:
            ctx.log.warning("more alerts in this minute are on the page alone")

    async def _sample(self, service: str, tap: PacketTap, fixed: int, most_per_s: int) -> None:
        """Take samples at rates that the child can judge: one of what is ordinary (or `fixed`), one of what is not."""
        clock, share = self._ctx.clock, most_per_s / _KINDS
        every, unusual = fixed or 1, 1
        while True:
            self.every[service], self.unusual[service] = every, unusual
            began_ns, taken, ordinary, undelivered = clock.monotonic_ns(), 0, 0, 0
            with tap.samples(every=every, unusual=unusual) as samples:
                async for batch in samples:
                    taken += len(batch)
                    ordinary += sum(not packet.unusual for packet in batch)
                    more, undelivered = samples.lost - undelivered, samples.lost
                    self.counts.sampled += more
                    self.counts.lost += more
                    self._take(batch, most_per_s)
                    elapsed_s = (clock.monotonic_ns() - began_ns) / 1e9
                    if elapsed_s < _RATE_S:
                        continue
                    wanted = fixed or next_rate(every, ordinary / elapsed_s, share)
                    wanted_unusual = next_rate(unusual, (taken - ordinary) / elapsed_s, share)
                    if (wanted, wanted_unusual) != (every, unusual):
                        every, unusual = wanted, wanted_unusual
                        break
                    began_ns, taken, ordinary = clock.monotonic_ns(), 0, 0

    def _take(self, batch: list[TappedPacket], most_per_s: int) -> None:
        now_ns = self._ctx.clock.monotonic_ns()
        self._allowance = min(
            float(most_per_s), self._allowance + (now_ns - self._refilled_ns) / 1e9 * most_per_s
        )
        self._refilled_ns = now_ns
        self.counts.sampled += len(batch)
        room = min(int(self._allowance), _MOST_WAITING - len(self._waiting))
        taken = batch[: max(0, room)]
        self._allowance -= len(taken)
        self.counts.skipped += len(batch) - len(taken)
        self._waiting.extend(to_judge(packet) for packet in taken)
        self._news.set()

    def sentence(self) -> str:
        """How it is, in one line."""
        warden = self.warden
        if warden is None or warden.hello is None:
            return f"no child judges packets now: {self.why_dead or 'it is being started'}"
        scapy = (
            f"scapy {warden.hello.scapy}"
            if warden.hello.scapy
            else "scapy is not installed: samples are shown as bytes"
        )
        confined = "confined" if not warden.hello.lacking else "not confined in every way"
        return f"{len(self.rules)} rules, child {confined}, {scapy}"

    def summary(self) -> dict[str, Any]:
        """As GET /api/v1/inspector shows it."""
        warden = self.warden
        hello, last = (warden.hello, warden.last) if warden else (None, None)
        counts = self.counts
        return {
            "verdict": self.sentence(),
            "running": warden is not None,
            "pid": warden.pid if warden else None,
            "scapy": hello.scapy if hello else "",
            "lacking": list(hello.lacking) if hello else [],
            "memory_bytes": last.memory_bytes if last else None,
            "cpu_s": last.cpu_s if last else None,
            "every": dict(self.every),
            "unusual": dict(self.unusual),
            "rules": len(self.rules),
            "alerts": len(self.alerts),
            "waiting": len(self._waiting),
            "samples": {
                "sampled": counts.sampled,
                "judged": counts.judged,
                "lost": counts.lost,
                "skipped": counts.skipped,
            },
            "starts": counts.starts,
            "deaths": counts.deaths,
            "last_death": self.why_dead,
        }


def next_rate(every: int, per_s: float, most_per_s: float) -> int:
    """One in how many: half as many samples when there are too many, twice as many when there are far too few."""
    if per_s > most_per_s:
        return min(every * 2, _MOST_EVERY)
    return max(1, every // 2) if per_s < most_per_s / 4 else every


def to_judge(packet: TappedPacket) -> Packet:
    """A sample as the child takes it."""
    family = AF_INET6 if ":" in packet.source else AF_INET
    return Packet(
        int(packet.service == "dns"), packet.content, packet.size, inet_pton(family, packet.source), packet.port,
        inet_pton(family, packet.own), packet.own_port, max(0, packet.rx_ns), packet.reason, packet.stands_for,
    )  # fmt: skip
