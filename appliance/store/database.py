"""The store: one SQLite file behind one writer thread, some readers and a buffer of rows.

Nothing in here may stop the appliance: when the disk is full, read-only, gone or damaged, rows wait in memory (and are
counted when they no longer can), writes raise StoreError, and everything heals by itself once the disk is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import sqlite_utils

from appliance.api.contrib import Migration, Retention
from appliance.api.errors import StoreError
from appliance.api.model import Level, Problem
from appliance.core.clock import Clock
from appliance.core.tasks import spawn
from appliance.store.batch import FLUSH_ROWS, MAX_ROWS, Batch, write_rows
from appliance.store.connection import MEMORY
from appliance.store.damage import salvage
from appliance.store.file import StoreFile, copy
from appliance.store.housekeeping import Housekeeping
from appliance.store.migrations import MigrationError, applied_steps, apply_step, pending
from appliance.store.readers import Readers, without_writing
from appliance.store.rollup import check
from appliance.store.writer import Writer

T = TypeVar("T")

log = logging.getLogger("appliance.store")

FLUSH_EVERY_S: Final = 5.0
CLOSE_WITHIN_S: Final = 1.8  # of the five seconds that a clean stop may take in all
_ROWS_AT_ONCE: Final = 2_000  # one transaction: some ten milliseconds


class Database:
    """The one implementation of `appliance.api.services.Store`.

    Args:
        path: the file, created when missing; ":memory:" for tests, which forgets everything.
        clock: the injected clock.
        max_rows: rows that `append` may keep while the database cannot be written.
    """

    def __init__(self, path: Path | str, clock: Clock, *, max_rows: int = MAX_ROWS) -> None:
        self._file = StoreFile(None if str(path) == MEMORY else Path(path), clock)
        self._clock = clock
        self._batch = Batch(limit=max_rows)
        self._writer = Writer(
            self._file.connect, clock, on_damage=self._file.suspect, backlog=lambda: len(self._batch)
        )
        self._readers: Readers | None = None
        if self._file.path is not None:
            self._readers = Readers(self._file.path, clock, generation=lambda: self._writer.generation)
        self._flush_lock = threading.Lock()
        self._flushing: Future[None] | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._housekeeping = Housekeeping(self._run, clock)  # what a cut takes of its work, it does again
        self._retentions: dict[str, tuple[Retention, ...]] = {}
        self._salvaged = 0

    # Life

    async def open(self) -> None:
        """Open the file and start the threads. Never fails for what a disk can do: see `problems()`."""
        self._writer.start()
        if self._readers is not None:
            self._readers.start()
        try:
            await self._run(lambda _db: None)
            await self._run(self._file.measure, in_transaction=False)
        except StoreError as error:
            log.debug("starting without a writable database: %s", error)
        self._ticker = spawn(self._flush_now_and_then(), name="store-flush")

    async def close(self) -> None:
        """Write what is buffered and close, within two seconds whatever the disk does."""
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        self._request_flush()
        await asyncio.to_thread(self._close_threads)
        lost = len(self._batch)
        self._batch.close()
        if lost:
            log.error("%d rows could not be written before the end", lost)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    # Service `Store`

    async def write(self, fn: Callable[[sqlite_utils.Database], T]) -> T:
        """Run `fn(db)` in the writer thread inside one transaction; rolled back when it raises.

        Once it has returned, neither a crash nor a power cut takes back what it wrote.

        Raises:
            StoreError: the database cannot be written now (disk full, read-only, broken); nothing of it was kept.
        """
        return await self._run(fn, durable=True)

    async def read(self, fn: Callable[[sqlite_utils.Database], T]) -> T:
        """Run `fn(db)` on a read-only connection, on one snapshot; fetch everything before returning.

        Raises:
            StoreError: the database cannot be read now, or the query took longer than ten seconds.
        """
        if self._readers is None or self._file.adrift:
            return await self._run(_read_only(fn), in_transaction=False)
        return await asyncio.wrap_future(self._readers.submit(fn))

    def append(self, table: str, row: Mapping[str, Any]) -> None:
        """Buffer one row; never waits, never raises. Rows that cannot be kept are counted."""
        if self._batch.add(table, row) >= FLUSH_ROWS and self._writer.fault is None:
            self._request_flush()

    async def flush(self) -> None:
        """Write what is buffered. What the database does not take now stays buffered: see `stats()`."""
        while (flushing := self._request_flush()) is not None:
            try:
                await asyncio.wrap_future(flushing)
            except StoreError:
                return

    def stats(self) -> dict[str, Any]:
        """Figures for people and metrics. `rows_lost` and `rows_refused` since the start; sizes as last seen."""
        fault = self._writer.fault
        return {
            "path": str(self._file.path or MEMORY),
            "state": fault.code if fault else "ok",
            "rows_buffered": len(self._batch),
            "rows_lost": self._batch.lost.total(),
            "rows_lost_by_table": dict(self._batch.lost),
            "rows_refused": self._batch.refused.total(),
            "rows_refused_by_table": dict(self._batch.refused),
            "writes_waiting": self._writer.waiting,
            "last_error": self._writer.last_error,
            "size_bytes": self._file.size_bytes,
            "free_bytes": self._file.free_bytes,
            "rows_deleted": self._housekeeping.rows_deleted,
            "moved_aside": str(self._file.aside or ""),
        }

    # For the host

    async def migrate(self, plugin_id: str, migrations: Sequence[Migration]) -> None:
        """Bring the tables of one plugin up to date.

        Raises:
            MigrationError: a step failed, or the database was written by a newer version; a matter of this plugin alone.
            StoreError: the database cannot be written now.
        """
        if not migrations and self._file.path is None:
            return
        done = await self.read(lambda db: applied_steps(db, plugin_id))
        for step in pending(plugin_id, migrations, done):
            position = len(done)
            applied_at = self._clock.wall_ns() / 1e9

            def apply(
                db: sqlite_utils.Database,
                step: Migration = step,
                position: int = position,
                at: float = applied_at,
            ) -> None:
                apply_step(db, plugin_id, step, position, at)

            try:
                await self._run(apply)
            except StoreError:
                raise
            except Exception as error:
                raise MigrationError(plugin_id, step.name, f"{type(error).__name__}: {error}") from error
            done.append(step.name)
        if (aside := self._file.aside) is not None:
            self._salvaged += await self.write(lambda db: salvage(db, aside, plugin_id))

    def retain(self, plugin_id: str, retentions: Sequence[Retention]) -> None:
        """Say how long the rows of a plugin's append-only tables live; `housekeeping` sees to it.

        Raises:
            ValueError: a table that is not the plugin's, or figures that make no sense.
        """
        for retention in retentions:
            check(plugin_id, retention)
        self._retentions[plugin_id] = tuple(retentions)
        self._housekeeping.forget([retention.table for retention in retentions])

    async def housekeeping(self) -> None:
        """Roll up, delete what is old, give pages back. Call it every minute or so: it knows what is due."""
        await self._housekeeping.keep_house(
            [retention for some in self._retentions.values() for retention in some]
        )
        with contextlib.suppress(StoreError):
            await self._run(self._file.measure, in_transaction=False)

    def problems(self) -> tuple[Problem, ...]:
        """What is not right with the database, for the health fold."""
        found = list(self._file.problems.values())
        if self._file.aside is not None and self._salvaged:
            found.append(
                Problem(
                    "store", Level.OK, f"{self._salvaged} rows were carried over from the damaged database."
                )
            )
        for table, why in self._housekeeping.refused.items():
            found.append(
                Problem(
                    "store",
                    Level.DEGRADED,
                    f"{table} is not kept in order: {why}.",
                    "This is a fault of its plugin.",
                )
            )
        if (fault := self._writer.fault) is not None:
            waiting = f"; {len(self._batch)} rows wait in memory" if len(self._batch) else ""
            text = f"The database cannot be written: {fault.text}{waiting}."
            found.append(Problem("store", Level.DEGRADED, text, fault.remedy))
        if lost := self._batch.lost.total():
            found.append(
                Problem(
                    "store", Level.DEGRADED, f"{lost} rows of history were lost.", "Charts have a gap there."
                )
            )
        return tuple(found)

    async def backup(self, path: Path | str) -> None:
        """Copy the whole database, as it is at this moment, into a new file while it goes on being used.

        Raises:
            StoreError: either side cannot be used.
        """
        await self.flush()
        await self.read(lambda db: copy(db, Path(path)))

    # Inside

    async def _run(
        self, fn: Callable[[sqlite_utils.Database], T], *, in_transaction: bool = True, durable: bool = False
    ) -> T:
        return await asyncio.wrap_future(
            self._writer.submit(fn, in_transaction=in_transaction, durable=durable)
        )

    def _land(self, db: sqlite_utils.Database) -> None:
        self._writer.adopt(self._file.land(db))

    def _request_flush(self) -> Future[None] | None:
        """Queue one flush unless one is queued already; None when there is nothing to write."""
        with self._flush_lock:
            if self._flushing is not None and not self._flushing.done():
                return self._flushing
            if not len(self._batch):
                return None
            self._flushing = self._writer.submit(self._flush_rows, in_transaction=False)
            return self._flushing

    def _flush_rows(self, db: sqlite_utils.Database) -> None:
        while rows := self._batch.take(_ROWS_AT_ONCE):
            try:
                self._batch.refused.update(write_rows(db, rows))
            except BaseException:
                self._batch.give_back(rows)
                raise

    async def _flush_now_and_then(self) -> None:
        while True:
            await self._clock.sleep(FLUSH_EVERY_S)
            if self._file.adrift:
                with contextlib.suppress(StoreError):
                    await self._run(self._land, in_transaction=False)
            self._request_flush()

    def _close_threads(self) -> None:
        if self._readers is not None:
            self._readers.close(CLOSE_WITHIN_S / 4)
        if not self._writer.close(CLOSE_WITHIN_S * 3 / 4):
            log.error("the disk did not answer in time; ending without it")


def _read_only(fn: Callable[[sqlite_utils.Database], T]) -> Callable[[sqlite_utils.Database], T]:
    """`fn` for the writing connection, which may not write while it runs."""

    def read(db: sqlite_utils.Database) -> T:
        db.conn.execute("PRAGMA query_only=ON")
        try:
            return without_writing(db, fn)
        finally:
            db.conn.execute("PRAGMA query_only=OFF")

    return read
