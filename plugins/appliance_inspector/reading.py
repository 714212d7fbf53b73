"""Judges a capture file that somebody brings: in a child of its own, with no appliance running."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from appliance.api.errors import Invalid
from appliance_inspector.alerts import Alerts
from appliance_inspector.rules import Rule
from appliance_inspector.warden import ChildGone, Warden

PIECE_BYTES = 1 << 18
#: For one piece, on a small machine that is busy.
PATIENCE_S = 60.0


@dataclass(slots=True)
class FileRead:
    """What there was in a file.

    Attributes:
        packets: those to the time or the name service, which were judged.
        others: all others.
        problem: why the file was not read to its end; "" when it was.
    """

    alerts: Alerts
    packets: int = 0
    others: int = 0
    problem: str = ""


def read_capture(path: Path, rules: Sequence[Rule]) -> FileRead:
    """Judge a capture file.

    Raises:
        Invalid: it cannot be opened, or the child ended over it.
    """
    try:
        with path.open("rb") as file:
            return asyncio.run(_read(file, rules))
    except OSError as error:
        raise Invalid(f"{path}: cannot be read: {error.strerror or error}") from error
    except ChildGone as error:
        raise Invalid(f"{path}: the child that reads it ended over it: {error}") from error


async def _read(file: BinaryIO, rules: Sequence[Rule]) -> FileRead:
    found = FileRead(Alerts())
    known = {rule.id: rule for rule in rules}
    warden = Warden(logging.getLogger("inspector"), patience_s=PATIENCE_S)
    try:
        await warden.start(rules)
        while not found.problem:
            piece = file.read(PIECE_BYTES)
            verdict = await warden.read(piece)
            found.alerts.take(verdict.alerts, known)
            found.packets, found.others, found.problem = verdict.packets, verdict.others, verdict.problem
            if not piece:
                break
    finally:
        await warden.close()
    return found
