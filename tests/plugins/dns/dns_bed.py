"""What the tests of the DNS plugin share: members and verdicts to play with, and a running plugin."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from appliance.api.errors import NotFound
from appliance.api.model import Member, Verdict
from appliance.api.services import Members, ScoreBoard
from appliance.core.cells import Cell
from appliance.core.clock import Clock, SystemClock
from appliance.testing import RunningAppliance, running
from appliance_dns.service import DnsService

CONFIG = {
    "zone": "pool.example.org",
    "listen": ["127.0.0.1:0"],
    "coherence_s": 0,
    "ns": [
        {"name": "ns1", "addresses": ["192.0.2.53"]},
        {"name": "ns2", "addresses": ["198.51.100.53", "2001:db8::53"]},
    ],
}


def member(number: int, **fields: Any) -> Member:
    return Member(**{"id": f"m{number}", "address": f"192.0.2.{number}", **fields})


def good(member_id: str, **fields: Any) -> Verdict:
    return Verdict(**{"member": member_id, "score": 18.0, "in_pool": True, "reason": "in: score 18.0", "code": "ok",
                      "last_ts": 1.0, **fields})  # fmt: skip


def bad(member_id: str, **fields: Any) -> Verdict:
    return good(
        member_id,
        **{"in_pool": False, "reason": "out: score -5.0", "code": "low_score", "score": -5.0, **fields},
    )


class Registry:
    """Stands in for the plugin `members`."""

    def __init__(self, clock: Clock, *members: Member) -> None:
        self.table: Cell[Mapping[str, Member]] = Cell(MappingProxyType({}), clock=clock, name="members")
        if members:
            self.put(*members)

    def put(self, *members: Member) -> None:
        self.table.set(MappingProxyType({m.id: m for m in members}))

    def find(self, key: str) -> Member:
        raise NotFound(key)

    async def change(self, member_id: str, **fields: Any) -> Member:
        raise NotFound(member_id)


class Board:
    """Stands in for the plugin `monitor`."""

    def __init__(self, clock: Clock, *verdicts: Verdict, stale_after_s: float = 60.0) -> None:
        self.verdicts: Cell[Mapping[str, Verdict]] = Cell(MappingProxyType({}), clock=clock, name="verdicts")
        self.limit_s = stale_after_s
        if verdicts:
            self.say(*verdicts)

    def say(self, *verdicts: Verdict) -> None:
        self.verdicts.set(MappingProxyType({v.member: v for v in verdicts}))

    def stale_after_s(self) -> float:
        return self.limit_s

    def recent(self, member_id: str, limit: int = 20) -> list[Mapping[str, Any]]:
        return []


class Bed:
    """A running DNS plugin and the hands that move what it looks at."""

    def __init__(self, app: RunningAppliance, registry: Registry, board: Board) -> None:
        self.app = app
        self.registry = registry
        self.board = board

    @property
    def service(self) -> DnsService:
        return self.app.host.services.get(DnsService)

    @property
    def port(self) -> int:
        assert self.service.server is not None
        return self.service.server.endpoints[0].port

    def explain(self, name: str = "@", rrtype: str = "A", client: str | None = None) -> dict[str, Any]:
        return self.service.answers.explain(name, rrtype, client)

    def answered(self, name: str = "@", rrtype: str = "A") -> set[str]:
        """Every address that the name may give."""
        return {row["address"] for row in self.explain(name, rrtype)["candidates"] if row["in"]}


@asynccontextmanager
async def dns_running(
    state_dir: Path,
    members: tuple[Member, ...] = (),
    verdicts: tuple[Verdict, ...] = (),
    *,
    config: Mapping[str, Any] | None = None,
    clock: Clock | None = None,
    plugins: tuple[Any, ...] = (),
    with_board: bool = True,
) -> AsyncIterator[Bed]:
    clock = clock or SystemClock()
    registry, board = Registry(clock, *members), Board(clock, *verdicts)
    provide: dict[type, object] = {Members: registry}
    if with_board:
        provide[ScoreBoard] = board
    table = {**CONFIG, **(config or {})}
    async with running(
        ["dns", *plugins], {"plugins": {"dns": table}}, state_dir=state_dir, clock=clock, provide=provide
    ) as app:
        await app.until_running("dns")
        yield Bed(app, registry, board)
