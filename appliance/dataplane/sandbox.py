"""Whether packet threads are confined: no privileges, and no system calls but those that packets need (ADR 9)."""

from __future__ import annotations

from typing import NamedTuple


class Sandbox(NamedTuple):
    """What a service's packet threads are confined to.

    Attributes:
        on: all of it is in force, in every thread.
        why: why not; empty when it is.
    """

    on: bool
    why: str = ""

    def __str__(self) -> str:
        return "in force" if self.on else f"not in force: {self.why}"


#: As the native plane says it.
SWITCHED_OFF = Sandbox(on=False, why="switched off")

#: The interpreter needs whatever Python code needs, and its threads share one lock and one heap.
IN_PYTHON = Sandbox(on=False, why="the Python plane runs inside the interpreter")
