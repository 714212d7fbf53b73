"""Keeps: one SQLite file, one writer, rows in batches, roll-ups and retention."""

from appliance.store.database import Database
from appliance.store.migrations import MigrationError

__all__ = ["Database", "MigrationError"]
