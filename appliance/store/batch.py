"""Rows on their way to the disk: collected in memory, written a few hundred at a time, bounded when the disk is away."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

import sqlite_utils

from appliance.store.faults import fault_of
from appliance.store.writer import transaction

log = logging.getLogger("appliance.store")

FLUSH_ROWS: Final = 500
#: Rows kept in memory while the database cannot be written: some 15 MB, and seven hours of 1,000 members.
MAX_ROWS: Final = 50_000


class Row(NamedTuple):
    table: str
    columns: tuple[str, ...]
    values: tuple[Any, ...]


class Batch:
    """A bounded buffer of rows. Every method may be called from any thread and none waits for the disk.

    Attributes:
        lost: rows that were dropped, by table, because the buffer was full or the store closed.
        refused: rows that the database would not take (no such table, a broken constraint), by table.
    """

    def __init__(self, *, limit: int = MAX_ROWS) -> None:
        self._limit = limit
        self._rows: deque[Row] = deque()
        self._lock = threading.Lock()
        self._closed = False
        self.lost: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, table: str, row: Mapping[str, Any]) -> int:
        """Keep one row; returns how many wait now. When there is no room the oldest row goes, and is counted."""
        entry = Row(table, tuple(row), tuple(row.values()))
        with self._lock:
            if self._closed:
                self.lost[table] += 1
                return 0
            self._rows.append(entry)
            self._trim()
            return len(self._rows)

    def take(self, limit: int) -> list[Row]:
        """Remove and return the oldest rows, up to `limit`. Who takes them writes them or gives them back."""
        with self._lock:
            taken = list(islice(self._rows, limit))
            for _ in taken:
                self._rows.popleft()
            return taken

    def give_back(self, rows: Sequence[Row]) -> None:
        """Put rows that could not be written in front again."""
        with self._lock:
            self._rows.extendleft(reversed(rows))
            self._trim()

    def close(self) -> None:
        """Count everything that is still here, and everything that comes, as lost."""
        with self._lock:
            self._closed = True
            self.lost.update(row.table for row in self._rows)
            self._rows.clear()

    def _trim(self) -> None:
        while len(self._rows) > self._limit:
            self.lost[self._rows.popleft().table] += 1


def write_rows(db: sqlite_utils.Database, rows: Iterable[Row]) -> Counter[str]:
    """Insert rows in one transaction; returns how many of each table the database refused.

    One bad row must not take its neighbours with it: when the whole batch fails for a reason that lies in a row, it is
    written again row by row.

    Raises:
        sqlite3.Error: the database cannot be written; nothing of the batch was.
    """
    rows = list(rows)
    try:
        transaction(db, lambda db: _insert_grouped(db, rows))
    except (
        Exception
    ) as error:  # an int beyond 64 bits, a lone surrogate, a key that is no text: anything but our business
        if fault_of(error) is not None:
            raise
        return transaction(db, lambda db: _insert_singly(db, rows))
    return Counter()


def _insert_grouped(db: sqlite_utils.Database, rows: Sequence[Row]) -> None:
    groups: dict[tuple[str, tuple[str, ...]], list[tuple[Any, ...]]] = {}
    for table, columns, values in rows:
        groups.setdefault((table, columns), []).append(values)
    for (table, columns), values_list in groups.items():
        db.conn.executemany(_insert_sql(table, columns), values_list)


def _insert_singly(db: sqlite_utils.Database, rows: Sequence[Row]) -> Counter[str]:
    refused: Counter[str] = Counter()
    for table, columns, values in rows:
        try:
            db.conn.execute(_insert_sql(table, columns), values)
        except Exception as error:
            if fault_of(error) is not None:
                raise
            if not refused[table]:
                log.warning("a row for %s was refused: %s", table, error)
            refused[table] += 1
    return refused


def _insert_sql(table: str, columns: tuple[str, ...]) -> str:
    names = ", ".join(quoted(column) for column in columns)
    return f"INSERT INTO {quoted(table)} ({names}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - quoted


def quoted(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
