"""Counts starts that never settled: after three with somebody's plugins, the next one leaves those out (safe mode)."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from appliance.api.model import Level, Problem

#: Written before the service starts when the boot menu's safe mode was chosen; gone with the next start of the box.
CHOSEN_AT_BOOT: Final = Path("/run/timeball/safe-mode")
#: So many starts may fail before other people's plugins are left out.
MOST_FAILED: Final = 3
#: A start that has run this long has not failed.
SETTLED_S: Final = 60.0

REMEDY: Final = (
    "`timeball plugin rollback` or `timeball plugin remove NAME` (a single file: move it out of STATE_DIR/plugins), "
    "then restart; `timeball plugin safe-mode off` tries them again"
)


def chosen_at_boot(file: Path = CHOSEN_AT_BOOT) -> str:
    """Why this start of the box shall be in safe mode, or ""."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()[:200]
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class Book:
    """What is known of the last starts.

    Attributes:
        failed: starts in a row that did not settle, this one included until it does.
        plugins: other people's plugins of the start before, "id (origin)".
        safe: why other people's plugins are left out, or "".
    """

    failed: int = 0
    plugins: tuple[str, ...] = ()
    safe: str = ""


class Starts:
    """The book of starts in a state folder.

    What cannot be read or written counts as empty: it must not stop a start.

    Attributes:
        book: as it was written last.
        safe: why this very start is in safe mode, or "".
    """

    def __init__(self, state_dir: Path) -> None:
        self._file = state_dir / "starts.json"
        self._first = not state_dir.exists()
        self.book = self._read()
        self.safe = ""

    def begin(self, newest: str = "") -> str:
        """Count this start; why it has to be in safe mode, or "".

        Args:
            newest: the plugin that was installed last: the first to suspect.
        """
        book = self.book
        if not book.safe and book.plugins and book.failed >= MOST_FAILED:
            suspect = newest if newest and any(p.split()[0] == newest for p in book.plugins) else ""
            whom = suspect or (
                book.plugins[0] if len(book.plugins) == 1 else "one of " + ", ".join(book.plugins)
            )
            book = replace(book, safe=f"it did not stay up {book.failed} times in a row with {whom}")
        self._write(replace(book, failed=book.failed + 1))
        self.safe = self.book.safe
        return self.safe

    def loaded(self, plugins: Sequence[str]) -> None:
        """Remember whose plugins this start has; in safe mode those of the start before stay remembered."""
        if not self.book.safe:
            self._write(replace(self.book, plugins=tuple(plugins)))

    def settled(self) -> None:
        """It runs, or it was stopped on purpose: it has not failed."""
        self.book = self._read()  # a command may have ended safe mode meanwhile
        if self.book.failed:
            self._write(replace(self.book, failed=0))

    def withdraw(self) -> None:
        """The configuration is at fault and no plugin: as if this start had not been, a folder that it made included."""
        if not self._first:
            self.settled()
            return
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)
            self._file.parent.rmdir()

    def leave(self) -> bool:
        """End safe mode with the next start; whether it was on."""
        was = bool(self.book.safe)
        self._write(Book())
        return was

    def safe_mode(self, *, left_out: bool) -> dict[str, Any] | None:
        """Why this start is in safe mode and whether the next one will be; None when it is not.

        Args:
            left_out: plugins were left out, which may also be because the command line said so.
        """
        if not self.safe and not left_out:
            return None
        return {"why": self.safe or "it was started with --safe-mode", "ends": not self._read().safe}

    def enter(self, why: str) -> None:
        """Leave other people's plugins out from the next start on."""
        self._write(replace(self.book, safe=why))

    def problems(self) -> list[Problem]:
        """For health: whose plugins are left out, and why."""
        if not self.book.safe:
            return []
        text = f"safe mode: only the plugins that came with the appliance run, because {self.book.safe}"
        return [Problem("host", Level.DEGRADED, text, REMEDY)]

    def _read(self) -> Book:
        try:
            value = json.loads(self._file.read_text(encoding="utf-8"))
            return Book(int(value["failed"]), tuple(map(str, value["plugins"])), str(value["safe"]))
        except (OSError, ValueError, KeyError, TypeError):
            return Book()

    def _write(self, book: Book) -> None:
        self.book = book
        fresh = self._file.with_suffix(".new")
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            fresh.write_text(json.dumps(asdict(book)), encoding="utf-8")
            os.replace(fresh, self._file)  # noqa: PTH105 - whole or not at all
