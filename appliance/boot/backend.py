"""RAUC's view of the boot loader (its "custom" backend): `python3 -m appliance.boot.backend COMMAND [SLOT] [STATE]`.

RAUC asks for get-primary, set-primary, get-state, set-state and get-current. It says "bad" of a slot before it writes to it,
which is where ours refuses when the other one could not be started.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from appliance.boot.keeping import BootPartition, NoState, running_slot
from appliance.boot.scheme import SLOTS, WouldStrand, activate, begin_install, mark_good


def answer(partition: BootPartition, arguments: Sequence[str], command_line: str) -> str:
    """What RAUC shall read on standard output.

    Raises:
        ValueError: it asked for something that there is not.
        NoState, WouldStrand, OSError: it cannot be done.
    """
    match list(arguments):
        case ["get-primary"]:
            state, _ = partition.read()
            return next((name for name in state.order if state.slots[name].starts), state.last_good)
        case ["get-current"]:
            return running_slot(command_line)
        case ["get-state", name] if name in SLOTS:
            return "good" if partition.read()[0].slots[name].starts else "bad"
        case ["set-primary", name] if name in SLOTS:
            partition.change(lambda state: activate(state, name))
        case ["set-state", name, "good"] if name in SLOTS:
            partition.change(lambda state: mark_good(state, name))
        case ["set-state", name, "bad"] if name in SLOTS:
            partition.change(lambda state: begin_install(state, name))
        case _:
            raise ValueError(f"unknown: {' '.join(arguments)}")
    return ""


def main() -> int:
    try:
        said = answer(BootPartition(), sys.argv[1:], Path("/proc/cmdline").read_text(encoding="ascii"))
    except (ValueError, NoState, WouldStrand, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if said:
        sys.stdout.write(f"{said}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
