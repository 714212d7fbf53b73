"""How the database file is opened: the pragmas, and the reason for each."""

from __future__ import annotations

import errno
import os
import sqlite3
import urllib.parse
import weakref
from pathlib import Path
from typing import Any, Final

import sqlite_utils

from appliance.store import spread

MEMORY: Final = ":memory:"

BUSY_TIMEOUT_MS: Final = (
    3_000  # somebody else's sqlite3 shell or backup; we are the only writer among ourselves
)
JOURNAL_LIMIT_BYTES: Final = 16 << 20  # a WAL that grew behind a long reader is cut back to this
#: Pages in the log before they go into the file. The same pages change again and again (each series has one that grows), so a
#: longer log than SQLite's own 1,000 halves what is written to a card; after a crash it is read once.
CHECKPOINT_PAGES: Final = 4_000
PAGE_BYTES: Final = 4096  # one flash page, one page-cache page

_AS_SQLITE: Final = {errno.ENOSPC: sqlite3.SQLITE_FULL, errno.EROFS: sqlite3.SQLITE_READONLY}


class TidyConnection(sqlite3.Connection):
    """A connection that keeps to the store's transactions, and can end every statement that is still being read.

    One forgotten cursor (`INSERT ... RETURNING` and a single `fetchone`, kept alive by a traceback) makes every later
    COMMIT fail with "SQL statements in progress".
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._cursors: weakref.WeakSet[sqlite3.Cursor] = weakref.WeakSet()

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        made = super().cursor(*args, **kwargs)
        self._cursors.add(made)
        return made

    def execute(self, *args: Any) -> sqlite3.Cursor:
        made = super().execute(*args)
        self._cursors.add(made)
        return made

    def executescript(self, script: str) -> sqlite3.Cursor:
        """Inside a transaction the driver's own version would commit it first; this one stays inside."""
        if not self.in_transaction:
            return super().executescript(script)
        cursor: sqlite3.Cursor = self.cursor()
        statement = ""
        for part in script.split(";"):
            statement += part + ";"
            if sqlite3.complete_statement(statement):
                cursor.execute(statement)
                statement = ""
        if statement.strip(" \n\t;"):
            cursor.execute(statement)  # says what is wrong with it
        return cursor

    def end_statements(self) -> None:
        for cursor in tuple(self._cursors):
            cursor.close()
        self._cursors.clear()


def open_writer(path: Path | str) -> sqlite_utils.Database:
    """Open (or create, mode 0600) the database for the one writer.

    Transactions are always explicit (`isolation_level=None`): the driver's implicit BEGIN is deferred and would meet
    SQLITE_BUSY in the middle of a transaction instead of at its start.

    Raises:
        sqlite3.Error: it cannot be opened, or is not a database.
    """
    if path != MEMORY:
        _create_private(Path(path))
    conn = sqlite3.connect(
        str(path),
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
        factory=TidyConnection,
    )
    try:
        conn.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        # Both must precede the first table. INCREMENTAL, because changing it later needs a VACUUM with twice the space,
        # and an appliance whose card is filling up must be able to give pages back in small slices.
        conn.execute(f"PRAGMA page_size={PAGE_BYTES}")
        conn.execute("PRAGMA auto_vacuum=INCREMENTAL")
        # Readers never wait for the writer, and a commit of buffered rows needs no fsync: after a power cut the last ones may be
        # missing but the file is whole. After kill -9 nothing is missing, since the page cache survives. What somebody
        # waits for is synced all the same: `writer.synced`.
        conn.execute("PRAGMA journal_mode=WAL")
        conn.execute("PRAGMA synchronous=NORMAL")
        conn.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        conn.execute(f"PRAGMA journal_size_limit={JOURNAL_LIMIT_BYTES}")
        conn.execute("PRAGMA foreign_keys=ON")
        conn.execute("PRAGMA temp_store=MEMORY")  # a full or read-only /tmp is not our problem
        conn.execute("PRAGMA cache_size=-4096")  # KiB
        spread.install(conn)  # what roll-ups count with
        conn.execute(
            "SELECT count(*) FROM sqlite_master"
        ).fetchone()  # the first real read: is it a database at all?
    except BaseException:
        conn.close()
        raise
    return _wrap(conn)


def open_reader(path: Path | str, *, immutable: bool = False) -> sqlite_utils.Database:
    """Open the database for reading only.

    Args:
        path: the file.
        immutable: read the main file alone, without lock, WAL or shared memory: the only way on a disk that takes no
            byte. What was not yet checkpointed is missing.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    options = "mode=ro&immutable=1" if immutable else "mode=ro"
    uri = f"file:{urllib.parse.quote(str(path))}?{options}"
    conn = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    try:
        conn.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        conn.execute("PRAGMA query_only=ON")
        conn.execute("PRAGMA cache_size=-2048")
        conn.execute("PRAGMA temp_store=MEMORY")
        conn.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        conn.close()
        raise
    return _wrap(conn)


def _wrap(conn: sqlite3.Connection) -> sqlite_utils.Database:
    # sqlite-utils plugins that happen to be installed on the machine have no business in here.
    return sqlite_utils.Database(conn, execute_plugins=False)


def _create_private(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise as_sqlite(error) from error


def as_sqlite(error: OSError) -> sqlite3.OperationalError:
    """The same as SQLite would report it, so that there is one kind of error to understand."""
    same = sqlite3.OperationalError(str(error))
    same.sqlite_errorcode = _AS_SQLITE.get(error.errno or 0, sqlite3.SQLITE_CANTOPEN)
    return same
