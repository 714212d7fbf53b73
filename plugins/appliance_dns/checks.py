"""What DNS says about itself: health in sentences, figures for /metrics, the card on the overview page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from appliance.api.contrib import Finding, HealthCheck, Metric, Panel
from appliance.api.model import Level
from appliance.core.beginning import beginning
from appliance_dns.pools import APEX
from appliance_dns.service import DnsService

#: What a client over the limit was sent, by outcome.
_SENT = {"limited": "nothing", "limited_truncated": "truncated", "limited_badcookie": "badcookie"}

Pairs = Iterable[tuple[tuple[str, ...], float]]


class Checks:
    """Reads the service; never waits for it."""

    def __init__(self, service: DnsService) -> None:
        self._service = service

    def health_checks(self) -> list[HealthCheck]:
        return [
            HealthCheck(
                "monitor",
                self._stale,
                remedy="look at the plugin monitor; until it speaks again, whoever was good stays in the answers",
                why="A member that goes wrong now is still answered.",
                well="the monitor speaks",
            ),
            HealthCheck(
                "empty",
                self._empty,
                level=Level.FAILING,
                remedy="`timeball dns answer @` gives the reason for every member",
                why="Clients that ask for the pool get no address.",
                well="somebody can be answered",
            ),
            HealthCheck(
                "few",
                self._few,
                remedy="add members, or see why some are out: `timeball dns answer @`",
                why="A client that sees fewer than four servers cannot tell which of them is wrong.",
                well="there are enough members for an answer",
            ),
            HealthCheck(
                "zone",
                self._problems,
                remedy="correct the configuration, or the plugin that is named",
                why="What is wrong with the zone is not published.",
                well="the zone is whole",
            ),
        ]

    async def _stale(self) -> str | None:
        answers = self._service.answers
        if not answers.stale:
            return None
        board = answers.inputs.board
        if board is None:
            return "there is no monitor: the last answers stay, with a shorter TTL"
        age_s = board.verdicts.age_s()
        since = "since the start" if age_s == float("inf") else f"for {age_s:.0f} s"
        return f"the monitor has not spoken {since}: the last answers stay, with a shorter TTL"

    async def _empty(self) -> Finding | None:
        usable, registered = self.count()
        if usable or not registered or self._service.zone is None:
            return None
        notes = self._service.answers.notes
        kept = self.stand_ins()
        families = (4, 6) if kept[4] or not kept[6] else (6, 4)
        note = next((notes[APEX, f] for f in families if (APEX, f) in notes), "nobody is usable")
        if not any(kept.values()) and beginning(self._codes()):
            return Finding(
                f"nobody is answered yet: most members are judged for the first time; until then {note}",
                info=True,
                remedy="wait: `timeball dns answer @` tells how many good probes each of them needs",
                why="Until then clients that ask for the pool get no address.",
            )
        who = f"none of {registered} members" if registered > 1 else "not even the one member"
        text = f"{who} is usable; {note}"
        if not any(kept.values()):
            return Finding(text)
        return Finding(text, Level.DEGRADED, why="Nobody whom the monitor finds good is answered.")

    def stand_ins(self) -> dict[int, int]:
        """By family, how many addresses the pool's name gives for lack of usable members."""
        zone, notes = self._service.zone, self._service.answers.notes
        pools = {} if zone is None else zone.plan.pools
        return {
            f: len(pools[APEX, f].choices) if (APEX, f) in notes and (APEX, f) in pools else 0 for f in (4, 6)
        }

    async def _few(self) -> Finding | str | None:
        usable, registered = self.count()
        if not registered:
            return None  # that there are none is said by those who keep them
        zone = self._service.zone
        most = zone.plan.config.max_records if zone is not None else 1
        if usable == 0 or usable >= min(most, registered):
            return (
                "only one member is usable: nothing stands in for it" if usable == registered == 1 else None
            )
        text = f"{usable} of {registered} members are usable; an answer has room for {most}"
        new = self._codes().count("new")
        if usable + new < min(most, registered):
            return text
        return Finding(text, info=True, remedy=f"wait: {new} of them {'is' if new == 1 else 'are'} new")

    async def _problems(self) -> str | None:
        zone = self._service.zone
        if zone is None or not zone.problems:
            return None
        more = f" (and {len(zone.problems) - 1} more)" if len(zone.problems) > 1 else ""
        return zone.problems[0] + more

    def _codes(self) -> list[str]:
        """How the members stand, as the monitor calls it."""
        return [c.verdict.code if c.verdict else "new" for c in self._service.answers.candidates]

    def count(self) -> tuple[int, int]:
        """Members that may be answered, and all."""
        candidates = self._service.answers.candidates
        return sum(1 for c in candidates if c.weight > 0), len(candidates)

    def counters(self) -> Mapping[tuple[str, str, str], int]:
        server = self._service.server
        return server.counters() if server is not None else {}

    def shares(self) -> Mapping[str, tuple[int, float]]:
        server = self._service.server
        return server.shares() if server is not None else {}

    def metrics(self) -> list[Metric]:
        return [
            Metric("dns_requests_total", "DNS queries", "counter", self._requests, ("proto", "type")),
            Metric(
                "dns_responses_total",
                "DNS queries by what became of them",
                "counter",
                self._responses,
                ("rcode",),
            ),
            Metric(
                "dns_answers_total",
                "Answers that held a member's address",
                "counter",
                self._given,
                ("address",),
            ),
            Metric(
                "dns_answers_fair_total",
                "Answers that would have held it by its exact share",
                "counter",
                self._fair,
                ("address",),
            ),
            Metric(
                "dns_limited_total",
                "DNS replies held back by the rate limit, by what was sent instead",
                "counter",
                self._limited,
                ("sent",),
            ),
            Metric(
                "dns_limited_networks",
                "Networks over the rate limit within the last minute",
                "gauge",
                self._service.limits.active,
            ),
            Metric("dns_zone_serial", "Serial of the zone", "gauge", lambda: self._service.answers.serial),
            Metric("dns_members_usable", "Members that may be answered", "gauge", lambda: self.count()[0]),
        ]

    def _requests(self) -> Pairs:
        total: Counter[tuple[str, ...]] = Counter()
        for (transport, rrtype, _outcome), number in self.counters().items():
            total[transport, rrtype] += number
        return list(total.items())

    def _responses(self) -> Pairs:
        total: Counter[tuple[str, ...]] = Counter()
        for (_transport, _rrtype, outcome), number in self.counters().items():
            total[(outcome,)] += number
        return list(total.items())

    def _limited(self) -> Pairs:
        total = Counter({(sent,): 0 for sent in _SENT.values()})
        for (_transport, _rrtype, outcome), number in self.counters().items():
            if outcome in _SENT:
                total[(_SENT[outcome],)] += number
        return list(total.items())

    def _given(self) -> Pairs:
        return [((address,), given) for address, (given, _fair) in self.shares().items()]

    def _fair(self) -> Pairs:
        return [((address,), fair) for address, (_given, fair) in self.shares().items()]

    def panel(self) -> Panel:
        return Panel("answers", "Answers", self._facts, order=30, link="/dns")

    def _plane(self) -> list[list[str]]:
        plane, server = self._service.plane, self._service.server
        if server is None:
            return []
        return [
            ["data plane", f"{plane.name} ({plane.why})"],
            ["sandbox of the packet threads", str(server.sandbox)],
        ]

    async def _facts(self) -> dict[str, Any]:
        usable, registered = self.count()
        zone = self._service.zone
        queries = sum(self.counters().values())
        instead = sum(self.stand_ins().values())
        level = "degraded" if self._service.answers.stale or instead else "ok"
        if registered and not usable and not instead:
            level = "none" if beginning(self._codes()) else "failing"
        more = f"; {instead} {'address stands' if instead == 1 else 'addresses stand'} in" if instead else ""
        if zone is None:
            return {"verdict": "not answering yet", "level": "degraded", "facts": []}
        return {
            "verdict": f"{usable} of {registered} members are answered{more}",
            "level": level,
            "facts": [
                ["zone", zone.plan.config.zone],
                ["serial", zone.snapshot.serial],
                ["names", len(zone.names)],
                ["queries", queries],
                *self._plane(),
            ],
        }
