"""Real programs that tests talk to. What is missing is said with the command that installs it, never passed over.

Under `CI=true` a missing program fails the test: everything was installed there. On somebody's own machine the test is
skipped with the reason, which `make test` prints.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PEERS = REPOSITORY / "packaging" / "test-peers.txt"
#: Servers live in sbin, which is not on the path of an ordinary user.
SEARCH_PATH = os.pathsep.join(
    [os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/lib/timeball-peers/bin"]
)


def in_ci() -> bool:
    """Whether everything that a test may want was installed beforehand."""
    return os.environ.get("CI") == "true"


def fuzz_packets() -> int:
    """How many damaged packets a slow test sends: TIMEBALL_FUZZ_PACKETS, else a million."""
    return int(os.environ.get("TIMEBALL_FUZZ_PACKETS", "1000000"))


def cannot_run(reason: str) -> NoReturn:
    """This test cannot run here: a failure in CI, a skip with the reason elsewhere."""
    if in_ci():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def peer_packages() -> dict[str, tuple[str, ...]]:
    """Programs by Debian package, from packaging/test-peers.txt."""
    packages: dict[str, tuple[str, ...]] = {}
    for line in PEERS.read_text(encoding="utf-8").splitlines():
        match = re.match(r"([a-z0-9][a-z0-9.+-]+)\s*(?:#\s*(.*))?$", line)
        if match:
            programs = (match[2] or "").partition(":")[0]
            packages[match[1]] = tuple(name.strip() for name in programs.split(",") if name.strip())
    return packages


@functools.cache
def npm_modules(name: str) -> Path:
    """The modules that `packaging/NAME` pins, fetched with npm; a test that lacks them cannot run."""
    spec = importlib.util.spec_from_file_location("timeball_npm", REPOSITORY / "packaging" / "npm.py")
    assert spec is not None
    assert spec.loader is not None
    npm = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(npm)
    try:
        return Path(npm.fetch(name))
    except npm.NotFetched as error:
        cannot_run(f"{error}; packaging/{name} is fetched with npm: sudo make peers")


def need(program: str) -> str:
    """The path of `program`, which may stand in a folder for administrators.

    Fails in CI, and skips elsewhere, with the sentence how to install it.
    """
    found = shutil.which(program, path=SEARCH_PATH)
    if found:
        return found
    package = next((name for name, programs in peer_packages().items() if program in programs), None)
    source = f"Debian package {package}" if package else "add its package to packaging/test-peers.txt"
    cannot_run(f"{program} is not installed; run: sudo make peers ({source})")


@functools.cache
def _why_no_namespaces() -> str | None:
    if os.geteuid() != 0:
        return "network namespaces need root; run: sudo make test"
    ip = need("ip")
    name = f"tb{os.getpid()}probe"
    made = subprocess.run([ip, "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return f"network namespaces cannot be made here: {made.stderr.strip()}"
    subprocess.run([ip, "netns", "delete", name], check=True)
    return None


def need_netns() -> None:
    """Go on only where network namespaces can be made (root, and a kernel that lets us)."""
    reason = _why_no_namespaces()
    if reason:
        cannot_run(reason)


def need_root() -> None:
    """Go on only as root."""
    if os.geteuid() != 0:
        cannot_run("this needs root; run: sudo make test")


#: Ports handed out by this process; the kernel likes to give the same one twice in a row.
_handed_out: set[int] = set()


def free_port(host: str = "127.0.0.1", *, tcp: bool = True) -> int:
    """A port that is free for UDP and (unless told otherwise) TCP on `host` right now, and not handed out before."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(200):
        with socket.socket(family, socket.SOCK_DGRAM) as udp:
            udp.bind((host, 0))
            port: int = udp.getsockname()[1]
            if port in _handed_out:
                continue
            if tcp:
                with socket.socket(family, socket.SOCK_STREAM) as stream:
                    try:
                        stream.bind((host, port))
                    except OSError:
                        continue
            _handed_out.add(port)
            return port
    raise RuntimeError(f"no free port on {host}")
