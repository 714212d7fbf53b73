"""The way to chronyd: its UDP command port on loopback, or else its Unix socket. Questions in, replies out."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appliance.wire.errors import WireError
from appliance_clock.chrony import Command, Reply, pack_request, parse_reply

_ATTEMPTS = 3
_MAX_REPLY = 1024
_number = itertools.count(1)


class ChronyUnreachable(Exception):
    """No reply from chronyd; the message says what was tried."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where chronyd may answer.

    Attributes:
        address, port: of its command port (`cmdport`), on loopback.
        socket_path: its Unix socket (`bindcmdaddress /...`), or "".
    """

    address: str = "127.0.0.1"
    port: int = 323
    socket_path: str = "/run/chrony/chronyd.sock"


class ChronyLink:
    """Asks chronyd. The command port needs no privilege and is tried first; the Unix socket when that is silent.

    Attributes:
        transport: what answered last: "udp", "unix" or "".
    """

    def __init__(
        self, door: Door, *, sequence: Callable[[], int], timeout_s: float = 1.0, attempts: int = _ATTEMPTS
    ) -> None:
        """Open nothing yet.

        Args:
            door: where chronyd may answer.
            sequence: gives 32 fresh random bits.
            timeout_s: wait for each attempt.
            attempts: how often a question is put on each way before it counts as unanswered.
        """
        self.door = door
        self.transport = ""
        self._sequence = sequence
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._open: socket.socket | None = None
        self._own_path: Path | None = None
        # One question at a time: replies are matched by sequence, and what belongs to nobody is thrown away.
        self._turn = asyncio.Lock()

    async def ask(self, command: Command, data: bytes = b"") -> Reply:
        """The reply, which may be a refusal.

        Raises:
            ChronyUnreachable: no way led to a reply.
        """
        async with self._turn:
            tried: list[str] = []
            for transport in ("unix", "udp") if self.transport == "unix" else ("udp", "unix"):
                if transport == "unix" and not self.door.socket_path:
                    continue
                try:
                    reply = await self._ask_on(transport, command, data)
                except OSError as error:
                    self._hang_up()
                    tried.append(f"{self._where(transport)}: {_reason(error)}")
                else:
                    self.transport = transport
                    return reply
            self.transport = ""
            raise ChronyUnreachable("chronyd does not answer (" + "; ".join(tried) + ")")

    def close(self) -> None:
        """Close the socket and remove our end of it from the file system."""
        self._hang_up()
        self.transport = ""

    async def _ask_on(self, transport: str, command: Command, data: bytes) -> Reply:
        if self._open is None or transport != self.transport:
            self._hang_up()
            self._open = self._connect_udp() if transport == "udp" else self._connect_unix()
        sequence = self._sequence()
        loop = asyncio.get_running_loop()
        for attempt in range(self._attempts):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._timeout_s):
                    await loop.sock_sendall(
                        self._open, pack_request(command, sequence, attempt=attempt, data=data)
                    )
                    while True:
                        packet = await loop.sock_recv(self._open, _MAX_REPLY)
                        with contextlib.suppress(WireError):  # a late reply to an earlier question
                            return parse_reply(packet, command, sequence)
        raise TimeoutError(f"silent for {self._attempts * self._timeout_s:g} s")

    def _connect_udp(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.door.address else socket.AF_INET
        udp = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            udp.connect((self.door.address, self.door.port))
        except OSError:
            udp.close()
            raise
        return udp

    def _connect_unix(self) -> socket.socket:
        """Chronyd replies to a path, so we need one of our own that its user may write to: beside its own socket."""
        own = Path(self.door.socket_path).with_name(f"timeball.{os.getpid()}.{next(_number)}.sock")
        unix = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            own.unlink(missing_ok=True)  # left by a killed process that had our number
            unix.bind(str(own))
            self._own_path = own
            # chronyd runs as another user and must write here; the folder keeps everybody else out (chronyc does the same)
            own.chmod(0o666)
            unix.connect(self.door.socket_path)
        except OSError:
            unix.close()
            self._remove_own_path()
            raise
        return unix

    def _hang_up(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
        self._remove_own_path()

    def _remove_own_path(self) -> None:
        if self._own_path is not None:
            with contextlib.suppress(OSError):
                self._own_path.unlink()
            self._own_path = None

    def _where(self, transport: str) -> str:
        if transport == "unix":
            return self.door.socket_path
        host = f"[{self.door.address}]" if ":" in self.door.address else self.door.address
        return f"UDP {host}:{self.door.port}"


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
