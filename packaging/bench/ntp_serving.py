"""NTP replies a second, processor time for each, and round trips: our Python plane, a naive asyncio server, chronyd.

All on loopback, the load from a process of its own. When that process was the bottleneck the note says so.
`--json` prints the rows as JSON.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import re
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from _common import ROOT, Pairs, Row, cpu_s, main, paired, program

sys.path[:0] = [str(ROOT)]

from appliance.wire.ntp import client_request  # noqa: E402

HERE = Path(__file__).resolve().parent
SECONDS = 1.5
RUNS = 5
#: From this share of a core on, the load generator may be what limits.
_FULL = 0.95


class Server:
    """A server process, measured from outside."""

    def __init__(self, name: str, pid: int, port: int) -> None:
        self.name = name
        self._pid = pid
        self._port = port
        self.limited_by_load = False
        self.lost = 0

    def replies_per_s(self) -> float:
        return self._flood()[0]

    def cpu_us_per_reply(self) -> float:
        return self._flood()[1]

    def replies_per_cpu_s(self) -> float:
        return 1e6 / self._flood()[1]

    def median_us(self) -> float:
        return _load(self._port, "ping")["median_us"]

    def _flood(self) -> tuple[float, float]:
        before_s = cpu_s(self._pid)
        seen = _load(self._port, "flood")
        used_s = cpu_s(self._pid) - before_s
        self.limited_by_load |= seen["load"] > _FULL and used_s < _FULL * SECONDS
        self.lost += int(seen["lost"])
        return seen["replies_per_s"], used_s / (seen["replies_per_s"] * SECONDS) * 1e6


def _load(port: int, how: str) -> dict[str, float]:
    command = [sys.executable, str(HERE / "_ntp_load.py"), str(port), str(SECONDS), how]
    done = subprocess.run(command, capture_output=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


@contextlib.contextmanager
def ours(*kind: str) -> Iterator[Server]:
    command = [sys.executable, str(HERE / "_ntp_servers.py"), *kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Server(" ".join(kind), process.pid, int(process.stdout.readline()))
        finally:
            process.stdin.close()
            process.wait(10)


@contextlib.contextmanager
def chronyd() -> Iterator[Server | None]:
    """Another server: chronyd with the system clock as its own, or None when it is not installed or may not run."""
    path = program("chronyd")
    if path is None:
        yield None
        return
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"version (\S+)", version)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "chrony.conf")
        config.write_text(
            f"local stratum 2\nallow 127.0.0.1\nbindaddress 127.0.0.1\nport {port}\ncmdport 0\n"
            f"bindcmdaddress /\npidfile {folder}/pid\n"
        )
        user = ["-u", "root"] if os.geteuid() == 0 else ["-U"]
        command = [path, "-x", "-d", *user, "-f", str(config)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield (
                Server(f"chronyd {found[1] if found else ''}", process.pid, port) if _answers(port) else None
            )
        finally:
            process.terminate()
            process.wait(10)


def _answers(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.2)
        sock.connect(("127.0.0.1", port))
        for _ in range(50):
            with contextlib.suppress(OSError):
                sock.send(client_request(1))
                return len(sock.recv(100)) == 48
            select.select([], [], [], 0.1)  # it still starts
    return False


def _row(what: str, unit: str, figure: Callable[[Server], float], one: Server, other: Server | None) -> Row:
    """One line: `figure` of both servers, measured in turn."""
    if other is None:
        return Row(what, f"{figure(one):,.3g} {unit}", "chronyd does not run here")
    pairs: Pairs = paired(lambda: figure(one), lambda: figure(other), RUNS)
    mine, theirs = (sorted(side)[RUNS // 2] for side in (pairs.ours, pairs.theirs))
    notes = [pairs.spread]
    notes += [f"the load limits {s.name}" for s in (one, other) if s.limited_by_load]
    notes += [f"{s.name} lost {s.lost:,}" for s in (one, other) if s.lost]
    one.limited_by_load = other.limited_by_load = False
    one.lost = other.lost = 0
    return Row(
        what, f"{mine:,.4g} {unit}", f"{other.name}: {theirs:,.4g} {unit}", pairs.ratio, "; ".join(notes)
    )


def measure() -> Iterable[Row]:
    rates, costs, trips = Server.replies_per_s, Server.cpu_us_per_reply, Server.median_us
    with ours("recvmmsg") as plane, ours("recvmsg") as single, ours("asyncio") as naive, chronyd() as chrony:
        yield _row("NTP replies, Python plane", "/s", rates, plane, naive)
        yield _row("NTP replies, Python plane", "/s", rates, plane, chrony)
        yield _row("NTP replies, Python plane without recvmmsg", "/s", rates, single, naive)
        yield _row("NTP processor time for a reply", "µs", costs, plane, naive)
        yield _row("NTP processor time for a reply", "µs", costs, plane, chrony)
        yield _row("NTP round trip, one request at a time", "µs", trips, plane, naive)
        yield _row("NTP round trip, one request at a time", "µs", trips, plane, chrony)
    yield from _native_rows()
    pairs = paired(lambda: _alone("recvmmsg", "busy"), lambda: _alone("recvmmsg"), RUNS)
    busy, idle = (sorted(side)[RUNS // 2] for side in (pairs.ours, pairs.theirs))
    what = "NTP replies while another thread of ours computes"
    yield Row(what, f"{busy:,.4g} /s", f"while it does not: {idle:,.4g} /s", pairs.ratio, pairs.spread)


def _native_rows() -> Iterable[Row]:
    """One worker of the native plane beside chronyd; a line that says so when it is not built."""
    if importlib.util.find_spec("appliance.dataplane._native") is None:
        yield Row("NTP replies, native plane", "not built", note="make native")
        return
    with ours("native") as native, chronyd() as chrony:
        yield _row("NTP replies, native plane, one worker", "/s", Server.replies_per_s, native, chrony)
        yield _row("NTP replies per processor second, native", "/s", Server.replies_per_cpu_s, native, chrony)
        yield _row("NTP round trip, native plane", "µs", Server.median_us, native, chrony)


def _alone(*kind: str) -> float:
    with ours(*kind) as server:
        return server.replies_per_s()


if __name__ == "__main__":
    if "--json" in sys.argv[1:]:
        sys.stdout.write(json.dumps([dataclasses.asdict(row) for row in measure()], indent=1) + "\n")
    else:
        main(measure)
