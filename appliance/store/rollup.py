"""Roll-ups: what remains of a series when its rows are gone.

A roll-up table `<table>_<bucket_s>` has one row for each key and bucket: `n` rows in all, and `<value>_n`, `_min`, `_mean`,
`_max` of each value (nulls do not count), and `<value>_spread` of those whose spread is kept (see `spread`; of one value a few
bytes). Rows are taken in the order in which they arrived (rowid), not by their time stamp: the position reached is stored in the same transaction as the merged buckets. So each row is rolled exactly once whatever
happens (kill -9, a clock that steps, rows that come late or from the future), and nothing here asks what time it is.

That asks two things of a raw table: it has rowids (not WITHOUT ROWID), and only this store deletes its newest rows (or its key
is AUTOINCREMENT), since SQLite gives the rowid of a deleted last row away again.
"""

from __future__ import annotations

import re
from typing import Final

import sqlite_utils

from appliance.api.contrib import Retention, Rollup
from appliance.store.batch import quoted

#: Rows of one transaction: an hour of 1,000 members, so that the page of each series is written once; some 100 ms.
SLICE_ROWS: Final = 10_000

POSITIONS: Final = """
CREATE TABLE IF NOT EXISTS _rollups (
  rollup TEXT PRIMARY KEY,
  rolled_to INTEGER NOT NULL
) WITHOUT ROWID
"""

#: What the column is called that keeps how a value is spread: behind the value's name.
SPREAD: Final = "_spread"

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


def check(plugin: str, retention: Retention) -> None:
    """See that a retention makes sense.

    Raises:
        ValueError: says what does not, and what would be right.
    """
    if not retention.table.startswith(f"{plugin}__"):
        raise ValueError(f"the table {retention.table!r} must be called {plugin}__something")
    for name in (retention.table, *retention.key, *retention.values, *retention.indexed):
        if not _NAME.fullmatch(name):
            raise ValueError(f"{retention.table}: {name!r} is not a plain lower-case name")
    if retention.raw_days <= 0:
        raise ValueError(f"{retention.table}: raw_days must be above 0")
    for name in retention.spread:
        if name not in retention.values:
            raise ValueError(
                f"{retention.table}: the spread of {name!r} is asked for, which is none of its values"
            )
    sizes = [rollup.bucket_s for rollup in retention.rollups]
    if sizes != sorted(set(sizes)) or any(size < 1 for size in sizes):
        raise ValueError(f"{retention.table}: bucket sizes must be different, above 0, the smallest first")


def rollup_table(retention: Retention, rollup: Rollup) -> str:
    """Name of the roll-up table."""
    return f"{retention.table}_{rollup.bucket_s}"


def prepare(db: sqlite_utils.Database, retention: Retention) -> None:
    """Make the roll-up tables and the index that reads one series by time, as far as they are missing.

    Raises:
        LookupError: the table or one of its columns does not exist, or it has no rowids.
    """
    types = {
        str(row[1]): str(row[2]) for row in db.conn.execute(f"PRAGMA table_info({quoted(retention.table)})")
    }
    needed = ("ts", *retention.key, *retention.values, *retention.indexed)
    missing = [name for name in needed if name not in types]
    if not types or missing:
        raise LookupError(
            f"{retention.table} has no column {', '.join(missing)}"
            if types
            else f"no table {retention.table}"
        )
    if _without_rowid(db, retention.table):
        raise LookupError(
            f"{retention.table} is WITHOUT ROWID: rows could not be rolled up in the order of their arrival"
        )
    db.conn.execute(POSITIONS)
    _index_series(db, retention)
    for rollup in retention.rollups:
        _make_table(db, retention, rollup, types)


def roll_slice(
    db: sqlite_utils.Database, retention: Retention, rollup: Rollup, limit: int = SLICE_ROWS
) -> int:
    """Merge up to `limit` new rows into one roll-up table and move its position; returns how many rows there were.

    The caller holds the transaction.
    """
    table, name = quoted(retention.table), rollup_table(retention, rollup)
    low = position(db, retention, rollup)
    found, high = db.conn.execute(
        f"SELECT count(*), max(r) FROM (SELECT rowid AS r FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT ?)",  # noqa: S608
        (low, limit),
    ).fetchone()
    if not found:
        # Somebody else emptied the table, and its rowids begin again.
        (newest,) = db.conn.execute(f"SELECT max(rowid) FROM {table}").fetchone()  # noqa: S608
        high = min(low, newest or 0)
    else:
        db.conn.execute(_merge_sql(retention, rollup), (low, high))
    if high != low:
        db.conn.execute("INSERT OR REPLACE INTO _rollups VALUES (?, ?)", (name, high))
    return int(found)


def position(db: sqlite_utils.Database, retention: Retention, rollup: Rollup) -> int:
    """The last rowid that went into this roll-up."""
    row = db.conn.execute(
        "SELECT rolled_to FROM _rollups WHERE rollup = ?", (rollup_table(retention, rollup),)
    ).fetchone()
    return int(row[0]) if row else 0


