"""What outlives a restart: the journal, answers to repeated requests, and how much was asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlite_utils

from appliance.api.contrib import Migration, Retention
from appliance_web import packets, repeats, traffic, zone_log
from appliance_web.journal import KEPT, TABLE, Entry

RETENTION = (Retention(TABLE, raw_days=400), traffic.RETENTION, zone_log.RETENTION, packets.RETENTION)


def _create(db: sqlite_utils.Database) -> None:
    db.table(TABLE).create({"ts": float, "kind": str, "level": str, "text": str, "member": str})
    db.table(TABLE).create_index(["ts"])


MIGRATIONS = (
    Migration("0001-event", _create),
    Migration("0002-repeat", repeats.create),
    *traffic.MIGRATIONS,
    *zone_log.MIGRATIONS,
    *packets.MIGRATIONS,
)


def as_row(entry: Entry) -> dict[str, Any]:
    return {
        "ts": entry.ts,
        "kind": entry.kind,
        "level": entry.level.value,
        "text": entry.text,
        "member": entry.member,
    }


def latest(db: sqlite_utils.Database) -> list[Mapping[str, Any]]:
    """The newest rows, newest first."""
    return list(
        db.query("select ts, kind, level, text, member from web__event order by ts desc limit ?", (KEPT,))
    )
