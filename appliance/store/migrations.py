"""Schema steps: each plugin has its own list, each step is applied once, in order, in a transaction of its own.

The list only grows at its end. A recorded step that the list does not have means that a newer version wrote the database:
its tables may mean something else by now, so the plugin is refused rather than let loose on them. Going back a version
therefore needs the backup that was made before the update.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlite_utils

from appliance.api.contrib import Migration

SCHEMA = """
CREATE TABLE IF NOT EXISTS _migrations (
  plugin TEXT NOT NULL,
  position INTEGER NOT NULL,
  name TEXT NOT NULL,
  applied_at REAL NOT NULL,
  PRIMARY KEY (plugin, position),
  UNIQUE (plugin, name)
) WITHOUT ROWID
"""


_NEWER = "the database was written by a newer version that this one does not understand; install that version again, or restore a backup"


class MigrationError(Exception):
    """A plugin's tables could not be brought up to date; its earlier steps stand, the failed one left no trace.

    Attributes:
        plugin: plugin id.
        step: name of the step at fault.
        why: one sentence for people.
    """

    def __init__(self, plugin: str, step: str, why: str) -> None:
        super().__init__(f"{plugin}: database step {step!r}: {why}")
        self.plugin = plugin
        self.step = step
        self.why = why


class NewerDatabase(MigrationError):
    """Nobody's mistake: a later version has been here. Its tables are left as they are."""

    def __init__(self, plugin: str, step: str) -> None:
        super().__init__(plugin, step, _NEWER)
        self.args = (f"{_NEWER} (it knows {step!r} of {plugin})",)


def applied_steps(db: sqlite_utils.Database, plugin: str) -> list[str]:
    """Names of the steps that are recorded for `plugin`, oldest first."""
    if not db.conn.execute("SELECT 1 FROM sqlite_master WHERE name = '_migrations'").fetchone():
        return []
    rows = db.conn.execute("SELECT name FROM _migrations WHERE plugin = ? ORDER BY position", (plugin,))
    return [str(name) for (name,) in rows]


def pending(plugin: str, steps: Sequence[Migration], applied: Sequence[str]) -> Sequence[Migration]:
    """The steps that are still to be applied.

    Raises:
        MigrationError: a name stands twice, or a new step stands before a recorded one.
        NewerDatabase: a recorded step is unknown.
    """
    names = [step.name for step in steps]
    for name in names:
        if names.count(name) > 1:
            raise MigrationError(plugin, name, "the name stands twice in the plugin's list")
    for name in applied:
        if name not in names:
            raise NewerDatabase(plugin, name)
    for name, was in zip(names, applied, strict=False):
        if name != was:
            raise MigrationError(
                plugin, name, f"it stands before {was!r}, which is applied already; new steps go to the end"
            )
    return steps[len(applied) :]


def apply_step(
    db: sqlite_utils.Database, plugin: str, step: Migration, position: int, applied_at: float
) -> None:
    """Apply one step and record it; the caller holds the transaction."""
    db.conn.execute(SCHEMA)
    step.apply(db)
    db.conn.execute("INSERT INTO _migrations VALUES (?, ?, ?, ?)", (plugin, position, step.name, applied_at))
