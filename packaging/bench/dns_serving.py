"""DNS answers for each second and processor time for each answer, beside gdnsd, Knot and NSD, all asked by dnsperf.

Every server has one worker and the same names. Theirs are static zones of four addresses; ours draws four of a hundred
members for each query, by weight. dnsperf runs on the same machine, so answers for each second say as much about it as
about the server: the processor time is the honest column.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from _common import ROOT, Pairs, Row, cpu_s, main, paired, program

ZONE = "pool.example.org"
NAMES = (ZONE, *(f"{n}.{ZONE}" for n in range(4)))
SECONDS = 2
RUNS = 5
#: Addresses that questions come from: a draw of ours is kept for each address and slot, as for real resolvers.
OURS = """
import signal, sys, threading
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/plugins"]
from appliance.core.clock import SystemClock
from appliance.dataplane import choose
from appliance.dataplane.native import NativePlane
from appliance.dataplane.interface import Endpoint
from appliance_dns.config import DnsConfig
from appliance_dns.selection import Choice
from appliance_dns.zone import Plan, Pool, Secrets, build
config = DnsConfig.model_validate({"zone": sys.argv[2], "coherence_s": int(sys.argv[4]),
    "ns": [{"name": "ns1", "addresses": ["192.0.2.53"]}]})
pool = Pool(tuple(Choice(f"192.0.2.{n}", 100 * n) for n in range(1, 101)), wanted=True)
snapshot = build(Plan(config, {("@", 4): pool}, Secrets(bytes(16), (bytes(16),))), 1).snapshot
plane = NativePlane(workers=1) if sys.argv[5] == "native" else choose("python")
server = plane.serve_dns([Endpoint("127.0.0.1", int(sys.argv[3]))], snapshot)
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
stop.wait()
server.close()
"""


@dataclass
class Server:
    """A running server, and what each run of the load generator found."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    questions: Path
    answered_per_s: list[float] = field(default_factory=list)

    def run(self) -> float:
        """Ask for some seconds; microseconds of processor time for each answer, of all its processes."""
        before = {pid: cpu_s(pid) for pid in family(self.process.pid)}
        done = subprocess.run(
            [program("dnsperf") or "dnsperf", "-s", "127.0.0.1", "-p", str(self.port), "-d", str(self.questions),
             "-l", str(SECONDS), "-c", "16", "-q", "128", "-T", "1"],
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        used_s = sum(cpu_s(pid) - before.get(pid, 0.0) for pid in family(self.process.pid))
        completed = int(re.search(r"Queries completed:\s+(\d+)", done.stdout)[1])  # type: ignore[index]
        self.answered_per_s.append(float(re.search(r"Queries per second:\s+([\d.]+)", done.stdout)[1]))  # type: ignore[index]
        if not completed or "NOERROR" not in done.stdout:
            raise RuntimeError(f"{self.name} did not answer:\n{done.stdout}")
        return used_s / completed * 1e6


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").iterdir():
            with contextlib.suppress(OSError):
                found += [
                    int(child) for child in (task / "children").read_text().split() if int(child) not in found
                ]
    return found


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        return int(udp.getsockname()[1])


def zone_file(folder: Path, name: str) -> Path:
    records = [
        f"@ SOA ns1.{ZONE}. hostmaster.{ZONE}. 1 5400 1800 1209600 300",
        "@ NS ns1",
        "ns1 A 192.0.2.53",
    ]
    for owner in NAMES:
        records += [f"{owner}. A 192.0.2.{n}" for n in range(1, 5)]
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"$ORIGIN {ZONE}.\n$TTL 150\n" + "\n".join(records) + "\n", encoding="ascii")
    return path


def ours(folder: Path, port: int, *, coherence_s: int, plane: str = "python") -> list[str]:
    return [sys.executable, "-c", OURS, str(ROOT), ZONE, str(port), str(coherence_s), plane]


def gdnsd(folder: Path, port: int) -> list[str]:
    zone_file(folder, f"zones/{ZONE}")
    (folder / "config").write_text(
        f"options => {{ listen => 127.0.0.1, dns_port => {port}, udp_threads => 1, tcp_threads => 1, "
        f'run_dir => "{folder}/run", state_dir => "{folder}/state" }}\n', encoding="ascii",
    )  # fmt: skip
    return ["gdnsd", "-c", str(folder), "start"]


