"""The whole appliance: start to first NTP reply, and memory and processor time at rest with 50 members.

The members are simulated by a process of their own, which is not counted. `IDLE_SECONDS` says how long to look (default 30).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from _common import ROOT, Row, cpu_s, main, resident_bytes

MEMBERS = 50
STARTS = 5
SECONDS = float(os.environ.get("IDLE_SECONDS", "30"))
REQUEST = bytes([0x23]) + bytes(39) + b"timeball"


def ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(number)
        ]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


@contextlib.contextmanager
def members(port: int) -> Iterator[None]:
    """50 good servers on 127.0.2.1 to 127.0.2.50."""
    spec = {"port": port, "members": [{"address": "127.0.2.1", "count": MEMBERS}]}
    command = [sys.executable, "-m", "appliance_demo.simulator", json.dumps(spec)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        assert child.stdout is not None
        assert b'"members": 50' in child.stdout.readline(), "the simulated members did not start"
        try:
            yield
        finally:
            child.terminate()
            child.wait(10)


@contextlib.contextmanager
def appliance(
    folder: Path, ntp: int, dns: int, web: int, member_port: int
) -> Iterator[subprocess.Popen[bytes]]:
    entries = "".join(
        f'[[plugins.members.member]]\naddress = "127.0.2.{i}"\nport = {member_port}\n'
        for i in range(1, MEMBERS + 1)
    )
    config = folder / "config.toml"
    config.write_text(
        f'[appliance]\nstate_dir = "{folder}"\n[plugins.clock]\nsource = "local"\n'
        f'[plugins.ntp]\nlisten = ["127.0.0.1:{ntp}"]\n[plugins.dns]\nlisten = ["127.0.0.1:{dns}"]\n'
        f'[plugins.web]\nlisten = "127.0.0.1:{web}"\ntrust_loopback = "operate"\n{entries}'
    )
    command = [str(Path(sys.executable).with_name("timeball")), "run", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT) as child:
        try:
            yield child
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(10)


def first_reply(port: int) -> None:
    """Ask until somebody answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        while True:
            with contextlib.suppress(ConnectionError):
                sock.send(REQUEST)
                if select.select([sock], [], [], 0.01)[0] and len(sock.recv(100)) == 48:
                    return
            time.sleep(0.01)  # noqa: TID251 - between two looks


def start_s() -> float:
    ntp, dns, web, member_port = ports(4)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        with appliance(Path(folder), ntp, dns, web, member_port):
            first_reply(ntp)
            return time.perf_counter() - begun


def until_settled(web: int) -> None:
    """Wait until every member is in the pool: new ones are probed every few seconds, and that is no rest."""
    for _ in range(300):
        connection = http.client.HTTPConnection("127.0.0.1", web, timeout=10)
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/api/v1/members")
            if connection.getresponse().read().count(b'"in_pool":true') >= MEMBERS:
                break
        connection.close()
        time.sleep(2.0)  # noqa: TID251 - between two looks
    else:
        raise SystemExit("the members did not all come into the pool")
    connection.close()
    time.sleep(20)  # noqa: TID251 - nor is what was asked just now


def measure() -> Iterable[Row]:
    starts = sorted(start_s() for _ in range(STARTS))
    yield Row(
        "start to first NTP reply", f"{statistics.median(starts):.2f} s", "at most 2 s",
        note=f"{STARTS} runs, {starts[0]:.2f} to {starts[-1]:.2f}",
    )  # fmt: skip
    ntp, dns, web, member_port = ports(4)
    with (
        tempfile.TemporaryDirectory() as folder,
        members(member_port),
        appliance(Path(folder), ntp, dns, web, member_port) as child,
    ):
        until_settled(web)
        before_s, begun = cpu_s(child.pid), time.perf_counter()
        time.sleep(SECONDS)  # noqa: TID251 - at rest is what is measured
        share = (cpu_s(child.pid) - before_s) / (time.perf_counter() - begun)
        yield Row(
            f"memory at rest, {MEMBERS} members", f"{resident_bytes(child.pid) / 1e6:.1f} MB", "at most 80 MB"
        )
        yield Row(
            f"processor at rest, {MEMBERS} members",
            f"{share:.2%} of a core",
            "at most 1 %",
            note=f"{SECONDS:.0f} s, {MEMBERS} members every 540 s",
        )


if __name__ == "__main__":
    main(measure)
