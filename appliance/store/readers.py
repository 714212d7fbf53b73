"""Reading: a few threads, each with its own read-only connection, so that a page never waits for the writer."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, TypeVar

import sqlite_utils

from appliance.api.errors import StoreError
from appliance.core.clock import Clock
from appliance.store.connection import open_reader
from appliance.store.faults import CLOSED, READ_ONLY, SLOW_READ, fault_of
from appliance.store.writer import fetched

T = TypeVar("T")

READERS: Final = 3
#: A reader holds back the WAL's reuse, and a person has left the page long before.
READ_LIMIT_S: Final = 10.0
_STEPS_BETWEEN_LOOKS: Final = 20_000  # of SQLite's virtual machine: about a millisecond


def without_writing(db: sqlite_utils.Database, fn: Callable[[sqlite_utils.Database], T]) -> T:
    """Run `fn(db)` on a connection that is set to `query_only`.

    Raises:
        sqlite3.ProgrammingError: `fn` tried to write: a mistake, where the same error from a file is bad luck.
        TypeError: it returned rows that are not fetched yet.
    """
    try:
        return fetched(fn)(db)
    except sqlite3.OperationalError as error:
        if fault_of(error) is READ_ONLY:
            raise sqlite3.ProgrammingError("a function that was given to read() must not write") from error
        raise


_Job = tuple[Callable[[sqlite_utils.Database], Any], "Future[Any]"]


class Readers:
    """A small pool of read-only connections, in daemon threads: a disk that hangs must not keep the process from ending.

    Attributes:
        immutable: True while the file can only be read bare, because the disk takes no byte for lock and log.
    """

    def __init__(
        self, path: Path, clock: Clock, *, generation: Callable[[], int], limit_s: float = READ_LIMIT_S
    ) -> None:
        self._path = path
        self._clock = clock
        self._generation = generation
        self._limit_ns = int(limit_s * 1e9)
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._open: dict[threading.Thread, tuple[int, sqlite_utils.Database]] = {}
        self._closing = False
        self.immutable = False

    def start(self) -> None:
        for number in range(READERS):
            thread = threading.Thread(target=self._work, name=f"store-reader-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def submit(self, fn: Callable[[sqlite_utils.Database], T]) -> Future[T]:
        """Run `fn(db)` in a reading thread, on one snapshot of the database. From any thread; never waits."""
        future: Future[T] = Future()
        if self._closing or not self._threads:
            future.set_exception(StoreError(CLOSED.text))
        else:
            self._jobs.put((fn, future))
        return future

    def close(self, timeout_s: float) -> bool:
        """Interrupt what still reads, end the threads; False when one did not end within `timeout_s`."""
        self._closing = True
        for _ in self._threads:
            self._jobs.put(None)
        for _, db in tuple(self._open.values()):
            db.conn.interrupt()
        for thread in self._threads:
            thread.join(timeout_s / len(self._threads))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            fn, future = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = self._read(fn)
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever awaits the future
                future.set_exception(error)
            else:
                future.set_result(result)
            del job, fn, future  # or the last job's values would live until the next one comes
        self._forget()

    def _read(self, fn: Callable[[sqlite_utils.Database], T]) -> T:
        if self._closing:
            raise StoreError(CLOSED.text)
        try:
            conn = (db := self._connection()).conn
            deadline_ns = self._clock.monotonic_ns() + self._limit_ns
            conn.set_progress_handler(
                lambda: int(self._clock.monotonic_ns() > deadline_ns), _STEPS_BETWEEN_LOOKS
            )
            conn.execute("BEGIN")
            try:
                return without_writing(db, fn)
            finally:
                conn.set_progress_handler(None, 0)
                if conn.in_transaction:
                    conn.execute("ROLLBACK")
        except sqlite3.Error as error:
            fault = fault_of(error)
            if fault is None:
                raise
            if fault is not SLOW_READ:
                self._forget()
            raise StoreError(f"the database cannot be read: {fault.text}") from error

    def _connection(self) -> sqlite_utils.Database:
        me, generation = threading.current_thread(), self._generation()
        if me not in self._open or self._open[me][0] != generation:
            self._forget()
            self._open[me] = generation, self._connect()
        return self._open[me][1]

    def _connect(self) -> sqlite_utils.Database:
        try:
            db = open_reader(self._path)
        except sqlite3.OperationalError:
            db = open_reader(self._path, immutable=True)
            self.immutable = True
        else:
            self.immutable = False
        return db

    def _forget(self) -> None:
        _, db = self._open.pop(threading.current_thread(), (0, None))
        if db is not None:
            db.close()
