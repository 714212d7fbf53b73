"""A monitor whose history goes back far: real roll-ups, the older half of them made before spreads were kept."""

from __future__ import annotations

import dataclasses
import random
import types
from typing import Any

import sqlite_utils

from appliance.api.contrib import Retention, Route
from appliance.api.plugin import PluginInfo, hookimpl
from appliance.core.routes import Request
from appliance.store.connection import MEMORY, open_writer
from appliance.store.rollup import prepare, roll_slice
from appliance.store.series import Series, read_series
from appliance.store.writer import transaction
from appliance_monitor.history import columns
from appliance_monitor.keeping import MIGRATIONS, PROBES, retention

DAY_S = 86_400
#: Hours of the history, and how many of them an older version summarised.
HOURS, OLD = 240, 96
KEPT = retention(raw_days=15)


def wide_history(now: float, *, old: int = OLD) -> Series:
    """Ten days in points of an hour, of a server about 2 ms ahead; one probe of every sixth hour is 3 s off, a few hours are dark."""
    db, dice = open_writer(MEMORY), random.Random(7)
    for migration in MIGRATIONS:
        migration.apply(db)
    begin = now // 3600 * 3600 - HOURS * 3600
    before = dataclasses.replace(KEPT, spread=())
    for kept, hours in ((before, range(old)), (KEPT, range(old, HOURS))):
        transaction(db, lambda db, kept=kept: prepare(db, kept))  # type: ignore[misc]
        for hour in hours:
            for minute in range(0, 60, 4):
                if hour % 50 in (20, 21, 22):
                    continue
                wild = hour % 6 == 0 and minute == 20
                probe(db, begin + hour * 3600 + minute * 60, 3.0 if wild else dice.gauss(0.002, 0.0006))
        roll(db, kept)
    series = read_series(db, KEPT, ("m",), begin, begin + HOURS * 3600, HOURS + 1)
    db.close()
    return series


def probe(db: sqlite_utils.Database, ts: float, offset_s: float) -> None:
    db.conn.execute(
        f"INSERT INTO {PROBES} (ts, member, monitor, offset_s, rtt_s, score) VALUES (?, 'm', 'local', ?, 0.012, 19.5)",
        (ts, offset_s),
    )


def roll(db: sqlite_utils.Database, kept: Retention) -> None:
    for rollup in kept.rollups:
        while transaction(db, lambda db, rollup=rollup: roll_slice(db, kept, rollup)):  # type: ignore[misc]
            pass


def past_plugin(series: Series) -> types.ModuleType:
    """A plugin that answers for every member with this history, and draws the scorer's lines at 25 and 100 ms."""

    async def history(request: Request) -> dict[str, Any]:
        about = {"member": "m", "monitor": "local", "bucket_s": series.bucket_s, "step_s": series.step_s}
        return {**about, "columns": columns(series)}

    async def scoring(request: Request) -> dict[str, Any]:
        return {"good_s": 0.025, "limit_s": 0.1, "enter_score": 10, "top": 20, "bottom": -100}

    plugin = types.ModuleType("past")
    plugin.plugin = PluginInfo(id="past", title="Past", api=1)  # type: ignore[attr-defined]
    routes = [
        Route("GET", "/api/v1/members/{id}/history", history, "servers:read", "the past"),
        Route("GET", "/api/v1/scoring", scoring, "monitors:read", "lines"),
    ]
    plugin.routes = hookimpl(lambda ctx: routes)  # type: ignore[attr-defined]
    return plugin
