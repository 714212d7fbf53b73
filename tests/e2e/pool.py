"""`timeball run` as a user runs it: a child process with a configuration file, asked by its commands and over UDP alone."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.support.netns import Namespace
from tests.support.wait import wait_until

TIMEBALL = Path(sys.executable).with_name("timeball")


class Pool:
    """One appliance with its own state folder.

    Args:
        folder: for the configuration, the state and the log.
        config: text of the configuration file; `state_dir` is added.
        inside: the network namespace to run in.
    """

    def __init__(self, folder: Path, config: str, *, inside: Namespace | None = None) -> None:
        self.folder = folder
        self.state_dir = folder / "state"
        self.config = folder / "timeball.toml"
        self.config.write_text(f'[appliance]\nstate_dir = "{self.state_dir}"\n{config}', encoding="utf-8")
        self.log = folder / "timeball.log"
        self._inside = inside
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns at once."""
        command = [str(TIMEBALL), "run", "--config", str(self.config)]
        if self._inside is not None:
            command = self._inside.command(command)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder
            )

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._process = None

    def stop(self) -> tuple[int, float]:
        """SIGTERM; returns the exit code and how many seconds it took."""
        assert self._process is not None
        begun = time.monotonic()
        self._process.terminate()
        try:
            code = self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._process = None
        return code, time.monotonic() - begun

    def ask(self, *words: str) -> Any:
        """Run `timeball WORDS --json` against it and decode what it prints.

        Raises:
            AssertionError: it failed; the message holds what it said.
        """
        command = [str(TIMEBALL), *words, "--json", "--state-dir", str(self.state_dir)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, f"timeball {' '.join(words)}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    def try_ask(self, *words: str) -> Any:
        """The same, but None while it does not answer (yet)."""
        try:
            return self.ask(*words)
        except AssertionError:
            return None

    def get(self, path: str) -> Any:
        """GET an operation of the API over the admin socket: the same as the commands, without starting a process.

        Raises:
            OSError: it does not answer.
            AssertionError: it refuses.
        """
        connection = _OverUnix(str(self.state_dir / "admin.sock"))
        try:
            connection.request("GET", path)
            reply = connection.getresponse()
            said = reply.read()
        finally:
            connection.close()
        assert reply.status == 200, f"{path}: {reply.status} {said!r}"
        return json.loads(said)

    def members(self) -> dict[str, dict[str, Any]]:
        """All members, by address."""
        return {member["address"]: member for member in self.get("/api/v1/members")}

    def wait_ready(self) -> None:
        def ready() -> Any:
            assert self._process is not None
            assert self._process.poll() is None, f"timeball ended: {self.said()}"
            return self.try_ask("member", "list")

        wait_until(ready, "the appliance to answer its commands", timeout_s=40, interval_s=0.3)

    def said(self, last: int = 4000) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-last:] if self.log.exists() else ""

    def close(self) -> None:
        if self._process is not None:
            self.stop()


class _OverUnix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("timeball", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@contextlib.contextmanager
def running(pool: Pool) -> Iterator[Pool]:
    """The appliance for the length of a `with` block; what it logged is printed when the block fails."""
    pool.start()
    try:
        pool.wait_ready()
        yield pool
    except BaseException:
        sys.stdout.write(f"--- log of the appliance ---\n{pool.said(20_000)}\n")
        raise
    finally:
        pool.close()


# -- DNS, with nothing of the appliance's own code


@dataclass(frozen=True)
class Answer:
    """One reply, or the lack of one.

    Attributes:
        at: monotonic seconds when it came.
        rcode: None when nothing came.
    """

    at: float
    name: str
    rcode: int | None
    addresses: tuple[str, ...] = ()
    ttl_s: int | None = None


def encode_question(number: int, name: str, qtype: int) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split("."))
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", qtype, 1)


def decode_addresses(reply: bytes, qtype: int) -> tuple[int, list[str], int | None]:
    """Response code, addresses and TTL of a reply (RFC 1035 section 4.1)."""
    _, flags, questions, answers, _, _ = struct.unpack_from("!6H", reply)
    at = 12
    for _ in range(questions):
        at = _skip_name(reply, at) + 4
    addresses, ttl_s = [], None
    for _ in range(answers):
        at = _skip_name(reply, at)
        kind, _, ttl, length = struct.unpack_from("!2HIH", reply, at)
        data = reply[at + 10 : at + 10 + length]
        if kind == qtype:
            addresses.append(socket.inet_ntop(socket.AF_INET if qtype == 1 else socket.AF_INET6, data))
            ttl_s = ttl
        at += 10 + length
    return flags & 15, addresses, ttl_s


def _skip_name(packet: bytes, at: int) -> int:
    while packet[at]:
        if packet[at] >= 0xC0:
            return at + 2
        at += packet[at] + 1
    return at + 1


class Asker(threading.Thread):
    """Asks for names all the time, one question after the other, and keeps every answer.

    Args:
        server: address and port of the name server.
        names: asked in turn.
        qtype: 1 for A, 28 for AAAA.
        inside: the network namespace to ask from.
        pause_s: between two questions.
    """

    def __init__(
        self,
        server: tuple[str, int],
        names: Sequence[str],
        *,
        qtype: int = 1,
        inside: Namespace | None = None,
        pause_s: float = 0.02,
    ) -> None:
        super().__init__(name="asker", daemon=True)
        self._server = server
        self._names = names
        self._qtype = qtype
        self._inside = inside
        self._pause_s = pause_s
        self._ended = threading.Event()
        self.answers: list[Answer] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        with self._inside.entered() if self._inside else contextlib.nullcontext():
            asking = socket.socket(
                socket.AF_INET6 if ":" in self._server[0] else socket.AF_INET, socket.SOCK_DGRAM
            )
        with asking:
            asking.settimeout(0.5)
            number = 0
            while not self._ended.wait(self._pause_s):
                number += 1
                name = self._names[number % len(self._names)]
                self.answers.append(self._one(asking, number & 0xFFFF, name))

    def _one(self, asking: socket.socket, number: int, name: str) -> Answer:
        try:
            asking.sendto(encode_question(number, name, self._qtype), self._server)
            while True:
                reply = asking.recv(4096)
                if int.from_bytes(reply[:2], "big") == number:
                    break
        except OSError:
            return Answer(time.monotonic(), name, None)
        rcode, addresses, ttl_s = decode_addresses(reply, self._qtype)
        return Answer(time.monotonic(), name, rcode, tuple(addresses), ttl_s)

    def ever(self, since: float = 0.0) -> set[str]:
        """Every address that was answered since then."""
        return {
            address for answer in tuple(self.answers) if answer.at >= since for address in answer.addresses
        }

    def first(self, since: float) -> Answer | None:
        """The first reply since then that holds an address."""
        return next(
            (answer for answer in tuple(self.answers) if answer.at >= since and answer.addresses), None
        )

    def last_with(self, address: str) -> float | None:
        """When that address was answered for the last time."""
        return next(
            (answer.at for answer in reversed(tuple(self.answers)) if address in answer.addresses), None
        )


def own_loopback(number: int) -> str:
    """An address of 127/8 that tests in other processes do not use at the same time."""
    pid = os.getpid()
    return f"127.{100 + (pid >> 8) % 100}.{pid & 0xFF}.{number}"
