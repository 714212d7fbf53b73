"""The one writer: a thread that owns the connection and runs one job after another, so that nobody ever waits for a lock."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from types import GeneratorType
from typing import Any, Final, TypeVar, cast

import sqlite_utils

from appliance.api.errors import StoreError
from appliance.core.clock import Clock
from appliance.store.connection import TidyConnection
from appliance.store.faults import BEHIND, CLOSED, DAMAGED, Fault, fault_of

T = TypeVar("T")
Connect = Callable[[], sqlite_utils.Database]

log = logging.getLogger("appliance.store")

#: Jobs that may wait. Every caller awaits its own job, so more than this means that the disk stands still.
MAX_WAITING: Final = 1_000
#: After a failed attempt to open the file, jobs are refused at once for so long.
REOPEN_AFTER_S: Final = 5.0

# After these the connection itself is suspect (lost shared memory, a file that was replaced): begin with a fresh one.
_REOPEN: Final = frozenset({"io", "missing", "damaged", "read_only"})


def transaction(db: sqlite_utils.Database, fn: Callable[[sqlite_utils.Database], T]) -> T:
    """Run `fn(db)` in one IMMEDIATE transaction: the lock is taken at the start, where waiting for it is harmless.

    Raises:
        Whatever `fn` raises, after a rollback.
        RuntimeError: `fn` ended the transaction itself.
    """
    db.conn.execute("BEGIN IMMEDIATE")
    try:
        result = fn(db)
        if not db.conn.in_transaction:
            raise RuntimeError("no commit, rollback or VACUUM in here: the store does that")
        _end_statements(db)
        db.conn.execute("COMMIT")
    except BaseException:
        _end_statements(db)
        if db.conn.in_transaction:
            db.conn.execute("ROLLBACK")
        raise
    return result


def _end_statements(db: sqlite_utils.Database) -> None:
    if isinstance(db.conn, TidyConnection):
        db.conn.end_statements()


@contextlib.contextmanager
def synced(db: sqlite_utils.Database) -> Iterator[None]:
    """Within it a commit waits until the medium has it; a transaction without changes waits for nothing."""
    db.conn.execute("PRAGMA synchronous=FULL")
    try:
        yield
    finally:
        with contextlib.suppress(
            sqlite3.Error
        ):  # a connection that broke is opened anew, with the usual setting
            db.conn.execute("PRAGMA synchronous=NORMAL")


def fetched(fn: Callable[[sqlite_utils.Database], T]) -> Callable[[sqlite_utils.Database], T]:
    """`fn`, but what it returns must not be read later, by another thread, outside the transaction.

    The cursor of a statement without rows (`lambda db: db.execute("INSERT ...")`) becomes None. Otherwise the function
    raises TypeError for a cursor or a generator such as `db.query()` returns.
    """

    def call(db: sqlite_utils.Database) -> T:
        result = fn(db)
        if isinstance(result, sqlite3.Cursor) and result.description is None:
            return cast("T", None)
        if isinstance(result, (GeneratorType, sqlite3.Cursor)):
            raise TypeError("the function returned rows that are not fetched yet: return list(...)")
        return result

    return call


@dataclass(frozen=True, slots=True)
class _Job:
    fn: Callable[[sqlite_utils.Database], Any]
    future: Future[Any]
    in_transaction: bool
    durable: bool


class Writer:
    """Runs jobs on the only connection that writes.

    Attributes:
        fault: why the last job could not write, or None. Remembered so that it is logged once when it comes and once
            when it goes.
        last_error: the same with SQLite's own words, or "".
        generation: grows each time the connection is opened; readers that hold an older one open theirs anew.
    """

    def __init__(
        self, connect: Connect, clock: Clock, *, on_damage: Callable[[], None], backlog: Callable[[], int]
    ) -> None:
        self._connect = connect
        self._on_damage = on_damage
        self._backlog = backlog
        self._clock = clock
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._db: sqlite_utils.Database | None = None
        self._refuse_until_ns = 0
        self._closing = False
        self.fault: Fault | None = None
        self.last_error = ""
        self.generation = 0

    def start(self) -> None:
        # A daemon: when the disk hangs for good, the process must still be able to end. WAL makes that safe.
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""
        return self._jobs.qsize()

    def submit(
        self, fn: Callable[[sqlite_utils.Database], T], *, in_transaction: bool = True, durable: bool = False
    ) -> Future[T]:
        """Queue `fn(db)`; from any thread, never waits. The future ends with the result, StoreError, or what `fn` raised.

        Args:
            fn: the job.
            in_transaction: run it in one of its own.
            durable: the result comes when the medium has what was written, so that no power cut takes it back.
        """
        future: Future[T] = Future()
        if self._closing or self._thread is None:
            future.set_exception(StoreError(CLOSED.text))
        elif self._jobs.qsize() >= MAX_WAITING:
            self.note(BEHIND)
            future.set_exception(StoreError(BEHIND.text))
        else:
            self._jobs.put(_Job(fn, future, in_transaction, durable))
        return future

    def adopt(self, db: sqlite_utils.Database) -> None:
        """Go on with this connection instead of the present one; to be called by a job, in the writer's thread."""
        self._drop()
        self._db = db
        self.generation += 1

    def close(self, timeout_s: float) -> bool:
        """End after the jobs that wait; False when they did not end within `timeout_s`."""
        self._closing = True
        self._jobs.put(None)
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def note(self, fault: Fault | None, detail: str = "") -> None:
        """Remember whether writing works; log the change, not the state."""
        before, self.fault = self.fault, fault
        self.last_error = "" if fault is None else f"{fault.text} ({detail})" if detail else fault.text
        if fault is not None and (before is None or before.code != fault.code):
            log.error(
                "the database cannot be written: %s; %s", self.last_error, fault.remedy or "trying again"
            )
        elif fault is None and before is not None:
            log.warning("the database can be written again (before: %s)", before.text)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not job.future.set_running_or_notify_cancel():
                continue
            try:
                result = self._perform(job)
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever awaits the future
                job.future.set_exception(error)
            else:
                job.future.set_result(result)
            del job  # or the last job's values would live until the next one comes
        self._drop()

    def _perform(self, job: _Job) -> Any:
        try:
            db = self._connection()
            fn, before = fetched(job.fn), db.conn.total_changes
            if job.durable:
                with synced(db):
                    result = transaction(db, fn)
            else:
                result = transaction(db, fn) if job.in_transaction else fn(db)
        except sqlite3.Error as error:
            fault = fault_of(error)
            if fault is None:
                raise
            self.note(fault, str(error))
            if fault is DAMAGED:
                self._on_damage()
            if fault.code in _REOPEN:
                self._drop()
            raise StoreError(f"the database cannot be written: {fault.text}") from error
        # A full disk still takes a transaction without changes, or a small one into room that the log has already. All is
        # well again when something was written and nothing is left to write (or when the writes no longer queue up).
        if self.fault is BEHIND or (self.fault and db.conn.total_changes > before and not self._backlog()):
            self.note(None)
        return result

    def _connection(self) -> sqlite_utils.Database:
        if self._db is None:
            if self._clock.monotonic_ns() < self._refuse_until_ns:
                raise StoreError(f"the database cannot be written: {(self.fault or DAMAGED).text}")
            try:
                self._db = self._connect()
            except sqlite3.Error:
                self._refuse_until_ns = self._clock.monotonic_ns() + int(REOPEN_AFTER_S * 1e9)
                raise
            self.generation += 1
        return self._db

    def _drop(self) -> None:
        if self._db is not None:
            db, self._db = self._db, None
            try:
                db.close()
            except sqlite3.Error as error:
                log.debug("closing the database: %s", error)