def waiting(db: sqlite_utils.Database, retention: Retention) -> int:
    """About how many rows are not rolled up yet (rowids, so deleted ones count too)."""
    if not retention.rollups:
        return 0
    (newest,) = db.conn.execute(f"SELECT max(rowid) FROM {quoted(retention.table)}").fetchone()  # noqa: S608
    return int(newest or 0) - min(position(db, retention, rollup) for rollup in retention.rollups)


def bucket_sql(bucket_s: int) -> str:
    """The bucket that column `ts` belongs to, as SQL; right for negative time stamps too (SQL's `/` cuts towards 0)."""
    return f"(CAST(ts AS INTEGER) / {bucket_s} - (ts < 0 AND ts % {bucket_s} <> 0)) * {bucket_s}"


def _merge_sql(retention: Retention, rollup: Rollup) -> str:
    keys = [quoted(name) for name in retention.key]
    columns = [*keys, "bucket", "n"]
    # A key column of the roll-up cannot be null: it is part of the primary key.
    picked = [f"coalesce({key}, '')" for key in keys] + [bucket_sql(rollup.bucket_s), "count(*)"]
    merged = ["n = n + excluded.n"]
    for value in retention.values:
        v, n, low, mean, high = (quoted(value + end) for end in ("", "_n", "_min", "_mean", "_max"))
        columns += [n, low, mean, high]
        picked += [f"count({v})", f"min({v})", f"avg({v})", f"max({v})"]
        merged += [
            f"{n} = {n} + excluded.{n}",
            f"{low} = min(coalesce({low}, excluded.{low}), coalesce(excluded.{low}, {low}))",
            (
                f"{mean} = CASE WHEN excluded.{n} = 0 THEN {mean} WHEN {n} = 0 THEN excluded.{mean} "
                f"ELSE {mean} + (excluded.{mean} - {mean}) * excluded.{n} / ({n} + excluded.{n}) END"
            ),
            f"{high} = max(coalesce({high}, excluded.{high}), coalesce(excluded.{high}, {high}))",
        ]
    for value in retention.spread:
        kept = quoted(value + SPREAD)
        columns.append(kept)
        picked.append(f"spread({quoted(value)})")
        merged.append(f"{kept} = spread_sum({kept}, excluded.{kept})")
    group = ", ".join(str(number) for number in range(1, len(keys) + 2))
    return (
        f"INSERT INTO {quoted(rollup_table(retention, rollup))} ({', '.join(columns)}) "  # noqa: S608 - names are checked
        f"SELECT {', '.join(picked)} FROM {quoted(retention.table)} "
        f"WHERE rowid > ? AND rowid <= ? AND ts IS NOT NULL GROUP BY {group} "
        f"ON CONFLICT ({', '.join([*keys, 'bucket'])}) DO UPDATE SET {', '.join(merged)}"
    )


def _make_table(
    db: sqlite_utils.Database, retention: Retention, rollup: Rollup, types: dict[str, str]
) -> None:
    name = rollup_table(retention, rollup)
    keys = [f"{quoted(key)} {types[key]} NOT NULL" for key in retention.key]
    primary = ", ".join([*map(quoted, retention.key), "bucket"])
    # No type on the figures: integers stay as short as they are.
    figures = [quoted(value + end) for value in retention.values for end in ("_n", "_min", "_mean", "_max")]
    figures += [quoted(value + SPREAD) for value in retention.spread]
    columns = ", ".join([*keys, "bucket INTEGER NOT NULL", "n INTEGER NOT NULL", *figures])
    db.conn.execute(
        f"CREATE TABLE IF NOT EXISTS {quoted(name)} ({columns}, PRIMARY KEY ({primary})) WITHOUT ROWID"
    )
    info = list(db.conn.execute(f"PRAGMA table_info({quoted(name)})"))
    present = {quoted(str(row[1])) for row in info}
    was = tuple(str(row[1]) for row in sorted(info, key=lambda row: row[5]) if row[5])
    if was != (*retention.key, "bucket"):
        raise LookupError(
            f"{name} was made with the key {was[:-1]}; a new key needs a migration that drops it"
        )
    for figure in figures:
        if figure not in present:
            default = " DEFAULT 0" if figure.endswith('_n"') else ""  # values added by an update
            db.conn.execute(f"ALTER TABLE {quoted(name)} ADD COLUMN {figure}{default}")


def _index_series(db: sqlite_utils.Database, retention: Retention) -> None:
    wanted = [*retention.key, "ts", *retention.indexed]
    for row in list(db.conn.execute(f"PRAGMA index_list({quoted(retention.table)})")):
        columns = [str(column[2]) for column in db.conn.execute(f"PRAGMA index_info({quoted(row[1])})")]
        if columns[: len(wanted)] == wanted and not row[4]:  # a partial index does not hold every row
            return
    name = quoted(f"{retention.table}_series")
    db.conn.execute(f"DROP INDEX IF EXISTS {name}")  # that of a version with fewer columns in it
    db.conn.execute(f"CREATE INDEX {name} ON {quoted(retention.table)} ({', '.join(map(quoted, wanted))})")


def _without_rowid(db: sqlite_utils.Database, table: str) -> bool:
    rows = db.conn.execute(
        "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?", (table,)
    ).fetchone()
    return bool(rows and rows[0])
