"""How members and open proofs lie in the database."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, Final

import sqlite_utils

from appliance.api.contrib import Migration
from appliance_members.registry import Delta, Entry
from appliance_members.verification import Proof

MEMBER_TABLE: Final = "members__member"
PROOF_TABLE: Final = "members__proof"

_COLUMNS: Final = tuple(f.name for f in fields(Entry))
_LISTS: Final = ("zones", "tags")
_FLAGS: Final = ("declared", "overridden", "paused")

_INSERT: Final = f"INSERT OR REPLACE INTO {MEMBER_TABLE} ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' for _ in _COLUMNS)})"  # noqa: S608 - all constants


def _create(db: sqlite_utils.Database) -> None:
    db.conn.execute(
        f"""CREATE TABLE {MEMBER_TABLE} (
            id TEXT PRIMARY KEY, address TEXT NOT NULL, port INTEGER NOT NULL, name TEXT NOT NULL,
            netspeed INTEGER NOT NULL, zones TEXT NOT NULL, tags TEXT NOT NULL, operator TEXT NOT NULL,
            note TEXT NOT NULL, declared INTEGER NOT NULL, overridden INTEGER NOT NULL, paused INTEGER NOT NULL,
            paused_until REAL, leave_at REAL, remove_at REAL, added_at REAL NOT NULL, verified_by TEXT NOT NULL,
            evidence TEXT NOT NULL, UNIQUE (address, port)
        ) WITHOUT ROWID"""
    )
    db.conn.execute(
        f"""CREATE TABLE {PROOF_TABLE} (
            digest TEXT PRIMARY KEY, member TEXT NOT NULL, method TEXT NOT NULL, expires_at REAL NOT NULL
        ) WITHOUT ROWID"""
    )


def _add_owner(db: sqlite_utils.Database) -> None:
    db.conn.execute(f"ALTER TABLE {MEMBER_TABLE} ADD COLUMN owner TEXT NOT NULL DEFAULT ''")


MIGRATIONS: Final = (Migration("members and proofs", _create), Migration("owners", _add_owner))


def save(db: sqlite_utils.Database, delta: Delta) -> None:
    """Write the difference; the caller holds the transaction."""
    db.conn.executemany(f"DELETE FROM {MEMBER_TABLE} WHERE id = ?", [(key,) for key in delta.deleted])  # noqa: S608
    db.conn.executemany(_INSERT, [_to_row(entry) for entry in delta.written])


def load(db: sqlite_utils.Database) -> list[Entry]:
    """All members that were kept."""
    rows = db.conn.execute(f"SELECT {', '.join(_COLUMNS)} FROM {MEMBER_TABLE}").fetchall()  # noqa: S608
    return [_from_row(row) for row in rows]


def _to_row(entry: Entry) -> tuple[Any, ...]:
    return tuple(json.dumps(getattr(entry, c)) if c in _LISTS else getattr(entry, c) for c in _COLUMNS)


def _from_row(row: tuple[Any, ...]) -> Entry:
    values = dict(zip(_COLUMNS, row, strict=True))
    for column in _LISTS:
        values[column] = tuple(json.loads(values[column]))
    for column in _FLAGS:
        values[column] = bool(values[column])
    return Entry(**values)


def save_proof(db: sqlite_utils.Database, proof: Proof) -> None:
    """Keep `proof` in place of an older one of the same member and method."""
    older = f"DELETE FROM {PROOF_TABLE} WHERE member = ? AND method = ?"  # noqa: S608
    db.conn.execute(older, (proof.member, proof.method))
    db.conn.execute(
        f"INSERT INTO {PROOF_TABLE} (digest, member, method, expires_at) VALUES (?, ?, ?, ?)",  # noqa: S608
        (proof.digest, proof.member, proof.method, proof.expires_at),
    )


def load_proofs(db: sqlite_utils.Database) -> list[Proof]:
    """All open proofs."""
    rows = db.conn.execute(f"SELECT digest, member, method, expires_at FROM {PROOF_TABLE}").fetchall()  # noqa: S608
    return [Proof(*row) for row in rows]


def drop_proofs(db: sqlite_utils.Database, digests: Iterable[str]) -> None:
    """Forget these proofs."""
    db.conn.executemany(f"DELETE FROM {PROOF_TABLE} WHERE digest = ?", [(d,) for d in digests])  # noqa: S608
