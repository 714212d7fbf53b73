"""What an agent with root's rights does for the service, which has none: typed actions, and the service that asks for them.

The agent (`python -m appliance_box.agent`) knows a closed list of actions. An action is a value: its name, a model of its
arguments, and a function that does it. The function gets a `Call` and nothing else, so that it runs against a folder
that plays the root of the file system, and with programs that only write down what they were asked.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict


class Arguments(BaseModel):
    """Base of the arguments of an action: unknown ones are mistakes, nothing is guessed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AgentRefusal(Exception):
    """An action was not done; nothing was changed unless the message says so.

    Attributes:
        code: stable word for programs.
        message: what was wrong, for people.
        remedy: what they can do.
    """

    def __init__(self, code: str, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a program: its exit status and what it said, both streams together and cut to a sane length."""

    status: int
    said: str


class Runs(Protocol):
    """Runs a program of the system and waits for it."""

    def __call__(self, *command: str, timeout_s: float = 30.0, most_bytes: int = 65536) -> Ran:
        """Status 127 when there is no such program, 124 when it took longer than `timeout_s`."""
        ...


def run_program(*command: str, timeout_s: float = 30.0, most_bytes: int = 65536) -> Ran:
    """`Runs` for real: no shell, a fixed search path, nothing on standard input."""
    clean = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(  # noqa: S603 - the words are ours, the arguments were checked by a model
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clean,
            timeout=timeout_s, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        return Ran(127, f"{command[0]} is not there")
    except subprocess.TimeoutExpired:
        return Ran(124, f"{command[0]} took longer than {timeout_s:.0f} s")
    return Ran(done.returncode, done.stdout[:most_bytes].decode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class Call:
    """One use of an action.

    Attributes:
        root: root of the file system: every path is below it.
        program: runs programs of the system.
        progress: tells who waits how far it is: any JSON-able values, such as {"done": 0.4, "doing": "..."}.
        peer: who asked, for the log: "timeball (pid 812)".
    """

    root: Path
    program: Runs
    progress: Callable[[Mapping[str, Any]], None]
    peer: str = ""

    def path(self, absolute: str) -> Path:
        """`absolute` below the root."""
        return self.root / absolute.lstrip("/")


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that the agent can do.

    Attributes:
        name: "area.verb", such as "power.restart".
        about: one line for people.
        run: does it, in a thread; returns JSON-able values. Raises AgentRefusal with the reason when it does not.
        arguments: what it takes.
        image_only: a plain Debian manages that itself: there the action is refused.
        together: may run while another action runs; without it, actions wait for each other.
        quiet: names of arguments that are not written to the log.
    """

    name: str
    about: str
    run: Callable[[Call, Any], Mapping[str, Any]]
    arguments: type[Arguments] = Arguments
    image_only: bool = False
    together: bool = False
    quiet: tuple[str, ...] = ()


class Agent(Protocol):
    """Asks the agent (plugin `box`)."""

    async def do(
        self,
        action: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        progress: Callable[[Mapping[str, Any]], None] | None = None,
        timeout_s: float = 60.0,
    ) -> Mapping[str, Any]:
        """Have one action done; its result.

        Args:
            action: its name.
            arguments: JSON-able.
            progress: called in the event loop with what the action tells meanwhile.
            timeout_s: longest silence that is waited through.

        Raises:
            AgentRefusal: it was not done, with the agent's own reason; code "no_agent" when there is none.
        """
        ...


def words(said: str, most: int = 400) -> str:
    """What a program said, as one line for people."""
    return " ".join(said.split())[:most]


__all__: Sequence[str] = (
    "Action",
    "Agent",
    "AgentRefusal",
    "Arguments",
    "Call",
    "Ran",
    "Runs",
    "run_program",
    "words",
)
