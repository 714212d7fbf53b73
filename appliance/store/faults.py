"""What a database error means: which ones say "not now" and deserve patience, and how to put them to a person."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Fault:
    """Why the database cannot be used now.

    Attributes:
        code: stable word: "full", "io", "read_only", "damaged", "missing", "busy", "memory", "behind", "closed".
        text: one sentence for people.
        remedy: what a person can do.
    """

    code: str
    text: str
    remedy: str = ""


FULL: Final = Fault("full", "the disk is full", "free some space; writing resumes by itself")
READ_ONLY: Final = Fault(
    "read_only",
    "the database is read-only",
    "see whether the file system was remounted read-only (a dying SD card does that) and who owns the state folder",
)
DAMAGED: Final = Fault(
    "damaged", "the database file is damaged", "restart: it is moved aside and a new one begun"
)
BEHIND: Final = Fault(
    "behind", "the disk is too slow: too many writes are waiting", "look for a failing disk"
)
CLOSED: Final = Fault("closed", "the database is closed")
SLOW_READ: Final = Fault("slow_read", "the query took too long and was stopped", "ask for less at once")

# Primary result codes (the low byte of the extended code): https://www.sqlite.org/rescode.html
_FAULTS: Final[dict[int, Fault]] = {
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_IOERR: Fault("io", "the disk does not read or write", "look for a failing or full disk"),
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_PERM: READ_ONLY,
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: DAMAGED,
    sqlite3.SQLITE_CANTOPEN: Fault(
        "missing",
        "the database file cannot be opened",
        "see that the state folder exists, is ours, and has space",
    ),
    sqlite3.SQLITE_BUSY: Fault("busy", "another program holds the database", "close whatever has it open"),
    sqlite3.SQLITE_NOMEM: Fault("memory", "there is no memory left for the database"),
    sqlite3.SQLITE_INTERRUPT: SLOW_READ,
}


def fault_of(error: BaseException) -> Fault | None:
    """The fault behind a `sqlite3` error, or None when the statement itself was wrong (a bug, a broken constraint).

    A wrong statement is the caller's business and is raised to it unchanged; a fault is nobody's fault in this process.
    """
    if not isinstance(error, sqlite3.Error):
        return None
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else _FAULTS.get(code & 0xFF)
