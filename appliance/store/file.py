"""The file behind the store, with what may be wrong with it at the start: damaged, or impossible to make."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sqlite3
from pathlib import Path
from typing import Final

import sqlite_utils

from appliance.api.errors import StoreError
from appliance.api.model import Level, Problem
from appliance.core.clock import Clock
from appliance.store import faults, spare
from appliance.store.connection import MEMORY, PAGE_BYTES, as_sqlite, open_writer
from appliance.store.damage import find_damage, move_aside, suspicion
from appliance.store.faults import fault_of

log = logging.getLogger("appliance.store")

ADRIFT: Final = "adrift"
DAMAGED: Final = "damaged"


class StoreFile:
    """Opens the database. Everything but the attributes is for the writer's thread: it may wait for the disk.

    Attributes:
        path: None for a database in memory.
        adrift: there is no file yet and none can be made, so everything is in memory for the time.
        aside: where a damaged file was moved to at this start, or None.
        problems: what is wrong, by kind.
        size_bytes: of the database, as last measured.
        free_bytes: of the disk, as last measured.
    """

    def __init__(self, path: Path | None, clock: Clock) -> None:
        self.path = path
        self.adrift = False
        self.aside: Path | None = None
        self.problems: dict[str, Problem] = {}
        self.size_bytes = 0
        self.free_bytes = 0
        self._clock = clock
        self._checked = False

    def connect(self) -> sqlite_utils.Database:
        """Open for writing. A damaged file is moved aside first; when no file can be made at all, memory takes its place.

        Raises:
            sqlite3.Error: there is a file, and it cannot be opened for writing now.
        """
        if self.path is None:
            return open_writer(MEMORY)
        try:
            return open_writer(self.path) if self._checked else self._open_and_check(self.path)
        except sqlite3.Error as error:
            fault = fault_of(error)
            if fault is None:
                raise
            if _has_content(self.path):
                if spare.give(self.path):  # the disk may be too full to open it
                    return self.connect()
                raise
        except OSError as error:  # of a look at the file, or of moving it
            raise as_sqlite(error) from error
        self.adrift = True
        text = f"Nothing is kept over a restart: there is no database file and none can be made, because {fault.text}."
        self.problems[ADRIFT] = Problem("store", Level.DEGRADED, text, fault.remedy)
        log.error("%s", text)
        return open_writer(MEMORY)

    def land(self, memory: sqlite_utils.Database) -> sqlite_utils.Database:
        """Make the file after all, and move what memory holds into it; returns the new connection.

        Raises:
            sqlite3.Error: it still cannot be made.
        """
        assert self.path is not None
        db = open_writer(self.path)
        try:
            memory.conn.backup(db.conn)
            db.conn.execute("PRAGMA journal_mode=WAL")  # the copy brought its own header along
        except BaseException:
            db.close()
            raise
        self.adrift = False
        del self.problems[ADRIFT]
        log.warning("the database file could be made now: %s", self.path)
        return db

    def suspect(self) -> None:
        """Damage was met while running: leave a mark, so that the next start looks at every page."""
        if self.path is not None:
            with contextlib.suppress(OSError):
                suspicion(self.path).touch()

    def measure(self, db: sqlite_utils.Database) -> None:
        (pages,) = db.conn.execute("PRAGMA page_count").fetchone()
        self.size_bytes = int(pages) * PAGE_BYTES
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.free_bytes = shutil.disk_usage(self.path.parent).free
                spare.keep(self.path, self.free_bytes)

    def _open_and_check(self, path: Path) -> sqlite_utils.Database:
        """The first time: opening takes in what a kill or power cut left in the log."""
        try:
            db = open_writer(path)
            with contextlib.ExitStack() as if_it_fails:
                if_it_fails.callback(db.close)
                damage = find_damage(db, path)
                if_it_fails.pop_all()
        except sqlite3.DatabaseError as error:
            if fault_of(error) is not faults.DAMAGED:
                raise
            damage = str(error)
        else:
            if damage is None:
                suspicion(path).unlink(missing_ok=True)
                self._checked = True
                return db
            db.close()
        self.aside = move_aside(path, self._clock.wall_ns())
        text = f"The database was damaged ({damage}); it was moved to {self.aside} and a new one begun."
        remedy = "restore a backup if you have one; then delete that file"
        self.problems[DAMAGED] = Problem("store", Level.DEGRADED, text, remedy)
        log.error("%s", text)
        self._checked = True
        return open_writer(path)


def copy(db: sqlite_utils.Database, path: Path) -> None:
    """Copy the whole database to `path`, replacing what is there, while others may go on reading.

    The copy appears under its name only when it is whole.

    Raises:
        StoreError: the copy cannot be written.
    """
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        unfinished.unlink(missing_ok=True)
        target = open_writer(unfinished)
        try:
            db.conn.backup(target.conn)
            target.conn.execute("PRAGMA journal_mode=DELETE")  # one file, nothing beside it
        finally:
            target.close()
        unfinished.replace(path)
    except (sqlite3.Error, OSError) as error:
        # Said here, because the fault is the copy's: the database itself is well.
        raise StoreError(f"the copy {path} cannot be written: {error}") from error


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
