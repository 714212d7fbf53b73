"""What became of the settings that waited for the box: for the screen, the page, the doctor, and beside the file."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from appliance.core import durable
from appliance_box import keeping

if TYPE_CHECKING:
    from appliance_box.preseed import Reading

#: Where the service reads it, and where it outlives a restart.
PUBLIC: Final = "run/timeball/preseed.json"
KEPT: Final = f"{keeping.HOME}/preseed-report.json"
BESIDE: Final = "timeball-problem.txt"
_MOST_LINES = 50
_MOST_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Line:
    """One thing about one file."""

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


@dataclass(slots=True)
class Report:
    """All of it.

    Attributes:
        used: "file (medium): parts" of what was taken.
        problems: what was wrong; that part was not used.
        notes: what is not used here.
    """

    used: list[str] = field(default_factory=list)
    problems: list[Line] = field(default_factory=list)
    notes: list[Line] = field(default_factory=list)

    def say(self, where: str, text: str) -> None:
        self.problems.append(Line(where, text[:_MOST_CHARACTERS]))

    def note(self, where: str, text: str) -> None:
        self.notes.append(Line(where, text[:_MOST_CHARACTERS]))

    def read(self, where: str, reading: Reading) -> None:
        """Add what one file came to."""
        for problem in reading.problems:
            self.say(where, problem)
        for note in reading.notes:
            self.note(where, note)
        if parts := [*reading.parts, *reading.people]:
            self.used.append(f"{where}: {', '.join(parts).replace('_', ' ')}")

    def lines(self) -> Iterator[str]:
        """For a screen."""
        for used in self.used:
            yield f"timeball: settings taken from {used}"
        for problem in self.problems[:_MOST_LINES]:
            yield f"timeball: NOT used: {problem}"

    def as_dict(self) -> dict[str, Any]:
        return {
            "used": self.used,
            "problems": [asdict(one) for one in self.problems[:_MOST_LINES]],
            "notes": [asdict(one) for one in self.notes[:_MOST_LINES]],
        }

    @classmethod
    def from_dict(cls, value: Any) -> Report:
        """Raises KeyError, TypeError: it is none."""
        return cls(
            [str(one) for one in value["used"]],
            [Line(str(one["where"]), str(one["text"])) for one in value["problems"]],
            [Line(str(one["where"]), str(one["text"])) for one in value["notes"]],
        )


def publish(root: Path, report: Report) -> None:
    """Put the report where the service reads it, and where the next start finds it.

    Raises:
        OSError: it cannot be written.
    """
    text = json.dumps(report.as_dict(), indent=2)
    file = root / PUBLIC
    file.parent.mkdir(parents=True, exist_ok=True)
    file.parent.chmod(0o755)
    file.write_text(text, encoding="utf-8")
    file.chmod(0o644)
    durable.put(root / KEPT, text.encode(), 0o600)


def last(root: Path, now: Report) -> Report:
    """The report of the start that took settings last, with what this start has to say."""
    found = _read(root / KEPT)
    if found is None:
        return now
    kept = [one for one in found.problems if one.where != "the box"]
    return Report(found.used, [*now.problems, *kept], found.notes)


def public(root: Path) -> Report | None:
    """What the service may know; None when there is none."""
    return _read(root / PUBLIC)


def forget(root: Path) -> None:
    """Somebody has read it."""
    for name in (PUBLIC, KEPT):
        (root / name).unlink(missing_ok=True)


def write_beside(folder: Path, report: Report) -> None:
    """Write problems beside the files, or take an old text away. The folder has to be writable.

    Raises:
        OSError: it cannot be written.
    """
    file = folder / BESIDE
    if not report.problems:
        with contextlib.suppress(FileNotFoundError):
            file.unlink()
        return
    lines = [
        "Timeball started, but did not use all that the files on this card say.",
        "Mend the file and start the box again: a file that was changed is read anew.",
        "",
        *(str(problem) for problem in report.problems[:_MOST_LINES]),
    ]
    durable.put(file, ("\r\n".join(lines) + "\r\n").encode(), 0o644)


def _read(file: Path) -> Report | None:
    try:
        return Report.from_dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
