"""How much is asked of the box: queries a second of the time and the DNS service, from the counters that plugins publish.

Every ten seconds a rate is taken for the sparklines, which live in memory; every minute their mean is kept in the database,
from which the lines over hours and years are drawn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from appliance.api.config import PluginConfig
from appliance.api.contrib import Metric, Migration, Retention, Rollup, Route
from appliance.core.routes import Reply, Request
from appliance.store.series import Series, read_series

if TYPE_CHECKING:
    import sqlite_utils

    from appliance.api.context import SetupContext

TABLE = "web__traffic"
#: Counter of each service, by the column that keeps its rate.
COUNTERS: Mapping[str, str] = {"ntp_per_s": "ntp_packets_received_total", "dns_per_s": "dns_requests_total"}
SAMPLE_S = 10.0
#: Samples that make one row of the table.
_ROW_SAMPLES = 6
#: Samples that the sparklines show: a quarter of an hour.
SHOWN = 90
RANGES_S = {"1h": 3600, "6h": 21_600, "1d": 86_400, "7d": 604_800, "30d": 2_592_000, "1y": 31_536_000}
RETENTION = Retention(
    TABLE,
    raw_days=7,
    values=tuple(COUNTERS),
    rollups=(Rollup(300, 60), Rollup(3600, 400), Rollup(86400, None)),
)
MIGRATIONS = (
    Migration(
        "0003-traffic",
        lambda db: db.execute("CREATE TABLE web__traffic (ts REAL NOT NULL, ntp_per_s REAL, dns_per_s REAL)"),
    ),
    Migration("0004-traffic", lambda db: db.execute("CREATE INDEX web__traffic_ts ON web__traffic (ts)")),
)


class Traffic:
    """Takes rates from counters.

    Attributes:
        latest: the last rates by column, newest last; None where the counter could not be read twice.
    """

    def __init__(self, metrics: Callable[[], Iterable[Metric]]) -> None:
        self._metrics = metrics
        self._before: tuple[int, dict[str, float | None]] | None = None
        self._pending: list[dict[str, float | None]] = []
        self.latest: dict[str, deque[float | None]] = {column: deque(maxlen=SHOWN) for column in COUNTERS}

    def sample(self, mono_ns: int) -> dict[str, float | None] | None:
        """Take the rates since the last call; every sixth time the mean of the last six as a row to keep.

        A counter that went back (its service began anew) has no rate once.
        """
        counts = self._counts()
        before, self._before = self._before, (mono_ns, counts)
        if before is None or mono_ns <= before[0]:
            return None
        passed_s = (mono_ns - before[0]) / 1e9
        rates: dict[str, float | None] = {}
        for column, count in counts.items():
            earlier = before[1][column]
            known = count is not None and earlier is not None and count >= earlier
            rates[column] = (count - earlier) / passed_s if known else None  # type: ignore[operator]
            self.latest[column].append(rates[column])
        self._pending.append(rates)
        if len(self._pending) < _ROW_SAMPLES:
            return None
        pending, self._pending = self._pending, []
        return {column: _mean([rates[column] for rates in pending]) for column in COUNTERS}

    def _counts(self) -> dict[str, float | None]:
        published = {metric.name: metric for metric in self._metrics()}
        return {column: _total(published.get(name)) for column, name in COUNTERS.items()}


def _total(metric: Metric | None) -> float | None:
    """All series of a counter together; None when there is none, or it cannot be read now."""
    if metric is None:
        return None
    try:
        value = metric.read()
        return float(value) if isinstance(value, (int, float)) else sum(number for _, number in value)
    except Exception:  # noqa: BLE001 - a stranger's counter: what it raises is its plugin's matter, not the chart's
        return None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


class TrafficQuery(PluginConfig):
    """A window: `range` back from now."""

    range: str = Field("6h", description=f"one of {', '.join(RANGES_S)}", pattern=f"^({'|'.join(RANGES_S)})$")
    points: int = Field(400, ge=2, le=2000)


_POINT = {
    "type": "object",
    "properties": {
        "ts": {"type": "number"},
        "n": {"type": "integer", "description": "minutes behind it; 0 marks a gap"},
        **{c: {"type": ["number", "null"]} for c in COUNTERS},
    },
    "required": ["ts", "n", *COUNTERS],
}
_TRAFFIC = {
    "type": "object",
    "properties": {
        "from_ts": {"type": "number"},
        "to_ts": {"type": "number"},
        "latest": {
            "type": "object",
            "description": f"rates of the last quarter of an hour, one each {SAMPLE_S:g} s, the newest last",
        },
        "points": {"type": "array", "items": _POINT},
    },
    "required": ["from_ts", "to_ts", "latest", "points"],
}


def traffic_routes(ctx: SetupContext, traffic: Traffic) -> tuple[Route, ...]:
    """What the API tells of it."""

    async def window(request: Request) -> dict[str, Any]:
        query: TrafficQuery = request.query_model
        now = ctx.clock.wall_ns() / 1e9
        start, end = now - RANGES_S[query.range], now + 1
        await ctx.store.flush()
        series = await ctx.store.read(lambda db: _read(db, start, end, query.points))
        return {
            "from_ts": start,
            "to_ts": now,
            "latest": {column: list(values) for column, values in traffic.latest.items()},
            "points": points_of(series),
        }

    async def as_csv(request: Request) -> Reply:
        told = await window(request)
        columns = ("ts", "n", *(f"{c}{end}" for c in COUNTERS for end in ("", "_min", "_max")))
        lines = [",".join(columns)]
        lines += [",".join("" if p[c] is None else repr(p[c]) for c in columns) for p in told["points"]]
        shown = {"Content-Disposition": 'inline; filename="traffic.csv"'}
        return Reply("\n".join(lines) + "\n", headers=shown, content_type="text/csv")

    return (
        Route(
            "GET", "/api/v1/traffic", window, "time:read",
            "Queries a second of the time and the DNS service, over time", query=TrafficQuery, returns=_TRAFFIC,
        ),
        Route(
            "GET", "/api/v1/traffic.csv", as_csv, "time:read",
            "The same as CSV", query=TrafficQuery, produces=("text/csv",),
        ),
    )  # fmt: skip


def _read(db: sqlite_utils.Database, start: float, end: float, points: int) -> Series:
    return read_series(db, RETENTION, (), start, end, points)


def points_of(series: Series) -> list[dict[str, Any]]:
    """Points as the API tells them: each value's mean under its own name, and its least and greatest beside it."""
    return [
        {"ts": ts, "n": series.n[i]}
        | {
            f"{column}{suffix}": values[i]
            for column, band in series.values.items()
            for suffix, values in (("", band.mean), ("_min", band.min), ("_max", band.max))
        }
        for i, ts in enumerate(series.ts)
    ]
