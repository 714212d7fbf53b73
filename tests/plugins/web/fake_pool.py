"""Stand-ins for the plugins that the pages look at: members, scores, clock and answers, with any number of servers."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from appliance.api.errors import Invalid, NotFound
from appliance.api.model import ClockState, Member, Verdict
from appliance.api.services import AnswerTable, Members, ScoreBoard, TimeSource
from appliance.core.cells import Cell

HOSTILE = "<script>alert('x')</script>\"'&\x1b[31m"


class FakeMembers:
    def __init__(self, members: Sequence[Member], clock: Any) -> None:
        self.table: Cell[Mapping[str, Member]] = Cell({m.id: m for m in members}, clock=clock)

    def find(self, key: str) -> Member:
        for member in self.table.get().values():
            if key in (member.id, member.address, member.name):
                return member
        raise NotFound(f"there is no member {key}")

    async def change(self, member_id: str, **fields: Any) -> Member:
        raise NotImplementedError


class FakeScores:
    def __init__(
        self, verdicts: Mapping[str, Verdict], recents: Mapping[str, list[dict[str, Any]]], clock: Any
    ) -> None:
        self.verdicts: Cell[Mapping[str, Verdict]] = Cell({}, clock=clock)
        if verdicts:
            self.verdicts.set(verdicts)
        self._recents = recents

    def stale_after_s(self) -> float:
        return 1e9

    def recent(self, member_id: str, limit: int = 20) -> Sequence[Mapping[str, Any]]:
        return self._recents.get(member_id, [])[:limit]


class FakeAnswers:
    """Answers with the first four that are in the pool."""

    def __init__(self, members: FakeMembers, scores: FakeScores) -> None:
        self._members, self._scores = members, scores

    def explain(self, name: str, rrtype: str, client: str | None) -> dict[str, Any]:
        zone = "pool.example.org."
        if name not in ("@", "", "0", zone, zone.rstrip(".")):
            raise NotFound(f"{name} is not in the zone {zone}")
        if rrtype not in ("A", "AAAA", "SOA"):
            raise Invalid(f"{rrtype} is not a type")
        rows = []
        inside = [m for m in self._members.table.get().values() if self._scores.verdicts.get()[m.id].in_pool]
        for m in self._members.table.get().values():
            verdict = self._scores.verdicts.get()[m.id]
            rows.append({
                "id": m.id, "address": m.address, "port": m.port, "name": m.name, "operator": m.operator, "netspeed": m.netspeed,
                "weight": m.netspeed if verdict.in_pool else 0, "probability": min(1.0, 4 / len(inside)) if verdict.in_pool else 0.0,
                "in": verdict.in_pool, "in_answer": m in inside[:4], "reason": verdict.reason, "code": verdict.code, "score": verdict.score,
            })  # fmt: skip
        answer = (
            [m.address for m in inside[:4]]
            if rrtype == "A"
            else ["ns1 hostmaster 1795428000 3600 900 604800 300"]
            if rrtype == "SOA"
            else []
        )
        return {
            "name": zone, "type": rrtype, "zone": "", "client": client or "127.0.0.1", "rcode": "NOERROR", "serial": 1795428000, "ttl": 150,
            "answer": answer, "candidates": rows if rrtype == "A" else [], "stale": False, "note": "",
        }  # fmt: skip


class FakeTime:
    def __init__(self, clock: Any) -> None:
        now = clock.monotonic_ns()
        state = ClockState(
            leap=0, stratum=2, refid=b"GPS\0", reference_ns=clock.wall_ns(), root_delay_s=0.0004, root_dispersion_s=0.0006,
            dispersion_rate=15e-6, as_of_mono_ns=now, source="chrony", why="chrony follows a GPS receiver",
        )  # fmt: skip
        self.state: Cell[ClockState] = Cell(state, clock=clock)

    async def details(self) -> dict[str, Any]:
        return {}


NAMES = (
    "ntp1.harbour.example",
    "time.observatory.example",
    "",
    "clock.lighthouse.example",
    "ntp2.harbour.example",
    "tick.museum.example",
    "",
)


def member(number: int, **fields: Any) -> Member:
    values: dict[str, Any] = {
        "id": f"m{number:05d}", "address": f"10.{number // 65536}.{number // 256 % 256}.{number % 256}", "name": NAMES[number % len(NAMES)] if number < 40 else "",
        "netspeed": (1000, 500, 3000, 100)[number % 4], "operator": "Harbour Office" if number % 3 == 0 else "",
        "tags": ("gps",) if number % 5 == 0 else (), "added_at": 1.79e9, "verified_by": "admin",
    }  # fmt: skip
    return Member(**(values | fields))


def recents(
    seed: int, now: float, base: float, count: int = 20, spacing: float = 540.0
) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    rows, score = [], 19.0
    for i in range(count):
        lost = rng.random() < 0.03
        offset = None if lost else base + rng.gauss(0, 0.0006) + 0.0004 * math.sin(i / 5)
        rows.append({
            "ts": now - i * spacing, "offset_s": offset, "rtt_s": None if lost else 0.004 + rng.random() * 0.002,
            "stratum": None if lost else 2, "leap": None if lost else 0, "step": -5.0 if lost else 1.0, "score": score,
            "error": "timeout" if lost else None, "rule": "no_response" if lost else "offset_ok",
        })  # fmt: skip
    return rows


def pool(clock: Any, number: int = 7, *, hostile: bool = False) -> dict[type, object]:
    """Services with `number` members in different states."""
    now = clock.wall_ns() / 1e9
    members, verdicts, probes = [], {}, {}
    for i in range(number):
        kind = i % 7 if number > 7 else i
        m = member(i, port=11123 if i == 2 else 123, state="paused" if kind == 5 else "active")
        if hostile:
            m = member(i, name=HOSTILE, operator=HOSTILE, note=HOSTILE, tags=(HOSTILE,), zones=(HOSTILE,))
        base = {3: 0.3, 4: 0.062}.get(kind, 0.0004 * (i % 5))
        probes[m.id] = recents(i, now, base, count=200 if number < 10 else 20, spacing=60.0)
        in_pool = kind not in (3, 5, 6)
        code, score, truthful = ("ok", 20.0 - (i % 3) * 0.4, True) if in_pool else ("wrong_time", 3.1, False)
        reason = "score 20.0, offset +0.4 ms"
        if kind == 3:
            reason = "its time is off by +300 ms, more than 100 ms"
        if kind == 6:
            code, score, truthful, reason = "new", 4.2, True, "new: 4 of 14 good probes"
        if hostile:
            reason = HOSTILE
            probes[m.id] = [p | {"error": HOSTILE, "rule": HOSTILE, "why": HOSTILE} for p in probes[m.id]]
        members.append(m)
        verdicts[m.id] = Verdict(
            m.id,
            score,
            in_pool,
            reason,
            code,
            truthful=truthful,
            failing=kind == 4,
            last_ts=now - 42,
            last_rule="offset_ok",
        )
    registry, scores = FakeMembers(members, clock), FakeScores(verdicts, probes, clock)
    return {
        Members: registry,
        ScoreBoard: scores,
        AnswerTable: FakeAnswers(registry, scores),
        TimeSource: FakeTime(clock),
    }


__all__ = ["HOSTILE", "FakeAnswers", "FakeMembers", "FakeScores", "FakeTime", "member", "pool", "recents"]
