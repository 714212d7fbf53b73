"""The whole appliance as a process of its own, with simulated members in another that is not counted: for benchmarks of the whole."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from _common import ROOT


@dataclass(frozen=True, slots=True)
class Box:
    """What listens where, on 127.0.0.1, and who is in the pool.

    Attributes:
        ntp, dns: UDP ports.
        web: TCP port of the pages, without HTTPS. Whoever asks may run the pool.
        members: UDP port of all members.
        addresses: of the members.
    """

    ntp: int
    dns: int
    web: int
    members: int
    addresses: tuple[str, ...]

    @contextlib.contextmanager
    def running(self, folder: Path, config: str = "", web: str = "") -> Iterator[subprocess.Popen[bytes]]:
        """The appliance with its state in `folder`.

        Args:
            folder: an empty one, or that of a run before.
            config: more tables of the configuration file.
            web: more of its table [plugins.web].
        """
        entries = "".join(
            f'[[plugins.members.member]]\naddress = "{address}"\nport = {self.members}\n'
            for address in self.addresses
        )
        file = folder / "config.toml"
        file.write_text(
            f'[appliance]\nstate_dir = "{folder}"\n[plugins.clock]\nsource = "local"\n'
            f'[plugins.ntp]\nlisten = ["127.0.0.1:{self.ntp}"]\n[plugins.dns]\nlisten = ["127.0.0.1:{self.dns}"]\n'
            f'[plugins.web]\nlisten = "127.0.0.1:{self.web}"\ntrust_loopback = "operate"\n{web}{config}{entries}',
            encoding="utf-8",
        )
        command = [str(Path(sys.executable).with_name("timeball")), "run", "--config", str(file)]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT
        ) as child:
            try:
                yield child
            finally:
                child.send_signal(signal.SIGTERM)
                child.wait(15)

    @contextlib.contextmanager
    def simulated(self) -> Iterator[None]:
        """The members, all good."""
        spec = {"port": self.members, "members": [{"address": address} for address in self.addresses]}
        command = [sys.executable, "-m", "appliance_demo.simulator", json.dumps(spec)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as child:
            assert child.stdout is not None
            told = child.stdout.readline()
            assert json.loads(told)["members"] == len(self.addresses), "the simulated members did not start"
            try:
                yield
            finally:
                child.terminate()
                child.wait(10)

    def until_all_are_in(self) -> http.client.HTTPConnection:
        """A connection, once every member is in the pool: one whose members are new or silent costs something else."""
        for _ in range(600):
            connection = http.client.HTTPConnection("127.0.0.1", self.web, timeout=10)
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection.request("GET", "/api/v1/members")
                if connection.getresponse().read().count(b'"in_pool":true') >= len(self.addresses):
                    return connection
            connection.close()
            time.sleep(1.0)  # noqa: TID251 - between two looks
        raise SystemExit("the members were not all in the pool within ten minutes")


def box(addresses: tuple[str, ...]) -> Box:
    """One on ports that are free now."""
    with contextlib.ExitStack() as stack:
        kinds = (socket.SOCK_DGRAM, socket.SOCK_DGRAM, socket.SOCK_STREAM, socket.SOCK_DGRAM)
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, kind)) for kind in kinds]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        ntp, dns, web, members = (int(sock.getsockname()[1]) for sock in sockets)
    return Box(ntp, dns, web, members, addresses)
