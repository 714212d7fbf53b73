"""The tables of people, sessions, tokens, failed tries and the audit trail."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

import sqlite_utils

from appliance.api.contrib import Migration
from appliance_people.accounts import User
from appliance_people.audit import Row
from appliance_people.sessions import Session
from appliance_people.throttle import Tally
from appliance_people.tokens import Token

_SCHEMA = """
CREATE TABLE people__user (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, password TEXT NOT NULL,
  created REAL NOT NULL, changed REAL NOT NULL, signed_in REAL, notice TEXT NOT NULL DEFAULT ''
);
CREATE TABLE people__session (
  id TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, account TEXT NOT NULL,
  created REAL NOT NULL, seen REAL NOT NULL, confirmed REAL NOT NULL, address TEXT NOT NULL, agent TEXT NOT NULL
);
CREATE TABLE people__token (
  id TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, account TEXT NOT NULL, label TEXT NOT NULL, grants TEXT NOT NULL,
  created REAL NOT NULL, expires REAL, networks TEXT NOT NULL, used REAL, used_from TEXT NOT NULL
);
CREATE TABLE people__throttle (key TEXT PRIMARY KEY, failures INTEGER NOT NULL, last REAL NOT NULL);
CREATE TABLE people__state (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE people__audit (
  seq INTEGER PRIMARY KEY, ts REAL NOT NULL, actor TEXT NOT NULL, kind TEXT NOT NULL, account TEXT NOT NULL,
  via TEXT NOT NULL, address TEXT NOT NULL, action TEXT NOT NULL, target TEXT NOT NULL, before TEXT NOT NULL,
  after TEXT NOT NULL, status INTEGER NOT NULL, request TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL
);
CREATE INDEX people__audit_ts ON people__audit (ts);
CREATE TRIGGER people__audit_no_update BEFORE UPDATE ON people__audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is only added to'); END;
CREATE TRIGGER people__audit_no_delete BEFORE DELETE ON people__audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is only added to'); END
"""


def _statements(script: str) -> Iterable[str]:
    """The statements of a script: one that ends in `END` belongs together."""
    text = ""
    for part in script.split(";\n"):
        text += part
        if "BEGIN SELECT" in text and not text.rstrip().endswith("END"):
            text += ";\n"
            continue
        yield text
        text = ""


def _create(db: sqlite_utils.Database) -> None:
    for statement in _statements(_SCHEMA):
        db.conn.execute(statement)


def _add_makers(db: sqlite_utils.Database) -> None:
    db.conn.execute("ALTER TABLE people__token ADD COLUMN maker TEXT NOT NULL DEFAULT ''")


MIGRATIONS = (Migration("0001-people", _create), Migration("0002-makers-of-tokens", _add_makers))

Database = sqlite_utils.Database
Change = Callable[[Database], None]


def everything(db: Database) -> tuple[list[User], list[Session], list[Token], dict[str, Tally]]:
    """All that is kept in memory."""
    users = [User(**row) for row in db.query("select * from people__user")]
    sessions = [Session(**row) for row in db.query("select * from people__session")]
    tokens = [_token(row) for row in db.query("select * from people__token")]
    tallies = {
        row["key"]: Tally(row["failures"], row["last"]) for row in db.query("select * from people__throttle")
    }
    return users, sessions, tokens, tallies


def put_user(user: User) -> Change:
    return _put("people__user", asdict(user))


def put_session(session: Session) -> Change:
    return _put("people__session", asdict(session))


def put_token(token: Token) -> Change:
    row = asdict(token) | {"grants": json.dumps(token.grants), "networks": json.dumps(token.networks)}
    return _put("people__token", row)


def put_tallies(tallies: dict[str, Tally | None]) -> Change:
    """Write some tallies; None removes one."""

    def change(db: Database) -> None:
        for key, tally in tallies.items():
            db.conn.execute("delete from people__throttle where key = ?", (key,))
            if tally is not None:
                db.conn.execute(
                    "insert into people__throttle values (?, ?, ?)", (key, tally.failures, tally.last)
                )

    return change


def drop_tallies(before: float) -> Change:
    """Delete all of which the last failure was before (epoch seconds)."""

    def change(db: Database) -> None:
        db.conn.execute("delete from people__throttle where last < ?", (before,))

    return change


def drop(table: str, ids: Iterable[str]) -> Change:
    """Delete rows by id from `user`, `session` or `token`."""
    wanted = [(key,) for key in ids]

    def change(db: Database) -> None:
        db.conn.executemany(f"delete from people__{table} where id = ?", wanted)  # noqa: S608 - our own words

    return change


def together(*changes: Change) -> Change:
    """Several changes as one."""

    def change(db: Database) -> None:
        for one in changes:
            one(db)

    return change


def get_state(key: str) -> Callable[[Database], str]:
    def read(db: Database) -> str:
        row = db.conn.execute("select value from people__state where key = ?", (key,)).fetchone()
        return "" if row is None else str(row[0])

    return read


def put_state(key: str, value: str) -> Change:
    return _put("people__state", {"key": key, "value": value})


def newest_row(db: Database) -> Row | None:
    row = next(iter(db.query("select * from people__audit order by seq desc limit 1")), None)
    return None if row is None else Row(**row)


def add_rows(rows: Iterable[Row]) -> Change:
    values = [asdict(row) for row in rows]

    def change(db: Database) -> None:
        for row in values:
            names = ", ".join(row)
            marks = ", ".join("?" * len(row))
            db.conn.execute(f"insert into people__audit ({names}) values ({marks})", list(row.values()))  # noqa: S608 - names of our own fields

    return change


def rows_after(seq: int, limit: int) -> Callable[[Database], list[Row]]:
    """The rows that follow row `seq`, oldest first."""

    def read(db: Database) -> list[Row]:
        query = "select * from people__audit where seq > ? order by seq limit ?"
        return [Row(**row) for row in db.query(query, [seq, limit])]

    return read


def some_rows(
    *,
    before: int | None = None,
    since: float | None = None,
    until: float | None = None,
    actor: str = "",
    words: str = "",
    limit: int = 100,
) -> Callable[[Database], list[Row]]:
    """The newest rows, newest first.

    Args:
        before: only rows with a smaller `seq`: the next page.
        since: epoch seconds of the first.
        until: epoch seconds after the last.
        actor: only of this actor, by name.
        words: only where action or target holds this.
        limit: how many.
    """
    where, values = ["1"], list[Any]()
    for condition, value in (("seq < ?", before), ("ts >= ?", since), ("ts < ?", until)):
        if value is not None:
            where.append(condition)
            values.append(value)
    if actor:
        where.append("actor = ? collate nocase")
        values.append(actor)
    if words:
        where.append("(instr(lower(action), lower(?)) or instr(lower(target), lower(?)))")
        values += [words, words]

    def read(db: Database) -> list[Row]:
        query = f"select * from people__audit where {' and '.join(where)} order by seq desc limit ?"  # noqa: S608 - only our own conditions
        return [Row(**row) for row in db.query(query, [*values, limit])]

    return read


def _token(row: dict[str, Any]) -> Token:
    lists = {"grants": tuple(json.loads(row["grants"])), "networks": tuple(json.loads(row["networks"]))}
    return Token(**(row | lists))


def _put(table: str, row: dict[str, Any]) -> Change:
    names, marks = ", ".join(row), ", ".join("?" * len(row))

    def change(db: Database) -> None:
        db.conn.execute(f"insert or replace into {table} ({names}) values ({marks})", list(row.values()))  # noqa: S608 - names of our own fields

    return change
