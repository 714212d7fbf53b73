"""Two slots, tries left for each, and the one that was good last: a pure model of what the boot loader does.

The scripts of GRUB and U-Boot in `images/boot/` do what `power_up` does here; everything else is done by the running system.
Rules that must never break, whatever the order of starts, panics, updates and power cuts:

- a slot that was marked good is never counted down;
- a slot that is being written to is never started by itself;
- something is always started, and it is one that was good when all others are used up.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

#: As RAUC and the variables of the boot loaders call them; the kernel's command line has them in lower case.
SLOTS = ("A", "B")
#: So often a new system may start before it has proved itself.
TRIES = 3


class WouldStrand(Exception):
    """What was asked for would leave no system that is known to start."""


@dataclass(frozen=True, slots=True)
class Slot:
    """What the boot loader knows of one slot.

    Attributes:
        tries_left: starts that it is still given; 0: it is not started.
        good: it has proved itself; it is not counted.
    """

    tries_left: int = 0
    good: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.tries_left <= TRIES:
            raise ValueError(f"tries left: {self.tries_left}, expected 0 to {TRIES}")

    @property
    def starts(self) -> bool:
        return self.good or self.tries_left > 0


@dataclass(frozen=True, slots=True)
class BootState:
    """All that is kept.

    Attributes:
        order: which slot is asked first.
        slots: by name.
        last_good: the slot that proved itself last, for when none may be started any more.
    """

    order: tuple[str, str] = SLOTS
    slots: dict[str, Slot] = field(default_factory=lambda: {"A": Slot(TRIES, good=True), "B": Slot()})
    last_good: str = "A"

    def __post_init__(self) -> None:
        if (
            sorted(self.order) != list(SLOTS)
            or sorted(self.slots) != list(SLOTS)
            or self.last_good not in SLOTS
        ):
            raise ValueError(f"no state of two slots: {self.order}, {self.slots}, {self.last_good!r}")

    def with_slot(self, name: str, slot: Slot) -> BootState:
        return replace(self, slots={**self.slots, name: slot})


def other(name: str) -> str:
    """The other slot."""
    return "B" if name == "A" else "A"


def lost(last_good: str) -> BootState:
    """What is left when the state cannot be read: the slot that was good last, alone."""
    return BootState(
        (last_good, other(last_good)), {last_good: Slot(TRIES, good=True), other(last_good): Slot()}, last_good
    )  # fmt: skip


def power_up(state: BootState) -> tuple[str, BootState]:
    """What the boot loader starts, and what it has written before it does."""
    for name in state.order:
        slot = state.slots[name]
        if slot.good:
            return name, state
        if slot.tries_left:
            return name, state.with_slot(name, replace(slot, tries_left=slot.tries_left - 1))
    return state.last_good, state


def mark_good(state: BootState, name: str) -> BootState:
    """It has proved itself: full tries, never counted from now on, and the one to come back to."""
    return replace(state.with_slot(name, Slot(TRIES, good=True)), last_good=name)


def mark_bad(state: BootState, name: str) -> BootState:
    """It is not started by itself any more. When it was the last good one it stays the last resort, unless the other is good."""
    after = state.with_slot(name, Slot())
    return replace(after, last_good=other(name)) if state.slots[other(name)].good else after


def begin_install(state: BootState, name: str) -> BootState:
    """Before the first byte of a slot is overwritten.

    Raises:
        WouldStrand: the other one has not proved itself, so that nothing would be left to come back to.
    """
    if not state.slots[other(name)].good:
        raise WouldStrand(
            f"slot {name} cannot be written: slot {other(name)} has not proved itself, and nothing would be left to start"
        )
    return replace(mark_bad(state, name), order=(other(name), name))


def activate(state: BootState, name: str) -> BootState:
    """Start this one next; one that has not proved itself gets its tries."""
    slot = state.slots[name]
    return replace(
        state.with_slot(name, replace(slot, tries_left=TRIES)), order=(name, other(name))
    )  # fmt: skip
