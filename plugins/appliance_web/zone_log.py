"""How many servers each zone had in the pool, kept every five minutes: what the public status draws its 90 days from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from appliance.api.contrib import Migration, Retention, Rollup
from appliance.core.ordering import natural
from appliance.store.series import read_series
from appliance_web.views.standing import Row

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


def count(rows: Iterable[Row]) -> dict[str, tuple[int, int]]:
    """For each zone how many servers it has that should be answered, and how many are: "@" is the whole pool."""
    found: dict[str, tuple[int, int]] = {"@": (0, 0)}
    for row in rows:
        if row.word in ("paused", "leaving", "watched only", "unverified"):
            continue
        for zone in {"@", *row.member.zones}:
            members, inside = found.get(zone, (0, 0))
            found[zone] = members + 1, inside + row.in_pool
    return dict(sorted(found.items(), key=lambda z: (z[0] != "@", natural(z[0])))[:MOST_ZONES])


def as_rows(counts: Mapping[str, tuple[int, int]], ts: float) -> list[dict[str, Any]]:
    return [{"ts": ts, "zone": z, "members": m, "inside": i} for z, (m, i) in counts.items()]


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
