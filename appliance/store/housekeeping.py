"""What the database needs now and then: rolling up, deleting, giving pages back. In small transactions, each awaited."""

from __future__ import annotations

import logging
import math
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import sqlite_utils

from appliance.api.contrib import Retention, Rollup
from appliance.api.errors import StoreError
from appliance.core.clock import Clock
from appliance.store.retention import Calendar, Sweep, series_after, sweep_raw, sweep_rollup
from appliance.store.rollup import SLICE_ROWS, prepare, roll_slice, waiting

T = TypeVar("T")

log = logging.getLogger("appliance.store")

#: A roll-up touches one page for each series and table, however few rows there are: once an hour spares the SD card.
EVERY_S: Final = 3_600.0
#: ... or earlier, when so many rows wait that reading past them would be felt.
WAITING_ROWS: Final = SLICE_ROWS
#: Slices of one sweep at one call; the next call goes on.
SWEEP_SLICES: Final = 40
#: Pages are given back when more than a quarter of the file is unused and that is more than 8 MB; else rows will need them.
FREE_PAGES: Final = 2_048
_VACUUM_PAGES: Final = 256

STATE: Final = "CREATE TABLE IF NOT EXISTS _store (name TEXT PRIMARY KEY, value) WITHOUT ROWID"


class Run(Protocol):
    """`Database.write`, or the like."""

    def __call__(self, fn: Callable[[sqlite_utils.Database], T]) -> Awaitable[T]: ...


_BOTTOM: Final = Sweep()


@dataclass(slots=True)
class _Chores:
    """Where the work on one table stands."""

    prepared: bool = False
    refused: str = ""
    rolled_mono_s: float = -math.inf
    swept_mono_s: float = -math.inf
    sweep: Sweep = _BOTTOM


class Housekeeping:
    """Keeps the tables of all retentions in order.

    Attributes:
        refused: by table, why it cannot be kept in order (its plugin declared something that does not exist).
        rows_deleted: since the start.
        holding: True while nothing is deleted because the date leapt forward.
    """

    def __init__(self, run: Run, clock: Clock) -> None:
        self._run = run
        self._clock = clock
        self._chores: dict[str, _Chores] = {}
        self._calendar: Calendar | None = None
        self._optimized_mono_s = -math.inf
        self._busy = False
        self.rows_deleted = 0
        self.holding = False

    @property
    def refused(self) -> Mapping[str, str]:
        return {table: chores.refused for table, chores in self._chores.items() if chores.refused}

    def forget(self, tables: Sequence[str]) -> None:
        """Look at these tables anew: their plugin declared them again."""
        for table in tables:
            self._chores.pop(table, None)

    async def keep_house(self, retentions: Sequence[Retention]) -> None:
        """Do what is due. Ends quietly when the database cannot be written; overlapping calls do nothing."""
        if self._busy:
            return
        self._busy = True
        try:
            for retention in retentions:
                chores = self._chores.setdefault(retention.table, _Chores())
                if not chores.refused:
                    await self._keep_or_refuse(retention, chores)
            await self._run(_give_back)
            if self._mono_s() - self._optimized_mono_s >= 86_400:
                self._optimized_mono_s = self._mono_s()
                await self._run(_optimize)
        except StoreError as error:
            log.debug("housekeeping stops here: %s", error)
        finally:
            self._busy = False

    async def _keep_or_refuse(self, retention: Retention, chores: _Chores) -> None:
        """A table that is not as its plugin declared it must not keep the others from being kept."""
        try:
            await self._keep_table(retention, chores)
        except (LookupError, sqlite3.Error) as error:
            chores.refused = str(error)
            log.error("%s is not kept in order: %s", retention.table, error)

    async def _keep_table(self, retention: Retention, chores: _Chores) -> None:
        if not chores.prepared:
            await self._run(lambda db: prepare(db, retention))
            chores.prepared = True
        if retention.rollups and await self._roll_up_due(retention, chores):
            for rollup in retention.rollups:
                await self._roll_up(retention, rollup)
            chores.rolled_mono_s = self._mono_s()
        if self._mono_s() - chores.swept_mono_s >= EVERY_S and await self._believe_date():
            await self._sweep(retention, chores)

    async def _roll_up_due(self, retention: Retention, chores: _Chores) -> bool:
        if self._mono_s() - chores.rolled_mono_s >= EVERY_S:
            return True
        return await self._run(lambda db: waiting(db, retention)) >= WAITING_ROWS

    async def _roll_up(self, retention: Retention, rollup: Rollup) -> None:
        while await self._run(lambda db: roll_slice(db, retention, rollup)) == SLICE_ROWS:
            pass

    async def _sweep(self, retention: Retention, chores: _Chores) -> None:
        now_s = self._clock.wall_ns() / 1e9
        for _ in range(SWEEP_SLICES):
            sweep = chores.sweep
            chores.sweep = await self._run(lambda db, sweep=sweep: sweep_raw(db, retention, now_s, sweep))  # type: ignore[misc]
            self.rows_deleted += chores.sweep.deleted
            if chores.sweep.done:
                break
        else:
            return  # there is more: go on at the next call
        for rollup in retention.rollups:
            if rollup.keep_days is not None:
                await self._sweep_rollup(retention, rollup, now_s)
        chores.swept_mono_s = self._mono_s()

    async def _sweep_rollup(self, retention: Retention, rollup: Rollup, now_s: float) -> None:
        after: Sequence[Any] | None = None
        while True:
            last = after

            def sweep(
                db: sqlite_utils.Database, last: Sequence[Any] | None = last
            ) -> tuple[list[tuple[Any, ...]], int]:
                series = series_after(db, retention, rollup, last)
                return series, sweep_rollup(db, retention, rollup, now_s, series)

            series, deleted = await self._run(sweep)
            self.rows_deleted += deleted
            if not series:
                return
            after = series[-1]

    async def _believe_date(self) -> bool:
        wall_s = self._clock.wall_ns() / 1e9
        if self._calendar is None:
            seen = await self._run(_load_seen)
            self._calendar = Calendar(wall_s if seen is None else seen)
        self._calendar, believed = self._calendar.look(wall_s, self._mono_s())
        if believed:
            seen_s = self._calendar.seen_s
            await self._run(lambda db: _save_seen(db, seen_s))
        elif not self.holding:
            log.warning(
                "the date leapt forward by more than a week: nothing is deleted until it has stood for a day"
            )
        self.holding = not believed
        return believed

    def _mono_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9


def _load_seen(db: sqlite_utils.Database) -> float | None:
    db.conn.execute(STATE)
    row = db.conn.execute("SELECT value FROM _store WHERE name = 'calendar'").fetchone()
    return None if row is None else float(row[0])


def _save_seen(db: sqlite_utils.Database, seen_s: float) -> None:
    db.conn.execute("INSERT OR REPLACE INTO _store VALUES ('calendar', ?)", (seen_s,))


def _give_back(db: sqlite_utils.Database) -> None:
    (free,) = db.conn.execute("PRAGMA freelist_count").fetchone()
    (pages,) = db.conn.execute("PRAGMA page_count").fetchone()
    if free > FREE_PAGES and free * 4 > pages:
        for _ in range(_VACUUM_PAGES):
            # One at a time: SQLite gives back one page for each step of the statement, and the driver steps only once.
            db.conn.execute("PRAGMA incremental_vacuum(1)")


def _optimize(db: sqlite_utils.Database) -> None:
    db.conn.execute("PRAGMA analysis_limit=400")
    db.conn.execute("PRAGMA optimize").fetchall()
