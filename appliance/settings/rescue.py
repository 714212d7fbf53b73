"""Before a start: a change that was never judged, and under which the process does not come up, goes back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from appliance.api.errors import ApiError
from appliance.settings import files
from appliance.settings.history import Entry, History

#: So often the process may start under a change that nobody has judged, before the change is taken to be the reason.
MOST_STARTS = 3


def give_up(state_dir: Path, why: str, *, at_once: bool = False) -> Entry | None:
    """Take an unjudged change back, file by file and byte for byte; None when there is none, or it may still try.

    Args:
        state_dir: of the appliance.
        why: for people.
        at_once: the start has failed already.
    """
    history = History(state_dir / "config-history")
    entry = history.pending()
    if entry is None or not (at_once or entry.starts >= MOST_STARTS):
        return None
    for change in entry.files:
        try:
            files.replace(change.path, change.after, change.before)
        except ApiError:
            continue  # somebody changed it since, or it never was written: it is theirs now
    entry = replace(entry, state="reverted", why=why)
    history.update(entry)
    return entry