def knot(folder: Path, port: int) -> list[str]:
    zone_file(folder, "zone")
    (folder / "knot.conf").write_text(
        f"server:\n  rundir: {folder}\n  listen: 127.0.0.1@{port}\n  udp-workers: 1\n  tcp-workers: 1\n"
        f"database:\n  storage: {folder}\nzone:\n  - domain: {ZONE}\n    storage: {folder}\n    file: zone\n",
        encoding="ascii",
    )  # fmt: skip
    return ["knotd", "-c", str(folder / "knot.conf")]


def nsd(folder: Path, port: int) -> list[str]:
    zone_file(folder, "zone")
    # Debian's NSD answers 200 queries a second to one address unless its rate limit is switched off.
    (folder / "nsd.conf").write_text(
        f'server:\n  ip-address: 127.0.0.1@{port}\n  server-count: 1\n  username: ""\n  database: ""\n  rrl-ratelimit: 0\n'
        f'  zonesdir: "{folder}"\n  pidfile: "{folder}/pid"\n  xfrdfile: "{folder}/xfrd"\n  zonelistfile: "{folder}/list"\n'
        f'  xfrdir: "{folder}"\nremote-control:\n  control-enable: no\n'
        f'zone:\n  name: {ZONE}\n  zonefile: "{folder}/zone"\n',
        encoding="ascii",
    )  # fmt: skip
    return ["nsd", "-d", "-c", str(folder / "nsd.conf")]


@contextlib.contextmanager
def running(name: str, command: list[str], port: int, folder: Path) -> Iterator[Server]:
    questions = folder / "questions"
    questions.write_text("".join(f"{owner} A\n" for owner in NAMES), encoding="ascii")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program(command[0]) or command[0], *command[1:]], stdout=log, stderr=log)
    try:
        wait_for_answer(port, process, folder / "log")
        yield Server(name, port, process, questions)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_answer(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    query = (
        b"\0\1\0\0\0\1\0\0\0\0\0\0"
        + b"".join(bytes((len(p),)) + p.encode() for p in ZONE.split("."))
        + b"\0\0\1\0\1"
    )
    end = time.monotonic() + 20
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.2)
        client.connect(("127.0.0.1", port))
        while time.monotonic() < end and process.poll() is None:
            with contextlib.suppress(OSError):
                client.send(query)
                if client.recv(512)[3] & 15 == 0:
                    return
    raise RuntimeError(f"no answer from {process.args}: {log.read_text(errors='replace')[-500:]}")


def measure() -> Iterator[Row]:
    if program("dnsperf") is None:
        yield Row("DNS serving", "not measured", note="dnsperf is not installed: sudo make peers")
        return
    planes = ["python"]
    if importlib.util.find_spec("appliance.dataplane._native") is None:
        yield Row("DNS, native plane", "not built", note="make native")
    else:
        planes.insert(0, "native")
    for plane in planes:
        for kind, coherence_s in (("one draw for each address and 8 s", 8), ("a draw for each query", 0)):
            with tempfile.TemporaryDirectory() as scratch:
                port = free_port()
                command = ours(Path(scratch), port, coherence_s=coherence_s, plane=plane)
                with running("here", command, port, Path(scratch)) as mine:
                    yield from beside(mine, f"{plane}, {kind}")


def beside(mine: Server, kind: str) -> Iterator[Row]:
    for name, configure in (("gdnsd", gdnsd), ("knotd", knot), ("nsd", nsd)):
        if program(name) is None:
            yield Row(f"DNS, {kind}: CPU for an answer", "", f"{name}: not installed")
            continue
        with tempfile.TemporaryDirectory() as scratch:
            port = free_port()
            with running(name, configure(Path(scratch), port), port, Path(scratch)) as theirs:
                mine.answered_per_s.clear()
                pairs = paired(mine.run, theirs.run, runs=RUNS)
                yield from rows(kind, pairs, mine, theirs)


def rows(kind: str, pairs: Pairs, mine: Server, theirs: Server) -> Iterator[Row]:
    yield Row(
        f"DNS, {kind}: CPU for an answer",
        f"{statistics.median(pairs.ours):.1f} us",
        f"{theirs.name}: {statistics.median(pairs.theirs):.1f} us",
        pairs.ratio,
        f"{pairs.spread}; smaller is better",
    )
    here, there = statistics.median(mine.answered_per_s), statistics.median(theirs.answered_per_s)
    yield Row(
        f"DNS, {kind}: answers",
        f"{here:,.0f} /s",
        f"{theirs.name}: {there:,.0f} /s",
        here / there,
        f"dnsperf shares the {os.cpu_count()} cores",
    )


if __name__ == "__main__":
    main(measure)
