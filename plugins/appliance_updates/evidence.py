"""Why a system did not stay: what its starts wrote before they ended, in words first and in lines of logs behind."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

from appliance.api.agent import Runs
from appliance.boot.scheme import TRIES
from appliance_updates.record import Pending

JOURNAL = "var/log/journal"
PSTORE = "sys/fs/pstore"
_MOST_LINES = 60
_PANIC = re.compile(r"Kernel panic - not syncing: .*")


def reasons(pending: Pending, tries_left: int, panics: Sequence[str]) -> list[str]:
    """What happened, the most telling first.

    Args:
        pending: what was begun, with the starts that said something of themselves.
        tries_left: that the boot loader would still give.
        panics: last words of kernels, where a firmware kept them.
    """
    used = TRIES - tries_left
    told = [one for one in pending.tries if one.why]
    silent = used - len(pending.tries)
    found = []
    if told:
        found += told[-1].why
    if panics:
        found.append(panics[-1])
    if silent > 0 and not panics:
        many = "All of its starts" if silent >= used else f"{silent} of its {used} starts"
        found.append(
            f"{many} ended before its services began: its kernel stopped (panic), or could not open its system"
        )
    cut = [one for one in pending.tries if one.stage == "started"]
    if cut:
        found.append(
            f"{_times(len(cut))} it began to start its services and was gone before it could be judged"
        )
    found.append(f"{used} of {TRIES} starts were used")
    return found


def _times(count: int) -> str:
    return "Once" if count == 1 else f"{count} times"


def journal(root: Path, pending: Pending, program: Runs) -> list[str]:
    """The last errors that the new system's starts wrote to the journal, the last start first."""
    lines: list[str] = []
    for one in reversed(pending.tries):
        boot = one.boot_id.replace("-", "")
        said = program(
            "journalctl", f"--directory={root / JOURNAL}", f"--boot={boot}", "--priority=err", "--lines=20",
            "--output=short-monotonic", "--no-hostname", "--no-pager", "--quiet", timeout_s=60,
        )  # fmt: skip
        if said.status == 0:
            lines += [line[:300] for line in said.said.splitlines() if line.strip()]
    return lines[:_MOST_LINES]


def last_words(root: Path) -> tuple[list[str], list[str]]:
    """Panics that the firmware kept over the restart (pstore): what they say, and the lines before."""
    panics, lines = [], []
    folder = root / PSTORE
    for path in sorted(folder.glob("dmesg-*")) if folder.is_dir() else []:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        panics += [found[0][:300] for found in _PANIC.finditer(text)]
        lines += [line[:300] for line in text.splitlines()][-20:]
    return panics, lines[-_MOST_LINES:]


def forget_last_words(root: Path) -> None:
    """Make room in the firmware's memory, once they are written down."""
    folder = root / PSTORE
    for path in folder.glob("dmesg-*") if folder.is_dir() else []:
        with contextlib.suppress(OSError):
            path.unlink()
