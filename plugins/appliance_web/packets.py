"""What time requests came and what became of them, each minute: by outcome, by version of NTP, by family of addresses.

The rates come from the counters that the time service publishes; a kind of which nothing ever came has no rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from appliance.api.contrib import Metric, Migration, Retention, Rollup, Route
from appliance.core.routes import Reply, Request
from appliance.store.series import read_series
from appliance_web.traffic import RANGES_S, TrafficQuery, points_of

if TYPE_CHECKING:
    import sqlite_utils

    from appliance.api.context import SetupContext

TABLE = "web__packets"
EVERY_S = 60.0
#: What is told apart. Whatever calls itself another version than these is "other": the field has three bits, and anybody may set them.
OUTCOMES = ("reply", "kiss", "ignore")
VERSIONS = ("v1", "v2", "v3", "v4", "v5", "other")
FAMILIES = ("ipv4", "ipv6")
KINDS = (*OUTCOMES, *VERSIONS, *FAMILIES)
RETENTION = Retention(
    TABLE,
    raw_days=7,
    key=("what",),
    values=("per_s",),
    rollups=(Rollup(300, 60), Rollup(3600, 400), Rollup(86400, None)),
)
MIGRATIONS = (
    Migration(
        "0007-packets",
        lambda db: db.execute("CREATE TABLE web__packets (ts REAL NOT NULL, what TEXT NOT NULL, per_s REAL)"),
    ),
    Migration(
        "0008-packets", lambda db: db.execute("CREATE INDEX web__packets_what ON web__packets (what, ts)")
    ),
)


class Packets:
    """Takes rates from the time service's counters."""

    def __init__(self, metrics: Callable[[], Iterable[Metric]]) -> None:
        self._metrics = metrics
        self._before: tuple[int, dict[str, float]] | None = None

    def sample(self, mono_ns: int) -> dict[str, float]:
        """Packets a second since the last call, by kind; nothing at the first one, or when the service began anew meanwhile."""
        counts = self._counts()
        before, self._before = self._before, (mono_ns, counts)
        if before is None or mono_ns <= before[0]:
            return {}
        passed_s = (mono_ns - before[0]) / 1e9
        rates = {
            what: (count - before[1].get(what, 0.0)) / passed_s for what, count in counts.items() if count
        }
        return rates if all(rate >= 0 for rate in rates.values()) else {}

    def _counts(self) -> dict[str, float]:
        counts: dict[str, float] = {}
        for metric in self._metrics():
            if metric.name == "ntp_packets_received_total":
                for labels, count in _series(metric):
                    told = dict(zip(metric.labels, labels, strict=False))
                    version = f"v{told.get('version', '')}"
                    for what in (version if version in VERSIONS else "other", told.get("family", "")):
                        counts[what] = counts.get(what, 0.0) + count
            elif metric.name == "ntp_responses_total":
                for labels, count in _series(metric):
                    what = dict(zip(metric.labels, labels, strict=False)).get("action", "")
                    counts[what] = counts.get(what, 0.0) + count
        return {what: counts[what] for what in KINDS if what in counts}


def _series(metric: Metric) -> Sequence[tuple[tuple[str, ...], float]]:
    """The series of a counter; none when it has none, or cannot be read now."""
    try:
        value = metric.read()
        return () if isinstance(value, (int, float)) else [*value]
    except Exception:  # noqa: BLE001 - a stranger's counter: what it raises is its plugin's matter
        return ()


_POINT = {
    "type": "object",
    "properties": {
        "ts": {"type": "number"},
        "n": {"type": "integer", "description": "minutes behind it; 0 marks a gap"},
        "per_s": {"type": ["number", "null"]},
        "per_s_min": {"type": ["number", "null"]},
        "per_s_max": {"type": ["number", "null"]},
    },
    "required": ["ts", "n", "per_s"],
}
_PACKETS = {
    "type": "object",
    "properties": {
        "from_ts": {"type": "number"},
        "to_ts": {"type": "number"},
        "kinds": {
            "type": "object",
            "description": f"by kind, of {', '.join(KINDS)}; only those of which something came",
            "additionalProperties": {"type": "array", "items": _POINT},
        },
    },
    "required": ["from_ts", "to_ts", "kinds"],
}


def packet_routes(ctx: SetupContext) -> tuple[Route, ...]:
    """What the API tells of it."""

    async def window(request: Request) -> dict[str, Any]:
        query: TrafficQuery = request.query_model
        now = ctx.clock.wall_ns() / 1e9
        start, end = now - RANGES_S[query.range], now + 1
        await ctx.store.flush()
        kinds = await ctx.store.read(lambda db: read(db, start, end, query.points))
        return {"from_ts": start, "to_ts": now, "kinds": kinds}

    async def as_csv(request: Request) -> Reply:
        told = await window(request)
        columns = ("ts", "n", "per_s", "per_s_min", "per_s_max")
        lines = [",".join(("what", *columns))]
        lines += [
            ",".join((what, *("" if p[c] is None else repr(p[c]) for c in columns)))
            for what, points in told["kinds"].items()
            for p in points
        ]
        shown = {"Content-Disposition": 'inline; filename="packets.csv"'}
        return Reply("\n".join(lines) + "\n", headers=shown, content_type="text/csv")

    return (
        Route(
            "GET", "/api/v1/traffic/packets", window, "time:read",
            "Time requests a second by outcome, version and family, over time", query=TrafficQuery, returns=_PACKETS,
        ),
        Route(
            "GET", "/api/v1/traffic/packets.csv", as_csv, "time:read",
            "The same as CSV", query=TrafficQuery, produces=("text/csv",),
        ),
    )  # fmt: skip


def read(db: sqlite_utils.Database, start: float, end: float, points: int) -> dict[str, list[dict[str, Any]]]:
    """Points of each kind of which something came in that window, in the order of `KINDS`."""
    found = {}
    for what in KINDS:
        series = read_series(db, RETENTION, (what,), start, end, points)
        if any(series.n):
            found[what] = points_of(series)
    return found
