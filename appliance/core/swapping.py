"""Exchanges the content of a state folder for another one, at a start, with a way back: what a restore comes down to.

The folder itself may be a mount, so its entries are exchanged one by one, each by a rename. A plan on the disk says which; a cut at any
moment finds the plan again at the next start and goes on. Until the new content has run for a while it is on trial: starts that
do not last bring the old content back by themselves.

    STATE_DIR/exchange/plan.json    what is to be done, or on trial
    STATE_DIR/exchange/new/         what comes
    STATE_DIR/exchange/before/      what was there, until the next exchange
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from appliance.core.durable import sync_folder

HOME: Final = "exchange"
NEW, BEFORE, PLAN = "new", "before", "plan.json"
#: Entries that stay where they are: the exchange itself, a socket, the book of starts, what is only for this moment.
STAYS: Final = frozenset({HOME, "admin.sock", "starts.json", "box"})
#: So many starts may end before the new content counts as one that does not run.
MOST_TRIALS: Final = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, or was.

    Attributes:
        phase: "ready": to be done at the next start; "filling": what was there is aside, the new content is being moved in;
            "trial": done, and not yet known to run; "done": it ran; "returned": it did not run, and the old content is back.
        about: one sentence for people.
        trials: starts since it was done.
        returns: it brings content back that was there before.
    """

    phase: Literal["ready", "filling", "trial", "done", "returned"]
    about: str
    trials: int = 0
    returns: bool = False


class Exchange:
    """The exchange of one state folder."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.home = state_dir / HOME
        self.new = self.home / NEW
        self.before = self.home / BEFORE

    def plan(self) -> Plan | None:
        """What is written there; None when there is nothing, or it makes no sense."""
        try:
            value: dict[str, Any] = json.loads((self.home / PLAN).read_text(encoding="utf-8"))
            return Plan(value["phase"], str(value["about"]), int(value["trials"]), value["returns"] is True)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def clear(self) -> Path:
        """An empty `new`, to be filled; a plan that was not done yet is forgotten.

        Raises:
            OSError: it cannot be made.
        """
        if (plan := self.plan()) is not None and plan.phase == "ready":
            (self.home / PLAN).unlink()
        shutil.rmtree(self.new, ignore_errors=True)
        self.new.mkdir(mode=0o700, parents=True)
        return self.new

    def arrange(self, about: str) -> None:
        """Let the next start take what lies in `new`; durable when this returns.

        Raises:
            OSError: it cannot be written.
        """
        _sync_tree(self.new)
        shutil.rmtree(self.before, ignore_errors=True)
        self._write(Plan("ready", about))

    def arrange_return(self) -> bool:
        """Let the next start take the content from before; False when there is none."""
        if not self.before.is_dir():
            return False
        about = plan.about if (plan := self.plan()) else "an exchange"
        self.clear().rmdir()
        self.before.rename(self.new)
        self._write(Plan("ready", about, returns=True))
        return True

    def begin(self) -> Plan | None:
        """At a start, before anything is opened: do what is to be done; what the plan says now.

        Raises:
            OSError: an entry cannot be moved. Nothing may be opened then; the next start goes on where this one stopped.
        """
        plan = self.plan()
        if plan is None or plan.phase in ("done", "returned"):
            return plan
        if plan.phase == "trial" and plan.trials >= MOST_TRIALS and self.arrange_return():
            plan = replace(plan, phase="ready", returns=True)
            self._write(plan)  # with the trials: nobody asked for this return
        if plan.phase == "ready":
            self._move_out()
            plan = replace(plan, phase="filling")
            self._write(plan)
        if plan.phase == "filling":
            self._move_in()
            if plan.returns:
                plan = replace(plan, phase="returned")
                self._write(plan)
                shutil.rmtree(self.before, ignore_errors=True)
                return plan
            plan = replace(plan, phase="trial")
        plan = replace(plan, trials=plan.trials + 1)
        self._write(plan)
        return plan

    def settled(self) -> None:
        """The new content runs."""
        plan = self.plan()
        if plan is not None and plan.phase == "trial":
            with contextlib.suppress(OSError):
                self._write(replace(plan, phase="done"))

    def forget(self) -> None:
        """No way back any more: its room is free again."""
        shutil.rmtree(self.home, ignore_errors=True)

    def _move_out(self) -> None:
        """What is there, aside. May be done again at any point: what was moved is not there any more."""
        self.before.mkdir(mode=0o700, exist_ok=True)
        for path in sorted(self.state_dir.iterdir()):
            if path.name not in STAYS:
                path.rename(self.before / path.name)
        _sync(self.before)
        _sync(self.state_dir)

    def _move_in(self) -> None:
        """The new content, in. May be done again at any point: what was moved is not in its old place any more."""
        if self.new.is_dir():
            for path in sorted(self.new.iterdir()):
                if path.name not in STAYS:
                    path.rename(self.state_dir / path.name)
        _sync(self.state_dir)
        shutil.rmtree(self.new, ignore_errors=True)

    def _write(self, plan: Plan) -> None:
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self.home / f"{PLAN}.new"
        with fresh.open("w", encoding="utf-8") as out:
            json.dump(asdict(plan), out)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(self.home / PLAN)
        _sync(self.home)


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        elif path.is_dir():
            _sync(path)
    _sync(folder)


def _sync(folder: Path) -> None:
    with contextlib.suppress(OSError):
        sync_folder(folder)
