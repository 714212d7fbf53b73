"""A box that takes itself for an image: a folder that plays the root, and a real agent on a real socket that works in it."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.api.agent import Ran
from appliance_box import operations
from appliance_box.agent import box as box_actions
from appliance_box.agent.doing import Doing
from appliance_box.agent.known import known_actions
from appliance_box.agent.server import Server


class Machine:
    """The machine that the box runs on.

    Attributes:
        root: of its file system.
        ran: programs that the agent ran.
        config: of the plugin, so that it finds this agent.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ran: list[tuple[str, ...]] = []
        self.journal = ""
        self.config = f'\n[plugins.box]\nagent_socket = "{root / "agent.sock"}"\n'

    def program(self, *command: str, **_: object) -> Ran:
        self.ran.append(command)
        if command[-1] == "Describe":  # networkd, by busctl
            told = json.dumps(
                {"Interfaces": [{"Name": "wlan0", "Type": "wlan"}, {"Name": "eth0", "Type": "ether"}]}
            )
            return Ran(0, json.dumps({"type": "s", "data": [told]}))
        return Ran(0, self.journal if command[0] == "journalctl" else "")


@contextmanager
def machine(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """The machine, until the end of the block."""
    found = Machine(root)
    for name, text in {
        "usr/lib/timeball/image.toml": 'id = "timeball-vm-amd64"\nversion = "1.2.3"\nbuilt = 1700000000\ncompatible = "timeball-vm-amd64"\n',
        "run/timeball/slot": "a\n", "usr/share/zoneinfo/Etc/UTC": "TZif2", "usr/share/zoneinfo/Europe/Berlin": "TZif2",
        "sys/class/net/eth0/device/x": "", "sys/class/dmi/id/product_name": "Standard PC", "boot/x": "",
    }.items():  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setattr(operations, "ROOT", root)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(root / "agent.sock"))
    listener.listen(8)
    server = Server(listener, Doing(known_actions(), root, found.program), {os.getuid()}, None)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield found
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(60)
        if (waiting := box_actions._WAITING.pop(root, None)) is not None:
            waiting.end()
