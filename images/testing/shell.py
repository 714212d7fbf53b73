"""A root shell in a machine under test, on a second serial port. The image is the one that people get.

The hypervisor hands the unit over as a systemd credential (SMBIOS type 11; systemd.system-credentials(7), "systemd.extra-unit.").
"""

from __future__ import annotations

import base64
import secrets
import socket
import time
from collections.abc import Mapping
from pathlib import Path

PORT = "ttyS1"
_UNIT = f"""[Unit]
Description=Shell of a test
DefaultDependencies=no
After=sysinit.target
[Service]
ExecStart=/bin/sh
StandardInput=tty
StandardOutput=tty
StandardError=tty
TTYPath=/dev/{PORT}
Environment=TERM=dumb PS1= HISTFILE= LC_ALL=C.UTF-8
Restart=always
"""
_DROP_IN = "[Unit]\nWants=timeball-test-shell.service\n"
CREDENTIALS: Mapping[str, str] = {
    "systemd.extra-unit.timeball-test-shell.service": _UNIT,
    "systemd.unit-dropin.sysinit.target": _DROP_IN,
}


class NoAnswer(Exception):
    """The shell did not answer in time."""


class Shell:
    """Runs commands one after the other.

    Args:
        line: the UNIX socket of the serial port.
    """

    def __init__(self, line: Path) -> None:
        self._line = line

    def run(self, command: str, within_s: float = 120) -> str:
        """What a command printed (both streams). Its exit code is ignored: say `|| echo failed`.

        Raises:
            NoAnswer: nothing in time.
        """
        mark = secrets.token_hex(8)
        end_s = time.monotonic() + within_s
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(5)
            line.connect(str(self._line))
            # The mark in two halves: what a terminal echoes is not yet the end.
            asked = f"stty -echo 2>/dev/null\n{command}\necho; echo {mark[:8]}''{mark[8:]}\n"
            line.sendall(asked.encode())
            said = b""
            while mark.encode() not in said:
                if time.monotonic() > end_s:
                    raise NoAnswer(f"{command!r}: no answer in {within_s:.0f} s; so far: {said[-300:]!r}")
                try:
                    said += line.recv(65536)
                except TimeoutError:
                    continue
        text = said.decode(errors="replace").replace("\r", "")
        lines = text[: text.index(mark)].split("\n")
        # Echoes of the first command, before the terminal was told not to.
        return "\n".join(line for line in lines if mark[:8] not in line and "stty -echo" not in line).strip(
            "\n"
        )


def smbios(credentials: Mapping[str, str]) -> list[str]:
    """QEMU's words that hand credentials over, whatever is in them."""
    words = []
    for name, value in credentials.items():
        coded = base64.b64encode(value.encode()).decode()
        words += ["-smbios", f"type=11,value=io.systemd.credential.binary:{name}={coded}"]
    return words
