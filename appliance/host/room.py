"""Who fills the disk: what other people's plugins keep in the database and in their folders of the state folder."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlite_utils

from appliance.api.errors import StoreError
from appliance.api.services import Store

#: A plugin that has more than this in the database, or in its folder, is named.
MOST_BYTES: Final = 64 * 2**20
#: Files of one folder that are looked at: more are named for their number.
MOST_FILES: Final = 20_000
_TABLE: Final = re.compile(r"([a-z][a-z0-9_]*?)__[A-Za-z0-9_]+")


@dataclass(frozen=True, slots=True)
class Kept:
    """What one plugin has in the database.

    Attributes:
        total_bytes: of all its tables and their indices.
        largest: its largest table.
        largest_bytes: of that one, with its indices.
    """

    total_bytes: int
    largest: str
    largest_bytes: int


async def kept(store: Store, ours: Collection[str]) -> dict[str, Kept]:
    """By plugin, also those that are not here any more; `ours` came with the appliance, and are not looked at.

    Each table is a read of its own: those that take longer than a read may are passed over, and so is everything where SQLite was
    built without `dbstat`.

    Raises:
        StoreError: the database cannot be read now.
    """
    tables = await store.read(lambda db: _tables(db, ours))
    sizes: dict[str, dict[str, int]] = defaultdict(dict)
    for plugin, table, parts in tables:
        try:
            sizes[plugin][table] = await store.read(lambda db, parts=parts: _bytes(db, parts))  # type: ignore[misc]
        except StoreError:
            continue
    return {plugin: _sum(of) for plugin, of in sizes.items() if of}


def _sum(tables: Mapping[str, int]) -> Kept:
    largest = max(tables, key=lambda table: tables[table])
    return Kept(sum(tables.values()), largest, tables[largest])


def _tables(db: sqlite_utils.Database, ours: Collection[str]) -> list[tuple[str, str, tuple[str, ...]]]:
    """(plugin, table, names of the b-trees that it consists of)."""
    if not db.execute(
        "SELECT 1 FROM pragma_compile_options WHERE compile_options = 'ENABLE_DBSTAT_VTAB'"
    ).fetchone():
        return []
    parts: dict[str, list[str]] = defaultdict(list)
    for name, table in db.execute("SELECT name, tbl_name FROM sqlite_master WHERE rootpage > 0").fetchall():
        parts[str(table)].append(str(name))
    found = []
    for table, names in sorted(parts.items()):
        match = _TABLE.fullmatch(table)
        if match and match[1] not in ours:
            found.append((match[1], table, tuple(names)))
    return found


def drop(db: sqlite_utils.Database, plugin: str) -> list[str]:
    """Drop every table of a plugin that is not here any more, and forget its steps; what was dropped."""
    tables = [
        str(name)
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        if (match := _TABLE.fullmatch(str(name))) and match[1] == plugin
    ]
    for table in tables:
        db.execute(f'DROP TABLE "{table}"')
    if "_migrations" in db.table_names():
        db.execute("DELETE FROM _migrations WHERE plugin = ?", (plugin,))
    return tables


def _bytes(db: sqlite_utils.Database, parts: Iterable[str]) -> int:
    query = "SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name = ? AND aggregate = 1"
    return sum(int(db.execute(query, (part,)).fetchone()[0]) for part in parts)


def in_folder(folder: Path) -> tuple[int, int]:
    """Bytes and number of the files in a folder, without following links; counting ends with `MOST_FILES`."""
    total, count, waiting = 0, 0, [str(folder)]
    while waiting and count < MOST_FILES:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                        continue
                    count += 1
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:
            continue
    return total, count
