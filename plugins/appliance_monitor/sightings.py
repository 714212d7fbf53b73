"""What the probe kinds besides "ntp" found: the latest in memory, all of it in an append-only table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from appliance.api.contrib import Migration, Retention, Rollup
from appliance.api.model import Sighting

if TYPE_CHECKING:
    import sqlite_utils

    from appliance.api.services import Store

TABLE: Final = "monitor__sightings"
#: Words of a plugin, or of the network, are kept no longer than this.
_MOST_LETTERS: Final = 200
_SCHEMA: Final = f"""
CREATE TABLE {TABLE} (
  id INTEGER PRIMARY KEY, ts REAL NOT NULL, kind TEXT NOT NULL, place TEXT NOT NULL, member TEXT NOT NULL,
  rtt_s REAL, offset_s REAL, value REAL, error TEXT, text TEXT)
"""
MIGRATION = Migration("sightings", lambda db: db.execute(_SCHEMA))
_COLUMNS: Final = ("ts", "kind", "place", "member", "rtt_s", "offset_s", "value", "error", "text")


def retention(raw_days: float) -> Retention:
    """As long as probes."""
    return Retention(
        TABLE, raw_days=raw_days, key=("kind", "place"), values=("rtt_s", "offset_s", "value"),
        rollups=(Rollup(300, 7), Rollup(3600, 400)),
    )  # fmt: skip


class Sightings:
    """The latest of each kind at each place.

    Attributes:
        counted: looks since the start by (kind, outcome): "ok", "failed", "discarded" (we cannot tell), "raised".
    """

    def __init__(self) -> None:
        self.counted: Counter[tuple[str, str]] = Counter()
        self._latest: dict[tuple[str, str], Sighting] = {}

    def add(self, key: str, sighting: Sighting) -> None:
        """One more, at the place of that key."""
        self._latest[sighting.kind, key] = sighting
        self.counted[sighting.kind, "failed" if sighting.sample.error else "ok"] += 1

    def only(self, kind: str, keys: Iterable[str]) -> None:
        """Forget what was seen at other places of a kind: nobody looks there any more."""
        there = frozenset(keys)
        for known, key in [at for at in self._latest if at[0] == kind and at[1] not in there]:
            del self._latest[known, key]

    def doubt(self, since: float) -> None:
        """Our own network may have been the reason: forget what failed since then (epoch seconds)."""
        self._latest = {
            at: seen for at, seen in self._latest.items() if seen.sample.error is None or seen.ts < since
        }

    def at(self, key: str) -> list[Sighting]:
        """The latest of every kind at one place (a member's id is the key of its places)."""
        return [sighting for (_, where), sighting in self._latest.items() if where == key]

    def all(self) -> list[Sighting]:
        """The latest of every kind at every place."""
        return [self._latest[at] for at in sorted(self._latest)]


def row(sighting: Sighting) -> dict[str, Any]:
    """One as the table has it, and the API."""
    sample, target = sighting.sample, sighting.target
    place = (
        f"[{target.address}]:{target.port}" if ":" in target.address else f"{target.address}:{target.port}"
    )
    return {
        "ts": round(sighting.ts, 3), "kind": sighting.kind, "place": place, "member": sighting.member,
        "rtt_s": sample.rtt_s, "offset_s": sample.offset_s, "value": sample.value,
        "error": None if sample.error is None else sample.error[:_MOST_LETTERS], "text": sample.text[:_MOST_LETTERS],
    }  # fmt: skip


async def read(
    store: Store, *, member: str | None, kind: str, limit: int, before: int | None
) -> list[Mapping[str, Any]]:
    """Rows of the table, the newest first.

    Args:
        store: the database.
        member: only at this member; None for all.
        kind: only of this kind; "" for all.
        limit: rows at most.
        before: only rows older than that of this id.
    """
    given = {"member = ?": member, "kind = ?": kind or None, "id < ?": before}
    conditions = {text: value for text, value in given.items() if value is not None}
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    sql = f"SELECT id, {', '.join(_COLUMNS)} FROM {TABLE}{where} ORDER BY id DESC LIMIT ?"  # noqa: S608 - our own words

    def found(db: sqlite_utils.Database) -> list[Mapping[str, Any]]:
        rows = db.execute(sql, (*conditions.values(), limit)).fetchall()
        return [dict(zip(("id", *_COLUMNS), row, strict=True)) for row in rows]

    await store.flush()
    return await store.read(found)
