"""A root shell in the machine, for what cannot be done from outside: setting a clock, filling a disk, freezing the system.

How it is opened stands in `door`; a machine has it when its hardware says `door=True`.
"""

from __future__ import annotations

import dataclasses
import re
import secrets
import time
from typing import Self

from images.testing.machine import Machine, Waited


@dataclasses.dataclass(frozen=True)
class Done:
    """Exit code and output of a command."""

    code: int
    said: str


class Shell:
    """The shell of one running machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._line = machine.line_inside()
        self._heard = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up, so that another can speak."""
        self._line.close()

    def ready(self, within_s: float = 300) -> Shell:
        """Wait until it answers."""
        self._machine.until(self._there, within_s, "the shell inside answers", alive=True)
        return self

    def _there(self) -> bool:
        try:
            return self.run("echo there", within_s=10).said.strip().endswith("there")
        except Waited:
            return False
        except OSError:  # a forwarded port is closed again when nobody listens inside
            self._line.close()
            self._line = self._machine.line_inside()
            return False

    def run(self, command: str, *, within_s: float = 120) -> Done:
        """Run one command line; its output without the echo.

        Raises:
            Waited: it does not end.
            OSError: nobody is at the other end.
        """
        mark = secrets.token_hex(8)
        # The echo shows the words in two pieces, so that only the output has the whole mark.
        self._line.sendall(
            f"stty -echo 2>/dev/null; echo {mark[:8]}''{mark[8:]}; {{ {command}\n}} 2>&1; echo {mark[8:]}''{mark[:8]} $?\n".encode()
        )
        end_s = time.monotonic() + within_s
        pattern = re.compile(rf"{mark}\r?\n(.*?){mark[8:]}{mark[:8]} (\d+)", re.DOTALL)
        while not (found := pattern.search(self._heard)):
            if time.monotonic() > end_s or not self._machine.runs:
                raise Waited(f"inside, this does not end: {command}\n    {self._heard[-600:]}")
            try:
                more = self._line.recv(65536)
            except TimeoutError:
                continue
            if not more:
                raise ConnectionResetError("the line to the shell inside was closed")
            self._heard += more.decode(errors="replace")
        self._heard = self._heard[found.end() :]
        return Done(int(found[2]), found[1].replace("\r", ""))

    def must(self, command: str, *, within_s: float = 120) -> str:
        """The output of a command that has to succeed."""
        done = self.run(command, within_s=within_s)
        if done.code:
            raise AssertionError(f"inside: {command}: exit code {done.code}\n{done.said}")
        return done.said.strip()

    def send(self, command: str) -> None:
        """Start something that does not come back."""
        self._line.sendall(f"{command}\n".encode())


#: Tells one start from another.
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


def started_anew(machine: Machine, before: str, within_s: float = 900) -> Shell:
    """The shell of the next start; `before` is what BOOT_ID printed in the last one."""
    fresh: list[Shell] = []

    def again() -> bool:
        shell = Shell(machine)
        try:
            shell.ready(30)
            done = shell.run(BOOT_ID, within_s=30)
        except (OSError, Waited):
            shell.close()
            return False
        if done.code == 0 and done.said.strip() != before:
            fresh.append(shell)
        else:
            shell.close()
        return bool(fresh)

    machine.until(again, within_s, "the machine has restarted", alive=True, every_s=2)
    return fresh[0]


#: What a kernel says that was emulated too slowly in its first moments: it hangs soon after, or a Pi's USB brings no network. No
#: such thing on real machines.
_STILLBORN = ("8254 timer not connected", ".usb: Not connected")


def begin(machine: Machine, within_s: float = 900) -> Machine:
    """Switch a machine on and wait until its console has something to say about Timeball."""
    for _ in range(6):
        machine.start()
        machine.until(
            lambda: _stillborn(machine) or "timeball address" in machine.said() or "timeball setup" in machine.said(),
            within_s, "the console speaks of Timeball", alive=True,
        )  # fmt: skip
        if not _stillborn(machine):
            return machine
        machine.cut()
    raise Waited("this machine is too busy to emulate another one")


def _stillborn(machine: Machine) -> bool:
    return any(words in machine.said() for words in _STILLBORN)


def inside(machine: Machine, command: str, within_s: float = 180) -> str:
    """What one command prints, whatever its exit code; waits for the shell to be there."""
    with Shell(machine).ready(900) as shell:
        return shell.run(command, within_s=within_s).said.strip()
