"""Keeps the last changes with what was there before, so that each can be looked at and taken back."""

from __future__ import annotations

import base64
import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from appliance.api.errors import NotFound
from appliance.settings.editor import FileChange

State = Literal["applying", "watching", "kept", "reverted", "waiting"]
#: So many changes are kept, and no more bytes than that.
MOST = 100
MOST_BYTES = 16_000_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One change that was made.

    Attributes:
        id: counts up.
        ts: when, epoch seconds.
        actor: who.
        keys: what it set or took back.
        files: what was written.
        state: "waiting" for somebody to confirm it, "watching" whether all goes well, "kept" for good, or "reverted".
        why: of a reverted one.
        undoes: id of the change that this one took back, 0 for an ordinary one.
        effects: what it needed, as pairs of (key, "live", "plugin" or "process").
        running: plugins that were running before it, and have to be after it.
        starts: how often the process started since, before the change was judged.
    """

    id: int
    ts: float
    actor: str
    keys: tuple[str, ...]
    files: tuple[FileChange, ...]
    state: State = "kept"
    why: str = ""
    undoes: int = 0
    effects: tuple[tuple[str, str], ...] = field(default=())
    running: tuple[str, ...] = ()
    starts: int = 0

    @property
    def open(self) -> bool:
        """Whether it is still to be judged."""
        return self.state in ("applying", "watching", "waiting")


class History:
    """A folder with one file for each change, for nobody else's eyes: it holds what the configuration held."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, entry: Entry) -> Entry:
        """Keep a change under the next number, and forget the oldest ones."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        entry = replace(entry, id=max(self._numbers(), default=0) + 1)
        self.update(entry)
        self._forget()
        return entry

    def update(self, entry: Entry) -> None:
        """Write a change again, after its state changed."""
        path = self._path(entry.id)
        beside = path.with_suffix(".new")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(_written(entry), file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)

    def get(self, number: int) -> Entry:
        """One change.

        Raises:
            NotFound: it never was, or was forgotten, or cannot be read.
        """
        try:
            return _read(json.loads(self._path(number).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            raise NotFound(f"there is no change {number}; `timeball config history` lists them") from None

    def entries(self) -> list[Entry]:
        """All that are kept, the latest first; one that cannot be read is left out."""
        found = []
        for number in sorted(self._numbers(), reverse=True):
            with contextlib.suppress(NotFound):
                found.append(self.get(number))
        return found

    def pending(self) -> Entry | None:
        """The latest change, if it is still to be judged."""
        latest = next(iter(self.entries()), None)
        return latest if latest is not None and latest.open else None

    def _numbers(self) -> list[int]:
        return [int(path.stem) for path in self._folder.glob("[0-9]*.json") if path.stem.isdigit()]

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.json"

    def _forget(self) -> None:
        size = 0
        for place, number in enumerate(sorted(self._numbers(), reverse=True)):
            path = self._path(number)
            size += path.stat().st_size
            if place and (place >= MOST or size > MOST_BYTES):
                path.unlink(missing_ok=True)


def _written(entry: Entry) -> dict[str, object]:
    value = asdict(entry)
    value["files"] = [
        {"path": str(c.path), "before": _text(c.before), "after": _text(c.after)} for c in entry.files
    ]
    return value


def _read(value: dict[str, object]) -> Entry:
    files = tuple(
        FileChange(Path(f["path"]), _data(f["before"]), _data(f["after"])) for f in _list(value["files"])
    )
    return Entry(**{
        **value, "files": files, "keys": tuple(_list(value["keys"])), "running": tuple(_list(value["running"])),
        "effects": tuple((key, how) for key, how in _list(value["effects"])),
    })  # type: ignore[arg-type]  # fmt: skip


def _list(value: object) -> Sequence[dict[str, str]]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


def _text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode("ascii")


def _data(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
