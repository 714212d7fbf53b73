"""How many servers each zone had in the pool, kept every five minutes: what the public status draws its 90 days from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance.api.contrib import Migration, Retention, Rollup
from appliance.core.ordering import natural
from appliance.store.series import read_series
from appliance_web.views.standing import Row, is_beginning

if TYPE_CHECKING:
    import sqlite_utils

TABLE = "web__zones"
EVERY_S = 300.0
#: More zones are counted in the pool alone.
MOST_ZONES = 50
DAYS = 90
_DAY_S = 86400
RETENTION = Retention(
    TABLE,
    raw_days=7,
    key=("zone",),
    values=("members", "inside"),
    rollups=(Rollup(3600, 100), Rollup(_DAY_S, None)),
)
MIGRATIONS = (
    Migration(
        "0005-zones",
        lambda db: db.execute(
            "CREATE TABLE web__zones (ts REAL NOT NULL, zone TEXT NOT NULL, members INTEGER, inside INTEGER)"
        ),
    ),
    Migration("0006-zones", lambda db: db.execute("CREATE INDEX web__zones_zone ON web__zones (zone, ts)")),
)


@dataclass(frozen=True, slots=True)
class Count:
    """The servers of a zone that nobody has set aside.

    Attributes:
        members: all of them.
        inside: who is answered.
        new: who is judged for the first time, and not expected to be answered yet.
        begins: nobody is answered because most are new.
    """

    members: int = 0
    inside: int = 0
    new: int = 0
    begins: bool = False

    @property
    def expected(self) -> int:
        """Who should be answered; nobody in a zone that begins."""
        return 0 if self.begins else self.members - self.new


def count(rows: Iterable[Row]) -> dict[str, Count]:
    """The servers of each zone: "@" is the whole pool."""
    found: dict[str, list[Row]] = {"@": []}
    for row in rows:
        if row.word in ("paused", "leaving", "watched only", "unverified"):
            continue
        for zone in {"@", *row.member.zones}:
            found.setdefault(zone, []).append(row)
    chosen = sorted(found.items(), key=lambda z: (z[0] != "@", natural(z[0])))[:MOST_ZONES]
    return {zone: _count(members) for zone, members in chosen}


def _count(rows: list[Row]) -> Count:
    return Count(
        len(rows), sum(r.in_pool for r in rows), sum(r.word == "new" for r in rows), is_beginning(rows)
    )


def as_rows(counts: Mapping[str, Count], ts: float) -> list[dict[str, Any]]:
    """For the table: who is new counts on no side, so that newcomers make no day worse."""
    return [{"ts": ts, "zone": z, "members": c.expected, "inside": c.inside} for z, c in counts.items()]


def day(db: sqlite_utils.Database, zone: str, now: float) -> list[float | None]:
    """How many servers of a zone were in over the last day, oldest first; None where nobody counted."""
    series = read_series(db, RETENTION, (zone,), now - _DAY_S, now + 1, points=60, values=("inside",))
    return [
        float(v) if v is not None and series.n[i] else None
        for i, v in enumerate(series.values["inside"].mean)
    ]


def days(db: sqlite_utils.Database, zone: str, now: float) -> list[str]:
    """The last 90 days (UTC) of a zone, oldest first: "ok", "degraded" (fewer than half in), "failing" (nobody), "none"."""
    today = int(now // _DAY_S)
    first = today - DAYS + 1
    series = read_series(db, RETENTION, (zone,), first * _DAY_S, now + 1, points=DAYS * 4)
    cells = ["none"] * DAYS
    inside, members = series.values["inside"], series.values["members"]
    for i, ts in enumerate(series.ts):
        low, most, at = inside.min[i], members.max[i], int(ts // _DAY_S) - first
        if not series.n[i] or low is None or not most or not 0 <= at < DAYS:
            continue
        seen = "failing" if low == 0 else "degraded" if low * 2 < most else "ok"
        cells[at] = max(cells[at], seen, key=("none", "ok", "degraded", "failing").index)
    return cells
