"""When the last backup was made: noted beside the state, so that page and doctor can tell how old it is."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from appliance.core import durable

_NOTE: Final = "box/last-backup.json"
_LONGEST: Final = 1000


@dataclass(frozen=True, slots=True)
class Last:
    """The last backup.

    Attributes:
        made_s: epoch seconds.
        sealed: with a passphrase.
    """

    made_s: float
    sealed: bool


def note(state_dir: Path, last: Last) -> None:
    """Remember it. A backup that was made is there, whether this can be written or not."""
    file = state_dir / _NOTE
    with contextlib.suppress(OSError):
        if not file.parent.exists():
            file.parent.mkdir()
            # The command is often root's: the folder stays the appliance's.
            owner = state_dir.stat()
            os.chown(file.parent, owner.st_uid, owner.st_gid)
        durable.put(file, json.dumps(asdict(last)).encode() + b"\n", 0o644)


def read(state_dir: Path) -> Last | None:
    """The last backup that was made here, or None when none is known."""
    try:
        with (state_dir / _NOTE).open("rb") as file:
            value = json.loads(file.read(_LONGEST))
        made_s, sealed = float(value["made_s"]), value["sealed"] is True
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return Last(made_s, sealed) if 0 <= made_s < 1e11 else None
