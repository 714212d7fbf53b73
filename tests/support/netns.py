"""Network namespaces for one test: made, wired, and gone afterwards whatever happened."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.support.programs import need, need_netns

#: Interface names hold 15 characters and are unique in the parent namespace, so all names here are short and counted.
_counter = itertools.count()
_NAME = re.compile(r"tb(\d+)n\d+")


def _ip(*arguments: str) -> str:
    done = subprocess.run([need("ip"), *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


class Namespace:
    """One namespace with its loopback up.

    Attributes:
        name: as `ip netns` knows it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._started: list[subprocess.Popen[Any]] = []

    def command(self, argv: Sequence[str]) -> list[str]:
        """`argv` so that it runs inside, whoever starts it."""
        return [need("ip"), "netns", "exec", self.name, *argv]

    def run(
        self, *argv: str, timeout_s: float = 30.0, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a program inside to its end, its output as text."""
        return subprocess.run(
            self.command(argv),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=check,
            stdin=subprocess.DEVNULL,
        )

    def start(self, *argv: str, **popen: Any) -> subprocess.Popen[Any]:
        """Start a program inside; it is ended with the namespace."""
        popen.setdefault("stdin", subprocess.DEVNULL)
        process = subprocess.Popen(self.command(argv), **popen)
        self._started.append(process)
        return process

    def address(self, interface: str, *prefixes: str) -> None:
        """Give `interface` addresses such as "10.9.0.1/24" or "fd00::1/64" and bring it up."""
        for prefix in prefixes:
            # nodad: an IPv6 address is of no use while duplicate detection still looks for a second one
            flags = ["nodad"] if ":" in prefix else []
            _ip("-n", self.name, "address", "add", prefix, "dev", interface, *flags)
        _ip("-n", self.name, "link", "set", interface, "up")

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread (and sockets it opens) lives inside meanwhile; other threads do not move."""
        here, there = Path("/proc/thread-self/ns/net"), Path("/run/netns", self.name)
        with here.open("rb") as home, there.open("rb") as inside:
            _setns(inside.fileno())
            try:
                yield
            finally:
                _setns(home.fileno())

    def close(self) -> None:
        """End what was started here and delete the namespace."""
        for process in self._started:
            if process.poll() is None:
                process.terminate()
        for process in self._started:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        # Daemons that went to the background are ours all the same: they live in our namespace.
        for pid in _ip("netns", "pids", self.name).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        _ip("netns", "delete", self.name)


def _setns(descriptor: int) -> None:
    # os.setns came with Python 3.12
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, 0x40000000) != 0:  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "setns")


class Network:
    """What a test builds: `with network() as net: a, b = net.namespace(), net.namespace(); net.link(...)`."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()

    def namespace(self) -> Namespace:
        """A new namespace, with loopback up and nothing else."""
        name = f"tb{os.getpid()}n{next(_counter)}"
        _ip("netns", "add", name)
        made = Namespace(name)
        self._stack.callback(made.close)
        _ip("-n", name, "link", "set", "lo", "up")
        return made

    def link(
        self, left: Namespace, right: Namespace, left_prefixes: Sequence[str], right_prefixes: Sequence[str]
    ) -> tuple[str, str]:
        """A cable between two namespaces; returns the two interface names."""
        number = next(_counter)
        ends = (f"tb{os.getpid()}a{number}", f"tb{os.getpid()}b{number}")
        _ip(
            "-n",
            left.name,
            "link",
            "add",
            ends[0],
            "type",
            "veth",
            "peer",
            "name",
            ends[1],
            "netns",
            right.name,
        )
        left.address(ends[0], *left_prefixes)
        right.address(ends[1], *right_prefixes)
        return ends

    def switch(self, ports: Sequence[tuple[Namespace, Sequence[str]]]) -> Namespace:
        """All `ports` (namespace, prefixes) on one Ethernet, joined by a bridge in a namespace of its own."""
        middle = self.namespace()
        _ip("-n", middle.name, "link", "add", "bridge", "type", "bridge")
        _ip("-n", middle.name, "link", "set", "bridge", "up")
        for space, prefixes in ports:
            _, inner = self.link(space, middle, prefixes, ())
            _ip("-n", middle.name, "link", "set", inner, "master", "bridge")
        return middle

    def close(self) -> None:
        self._stack.close()


def _sweep() -> None:
    """Delete what a killed test run of earlier left: namespaces named after a process that is no more."""
    folder = Path("/run/netns")
    for entry in folder.iterdir() if folder.is_dir() else ():
        match = _NAME.fullmatch(entry.name)
        if match and not Path(f"/proc/{match[1]}").exists():
            with contextlib.suppress(RuntimeError):
                Namespace(entry.name).close()


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """Namespaces for the length of a `with` block."""
    need_netns()
    _sweep()
    made = Network()
    try:
        yield made
    finally:
        made.close()
