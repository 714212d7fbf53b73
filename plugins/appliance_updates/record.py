"""What is remembered of updates on the data partition, whichever system runs: `/data/updates/record.json`, written whole or not at all.

It outlives both systems, so it says what was begun; at each start it is compared with what came of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from appliance.core import durable
from appliance_updates.facts import Release

HOME = "data/updates"
FILE = f"{HOME}/record.json"
SETTLED = f"{HOME}/settled"
#: So many entries of history are kept.
KEPT = 50


@dataclass(slots=True)
class Try:
    """One start of a system that has still to prove itself.

    Attributes:
        boot_id: of the kernel's run.
        at: epoch seconds by the clock of that start.
        stage: how far it came: "started", "unhealthy", "good".
        why: what was wrong.
    """

    boot_id: str
    at: float
    stage: str = "started"
    why: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Pending:
    """An update, or a way back, that was begun and of which nobody knows yet what comes of it.

    Attributes:
        kind: "update" or "back".
        slot: where the other system is.
        from_slot: where the one is that was running.
        old: the release that was running.
        new: the release in the other slot.
        stage: "writing" or "written".
        boot_id: of the start in which it was begun.
        begun: epoch seconds.
        snapshot: name of what was kept of the old release's data.
        restore: name of the snapshot that the new system shall find, or "".
        faults: ids of what the doctor called failing before.
        tries: starts of the new system that came far enough to say so.
    """

    kind: str
    slot: str
    from_slot: str
    old: Release
    new: Release
    stage: str
    boot_id: str
    begun: float
    snapshot: str = ""
    restore: str = ""
    faults: list[str] = field(default_factory=list)
    tries: list[Try] = field(default_factory=list)


@dataclass(slots=True)
class Event:
    """What came of one.

    Attributes:
        kind: "updated", "fell-back", "went-back", "interrupted", "failed".
        at: epoch seconds.
        old: the release before.
        new: the one that was to come.
        why: in words, the most important first.
        evidence: lines of logs.
        seen: a person has read it.
    """

    kind: str
    at: float
    old: Release
    new: Release
    why: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    seen: bool = False


@dataclass(slots=True)
class Record:
    """All of it.

    Attributes:
        installed: the release in each slot, where that is known.
        pending: what was begun.
        restoring: name of a snapshot that is being put back; a start that finds it does it again.
        history: the latest first.
    """

    installed: dict[str, Release] = field(default_factory=dict)
    pending: Pending | None = None
    restoring: str = ""
    history: list[Event] = field(default_factory=list)

    def add(self, event: Event) -> None:
        self.history = [event, *self.history][:KEPT]


def load(root: Path) -> Record:
    """The record below `root`; an empty one where there is none, or none that can be read."""
    try:
        value = json.loads((root / FILE).read_text(encoding="utf-8"))
        return _record(value)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Record()


def save(root: Path, record: Record) -> None:
    """On the disk when this returns.

    Raises:
        OSError: it cannot be kept; what was there before still is.
    """
    if record.pending is not None or record.restoring:
        unsettle(root)
    durable.put(root / FILE, json.dumps(asdict(record), indent=1).encode(), 0o600)


def settle(root: Path, slot: str) -> None:
    """Say that there is nothing to find out about this system: later starts need not look (packaging/libexec/settled).

    Raises:
        OSError: it cannot be written.
    """
    image = hashlib.sha256((root / "usr/lib/timeball/image.toml").read_bytes()).hexdigest()
    durable.put(root / SETTLED, f"{slot} {image}\n".encode(), 0o600)


def unsettle(root: Path) -> None:
    """Something is begun: the next start has to look."""
    (root / SETTLED).unlink(missing_ok=True)
    if (root / HOME).is_dir():
        durable.sync_folder(root / HOME)


def _record(value: Mapping[str, Any]) -> Record:
    pending = value.get("pending")
    return Record(
        {k: r for k, v in value.get("installed", {}).items() if (r := Release.of(v)) is not None},
        None if pending is None else _pending(pending),
        str(value.get("restoring", "")),
        [_event(one) for one in value.get("history", [])],
    )


def _pending(value: Mapping[str, Any]) -> Pending:
    known = dict(value)
    known |= {"old": Release(**value["old"]), "new": Release(**value["new"])}
    known["tries"] = [Try(**one) for one in value.get("tries", [])]
    return Pending(**known)


def _event(value: Mapping[str, Any]) -> Event:
    return Event(**{**value, "old": Release(**value["old"]), "new": Release(**value["new"])})
