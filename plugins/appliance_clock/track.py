"""What the clock did: a reading now and then, and each step, kept so that its page can draw days and years."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from appliance.api.contrib import Migration, Retention, Rollup
from appliance.store.series import Series, read_series

if TYPE_CHECKING:
    import sqlite_utils

    from appliance_clock.service import ClockService

TRACK = "clock__track"
STEPS = "clock__steps"
#: Between two readings: fine enough to see chronyd's shortest usual poll, coarse enough for a memory card.
EVERY_S = 30.0
RANGES_S = {"1h": 3600, "6h": 21_600, "1d": 86_400, "7d": 604_800, "30d": 2_592_000, "1y": 31_536_000}
VALUES = ("offset_s", "frequency_ppm", "root_distance_s", "synchronised")
#: Steps that are told in one answer.
_MOST_STEPS = 100

_TRACK_TABLE = """
CREATE TABLE clock__track (ts REAL NOT NULL, offset_s REAL, frequency_ppm REAL, root_distance_s REAL, synchronised INTEGER NOT NULL)
"""
_STEPS_TABLE = "CREATE TABLE clock__steps (ts REAL NOT NULL, step_s REAL NOT NULL)"
MIGRATIONS = (
    Migration("track", lambda db: db.execute(_TRACK_TABLE)),
    Migration("track-index", lambda db: db.execute("CREATE INDEX clock__track_ts ON clock__track (ts)")),
    Migration("steps", lambda db: db.execute(_STEPS_TABLE)),
)
#: A reading lives a week, its five-minute summaries two months, hourly ones 400 days, daily ones for ever.
READINGS = Retention(
    TRACK, raw_days=7, values=VALUES, rollups=(Rollup(300, 60), Rollup(3600, 400), Rollup(86400, None))
)
RETENTION = (READINGS, Retention(STEPS, raw_days=3650))


def reading(service: ClockService) -> dict[str, Any]:
    """The clock as of now, as a row of the table.

    The offset is what the source's last update found (positive: the system clock was ahead), the frequency how fast the bare
    clock runs. Both are None where nobody measures them.
    """
    now, state = service.now(), service.state.get()
    offset_s = frequency_ppm = None
    tracking = service.tracking
    if tracking is not None:
        offset_s, frequency_ppm = tracking.last_offset_s, tracking.frequency_ppm
    elif state.source == "kernel" and service.kernel is not None:
        offset_s, frequency_ppm = service.kernel.offset_s, service.kernel.frequency_ppm
    synchronised = state.synchronised(now.mono_ns)
    return {
        "ts": now.wall_ns / 1e9,
        "offset_s": offset_s if synchronised else None,
        "frequency_ppm": frequency_ppm,
        "root_distance_s": state.distance_s(now.mono_ns) if synchronised else None,
        "synchronised": int(synchronised),
    }


def read(db: sqlite_utils.Database, from_ts: float, to_ts: float, points: int) -> dict[str, Any]:
    """What was kept of a window, oldest first, and the steps in it."""
    series = read_series(db, READINGS, (), from_ts, to_ts, points)
    try:
        sql = f"SELECT ts, step_s FROM {STEPS} WHERE ts >= ? AND ts < ? ORDER BY ts DESC LIMIT ?"  # noqa: S608 - our own words
        steps = db.execute(sql, (from_ts, to_ts, _MOST_STEPS)).fetchall()
    except sqlite3.OperationalError:
        steps = []
    return {
        "from_ts": from_ts,
        "to_ts": to_ts,
        "step_s": series.step_s,
        "points": _points(series),
        "steps": [{"ts": ts, "step_s": step_s} for ts, step_s in reversed(steps)],
    }


def _points(series: Series) -> list[dict[str, Any]]:
    """One object for each point; `n` 0 marks a gap, `synchronised` is the share of the readings that were."""
    found: list[dict[str, Any]] = []
    for i, ts in enumerate(series.ts):
        point: dict[str, Any] = {"ts": ts, "n": series.n[i]}
        for name in ("offset_s", "frequency_ppm"):
            band, (head, _, unit) = series.values[name], name.rpartition("_")
            point |= {
                name: band.mean[i],
                f"{head}_min_{unit}": band.min[i],
                f"{head}_max_{unit}": band.max[i],
            }
        point["root_distance_s"] = series.values["root_distance_s"].max[i]
        point["synchronised"] = series.values["synchronised"].mean[i]
        found.append(point)
    return found


COLUMNS = (
    "ts", "n", "offset_s", "offset_min_s", "offset_max_s", "frequency_ppm", "frequency_min_ppm", "frequency_max_ppm",
    "root_distance_s", "synchronised",
)  # fmt: skip


def as_csv(value: Mapping[str, Any]) -> str:
    """The points as CSV with a header; they hold nothing but numbers."""
    lines = [",".join(COLUMNS)]
    lines += [
        ",".join("" if point[name] is None else repr(point[name]) for name in COLUMNS)
        for point in value["points"]
    ]
    return "\n".join(lines) + "\n"
