"""At each start, before anything else of ours: is this the system that was meant to run, and does it find its data?

Run by timeball-arrive.service as root: `python3 -m appliance_updates.arriving`. It never stops the start: what goes wrong is
written down and shown later.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

from appliance.api.agent import Runs, run_program
from appliance.boot.keeping import BootPartition, NoState
from appliance.boot.scheme import BootState, Slot
from appliance.core import logs
from appliance_updates import evidence, here, record, snapshots
from appliance_updates.record import Event, Pending, Record, Try

log = logging.getLogger("timeball.updates")


def arrive(root: Path, state: BootState, program: Runs, now_s: float) -> Event | None:
    """Compare what runs with what was begun; what came of it, when it is decided now.

    Raises:
        OSError: the record cannot be kept.
    """
    image, found = here.image(root), record.load(root)
    if image is None or not image.slot:
        return None
    boot = here.boot_id(root)
    before = len(found.history)
    if found.restoring:
        _restore(root, found, found.restoring)
    found.installed[image.slot] = image.release
    pending = found.pending
    if pending is not None:
        if pending.stage == "writing":
            _interrupted(found, pending, now_s)
        elif image.slot == pending.slot:
            _arrived(root, found, pending, state.slots[image.slot], boot, now_s)
        elif boot != pending.boot_id and not state.slots[pending.slot].starts:
            _fell_back(root, found, pending, state.slots[pending.slot], program, now_s)
    record.save(root, found)
    if len(found.history) > before and found.history[0].kind == "fell-back":
        evidence.forget_last_words(root)
    if found.pending is None and not found.restoring and state.slots[image.slot].good:
        record.settle(root, image.slot)
    if not found.restoring:
        snapshots.prune(root, _needed(found))
    return found.history[0] if len(found.history) > before else None


def _interrupted(found: Record, pending: Pending, now_s: float) -> None:
    why = (
        "the power went, or the box was restarted, while it was written; the system that runs was not touched"
    )
    found.installed.pop(pending.slot, None)
    found.add(Event("interrupted", now_s, pending.old, pending.new, [why]))
    found.pending = None


def _arrived(root: Path, found: Record, pending: Pending, slot: Slot, boot: str, now_s: float) -> None:
    """We are the system that was meant to come."""
    if pending.restore:
        name, pending.restore = pending.restore, ""
        _begin_restore(root, found, name)
    if slot.good:  # it has proved itself in an earlier life
        kind = "went-back" if pending.kind == "back" else "updated"
        found.add(Event(kind, now_s, pending.old, pending.new))
        found.pending = None
        return
    if not any(one.boot_id == boot for one in pending.tries):
        pending.tries.append(Try(boot, now_s))


def _fell_back(root: Path, found: Record, pending: Pending, slot: Slot, program: Runs, now_s: float) -> None:
    """The boot loader gave the other one up. What it may have written is not for us."""
    panics, lines = evidence.last_words(root)
    why = evidence.reasons(pending, slot.tries_left, panics)
    lines = [*lines, *evidence.journal(root, pending, program)]
    found.add(Event("fell-back", now_s, pending.old, pending.new, why, lines))
    found.pending = None
    if pending.tries and pending.snapshot:
        _begin_restore(root, found, pending.snapshot)


def _begin_restore(root: Path, found: Record, name: str) -> None:
    # What an earlier way back to this release set aside makes room: what is there now is what must not be lost.
    snapshots.drop(root, _aside(name))
    found.restoring = name
    record.save(root, found)
    _restore(root, found, name)


def _restore(root: Path, found: Record, name: str) -> None:
    try:
        snapshots.restore(root, name, _aside(name))
    except snapshots.CannotKeep as why:
        log.exception("the data of the release that runs now could not be put back")
        if found.history:
            found.history[0].why.append(str(why))
    found.restoring = ""


def _aside(name: str) -> str:
    return f"{name}-aside"


def _needed(found: Record) -> set[str]:
    pending = found.pending
    return set() if pending is None else {pending.snapshot, pending.restore} - {""}


def main(wall_s: Callable[[], float] = time.time) -> int:  # noqa: TID251 - a program of its own, without a host
    logs.configure("info")
    root = Path("/")
    try:
        state, guessed = BootPartition().read()
    except (NoState, OSError) as error:
        log.warning("%s", error)
        return 0
    if guessed:
        log.warning("the boot loader's state was lost; slot %s was good last", state.last_good)
    try:
        event = arrive(root, state, run_program, wall_s())
    except OSError:
        log.exception("what became of the last update could not be written down")
        return 0
    if event is not None:
        log.warning(
            "%s: from %s to %s: %s", event.kind, event.old, event.new, "; ".join(event.why) or "as wanted"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
