"""Servers to measure, each a process of its own on one port of loopback: ours, and those of others, configured to be fast.

What is switched off in theirs is what ours has not: rate limits, records of clients, cookies, control channels. Each
has as many workers as ours.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from _common import cpu_s, program

HERE = Path(__file__).resolve().parent
ZONE = "pool.example.org"
NAMES = (ZONE, *(f"{n}.{ZONE}" for n in range(4)))
MEMBERS = 100
_ASIDE = Path("/usr/local/lib/timeball-peers/bin")
_START_S = 30
_NTP_QUESTION = b"\x23" + bytes(39) + b"timeball"
_DNS_QUESTION = (
    b"\0\1\0\0\0\1\0\0\0\0\0\0"
    + b"".join(bytes((len(label),)) + label.encode() for label in ZONE.split("."))
    + b"\0\0\1\0\1"
)


class Missing(Exception):
    """A server that cannot run here; the text says why."""


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        name: as the table shows it.
        at: ADDRESS:PORT.
        processes: those that were started; what they started counts as well.
        inside: goes before a command that is to reach it.
    """

    name: str
    at: str
    processes: tuple[subprocess.Popen[bytes], ...]
    inside: tuple[str, ...] = ()

    def used_s(self) -> float:
        """Processor seconds used so far, by all its processes and threads."""
        return sum(cpu_s(pid) for process in self.processes for pid in family(process.pid))


@dataclass(frozen=True)
class Kind:
    """How to start a server: `configure(folder, port)` writes what it needs and returns the command."""

    name: str
    protocol: str
    configure: Callable[[Path, int], Sequence[str]]
    own_port: int = 0  # the only port that it can serve: it needs a network namespace then
    instances: int = 1  # processes that share the port

    @contextlib.contextmanager
    def running(self) -> Iterator[Server]:
        """Started and answering.

        Raises:
            Missing: it is not installed, or may not run here.
            RuntimeError: it ended, or never answered; with the end of what it said.
        """
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            inside = stack.enter_context(namespace()) if self.own_port else ()
            port = self.own_port or free_port()
            processes = []
            for number in range(self.instances):
                own = folder / str(number)
                own.mkdir()
                command = [*inside, *self.configure(own, port)]
                with (folder / "log").open("ab") as log:
                    processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log))
                stack.callback(_end, processes[-1])
            server = Server(self.name, f"127.0.0.1:{port}", tuple(processes), tuple(inside))
            _wait(server, self.protocol, folder / "log")
            yield server


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").iterdir():
            with contextlib.suppress(OSError):
                children = (task / "children").read_text().split()
                found += [int(child) for child in children if int(child) not in found]
    return found


def free_port() -> int:
    """A port that nobody has, of UDP and of TCP."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind(("127.0.0.1", 0))
            port = int(udp.getsockname()[1])
            with contextlib.suppress(OSError):
                tcp.bind(("127.0.0.1", port))
                return port


@contextlib.contextmanager
def namespace(*commands: str) -> Iterator[tuple[str, ...]]:
    """A network namespace with its loopback up and `commands` of ip done; yields what goes before a command inside.

    Raises:
        Missing: only root can make one.
    """
    ip = program("ip")
    if os.geteuid() != 0 or ip is None:
        raise Missing("needs root and ip, for a network namespace")
    name = f"tbbench{os.getpid()}"
    if subprocess.run([ip, "netns", "add", name], check=False, capture_output=True).returncode != 0:
        raise Missing("no network namespace can be made here")
    try:
        for command in ("link set lo up", *commands):
            subprocess.run([ip, "-n", name, *command.split()], check=True, capture_output=True)
        yield (ip, "netns", "exec", name)
    finally:
        subprocess.run([ip, "netns", "del", name], check=False, capture_output=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.communicate(timeout=10)  # closes its input
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def _wait(server: Server, protocol: str, log: Path) -> None:
    """Until it gives a good answer; asked from outside, so also from inside a namespace."""
    question, good = (
        (_NTP_QUESTION, "len(r) == 48 and r[0] >> 6 < 3")
        if protocol == "ntp"
        else (_DNS_QUESTION, "r[3] & 15 == 0")
    )
    address, port = server.at.split(":")
    asking = (
        "import socket, sys\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.settimeout(0.3)\n"
        f"s.connect(({address!r}, {port}))\ns.send({question!r})\nr = s.recv(512)\nsys.exit(0 if {good} else 1)"
    )
    end = time.monotonic() + _START_S
    while time.monotonic() < end and all(process.poll() is None for process in server.processes):
        command = [*server.inside, sys.executable, "-S", "-c", asking]
        if subprocess.run(command, check=False, capture_output=True).returncode == 0:
            return
        select.select([], [], [], 0.1)  # it still starts
    raise RuntimeError(f"{server.name} does not answer: {log.read_text(errors='replace')[-500:]}")


def need(name: str) -> str:
    """Path of somebody else's program.

    Raises:
        Missing: it is not installed.
    """
    path = program(name) or (str(_ASIDE / name) if (_ASIDE / name).exists() else None)
    if path is None:
        raise Missing(f"{name} is not installed: sudo make peers")
    return path


def version(name: str, *ask: str) -> str:
    """The first thing that looks like a version number in what a program says of itself, or ''."""
    try:
        done = subprocess.run([need(name), *ask], capture_output=True, text=True, check=False, timeout=10)
    except (Missing, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr)
    return found[0] if found else ""


# -- ours


def ours(what: str, *, plane: str = "native", workers: int = 1, listen: str = "127.0.0.1") -> Kind:
    """`_serve.py` with what to serve; its own text says what there is."""
    command = [sys.executable, str(HERE / "_serve.py"), what, plane, str(workers), listen]

    def configure(_: Path, port: int) -> list[str]:
        if plane == "native" and find_spec("appliance.dataplane._native") is None:
            raise Missing("the native plane is not built: make native")
        return [*command, str(port)]

    name = f"ours, {plane}" + (f", {workers} workers" if workers > 1 else "")
    return Kind(name + (", limits charged" if what.endswith("-limited") else ""), what[:3], configure)


def in_python(kind: str, *, busy: bool = False) -> Kind:
    """`_ntp_servers.py`: the ways to answer NTP in Python."""

    def configure(_: Path, port: int) -> list[str]:
        return [sys.executable, str(HERE / "_ntp_servers.py"), kind, str(port), *(["busy"] if busy else [])]

    return Kind(f"Python {kind}" + (", busy" if busy else ""), "ntp", configure)


# -- NTP servers


def _clock_stays() -> list[str]:
    """In front of a command: it runs without the capability to set a clock, even as root."""
    return [need("setpriv"), "--bounding-set=-sys_time"] if os.geteuid() == 0 else []


def chronyd(*, clients: bool = False, instances: int = 1) -> Kind:
    """The system clock as it is, by chronyd; `clients` keeps its record of clients, which it has by default.

    It has one thread: `instances` of it share the port, as its manual says for more than one core.
    """

    def configure(folder: Path, port: int) -> list[str]:
        lines = [
            "local stratum 2", "allow", "bindaddress 127.0.0.1", f"port {port}", "cmdport 0", "bindcmdaddress /",
            f"pidfile {folder}/pid", *([] if clients else ["noclientlog"]),
        ]  # fmt: skip
        (folder / "conf").write_text("\n".join(lines) + "\n")
        user = ["-u", pwd.getpwuid(os.geteuid()).pw_name]
        return [*_clock_stays(), need("chronyd"), "-x", "-U", *user, "-d", "-f", str(folder / "conf")]

    name = f"chronyd {version('chronyd', '--version')}"
    name += " with client log" if clients else ""
    name += f", {instances} instances" if instances > 1 else ""
    return Kind(name, "ntp", configure, instances=instances)


def ntpsec() -> Kind:
    """NTPsec's ntpd in orphan mode, on port 123 of a namespace: it knows no other port."""

    def configure(folder: Path, _: int) -> list[str]:
        lines = (
            "tos minsane 1 orphan 5 orphanwait 1",
            "restrict default",
            "limit average 1000000 burst 1000000",
        )
        (folder / "conf").write_text("\n".join(lines) + "\n")
        return [*_clock_stays(), need("ntpd"), "-n", "-c", str(folder / "conf")]

    return Kind(f"ntpd (NTPsec {version('ntpd', '--version')})", "ntp", configure, own_port=123)


# -- DNS servers


def _zone_file(folder: Path, name: str, rotating: Callable[[str], Sequence[str]]) -> None:
    """The zone, with what `rotating` says for each of the names that rotate."""
    lines = [
        f"$ORIGIN {ZONE}.", "$TTL 150", f"@ SOA ns1.{ZONE}. hostmaster.{ZONE}. 1 5400 1800 1209600 300",
        "@ NS ns1", "ns1 A 192.0.2.53",
    ]  # fmt: skip
    lines += [f"{owner}. {record}" for owner in NAMES for record in rotating(owner)]
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def _four(_: str) -> list[str]:
    return [f"A 192.0.2.{n}" for n in range(1, 5)]


def member_weights() -> list[tuple[str, int]]:
    """The hundred members and their weights, the same for everybody."""
    return [(f"192.0.2.{n}", n) for n in range(1, MEMBERS + 1)]


def _gdnsd(folder: Path, port: int, plugins: str) -> list[str]:
    (folder / "config").write_text(
        f"options => {{ listen => 127.0.0.1, dns_port => {port}, udp_threads => 1, tcp_threads => 1, "
        f'run_dir => "{folder}/run", state_dir => "{folder}/state", disable_cookies => true }}\n{plugins}',
        encoding="ascii",
    )
    return [need("gdnsd"), "-c", str(folder), "start"]


def gdnsd_static() -> Kind:
    """Four fixed addresses for each name, by gdnsd."""

    def configure(folder: Path, port: int) -> list[str]:
        _zone_file(folder, f"zones/{ZONE}", _four)
        return _gdnsd(folder, port, "")

    return Kind("gdnsd static", "dns", configure)


def gdnsd_weighted() -> Kind:
    """The weighted plugin of gdnsd with four groups of 25 members, multi: by weight one of each group, so four of a hundred.

    Which groups is not drawn but fixed, and their sums of weights differ by 1: a group of the smaller sum is left out once in 1263
    answers. A draw of any four of the hundred is not to be had.
    """

    def configure(folder: Path, port: int) -> list[str]:
        _zone_file(folder, f"zones/{ZONE}", lambda _: ["DYNA weighted!members"])
        groups: list[list[str]] = [[], [], [], []]
        for n, (address, weight) in enumerate(member_weights()):
            # Boustrophedon: 0 1 2 3 3 2 1 0, so that the groups weigh alike.
            groups[min(n % 8, 7 - n % 8)].append(f"m{n} => [ {address}, {weight} ]")
        listed = "\n".join(f"g{n} => {{ {', '.join(group)} }}" for n, group in enumerate(groups))
        return _gdnsd(
            folder, port, f"plugins => {{ weighted => {{ multi => true, members => {{\n{listed}\n}} }} }}\n"
        )

    return Kind("gdnsd weighted, 1 of 25 four times", "dns", configure)


def _knot(folder: Path, port: int, extra: str, zone: str) -> list[str]:
    (folder / "knot.conf").write_text(
        f"server:\n  rundir: {folder}\n  listen: 127.0.0.1@{port}\n  udp-workers: 1\n  tcp-workers: 1\n"
        f"database:\n  storage: {folder}\n{extra}zone:\n  - domain: {ZONE}\n    storage: {folder}\n    file: zone\n{zone}",
        encoding="ascii",
    )
    return [need("knotd"), "-c", str(folder / "knot.conf")]


def knot_static() -> Kind:
    """Knot with four fixed addresses for each name."""

    def configure(folder: Path, port: int) -> list[str]:
        _zone_file(folder, "zone", _four)
        return _knot(folder, port, "", "")

    return Kind("Knot static", "dns", configure)


def knot_geoip() -> Kind:
    """Knot's geoip module, mode weighted: one of 25 views by weight, each with four of the hundred members."""

    def configure(folder: Path, port: int) -> list[str]:
        _zone_file(folder, "zone", _four)
        members = member_weights()
        views = []
        for begin in range(0, MEMBERS, 4):
            four = members[begin : begin + 4]
            addresses = ", ".join(address for address, _ in four)
            weight = round(sum(weight for _, weight in four) / 2)  # at most 255
            views.append(f"  - weight: {weight}\n    A: [ {addresses} ]\n")
        text = "".join(f"{owner}:\n{''.join(views)}" for owner in NAMES)
        (folder / "geo.conf").write_text(text, encoding="ascii")
        extra = f"mod-geoip:\n  - id: members\n    config-file: {folder}/geo.conf\n    ttl: 150\n    mode: weighted\n"
        return _knot(folder, port, extra, "    module: mod-geoip/members\n")

    return Kind("Knot geoip, 1 view of 25", "dns", configure)


def nsd() -> Kind:
    """NSD with four fixed addresses for each name."""

    def configure(folder: Path, port: int) -> list[str]:
        _zone_file(folder, "zone", _four)
        # Debian's NSD answers 200 queries a second to one address unless its rate limit is switched off.
        (folder / "nsd.conf").write_text(
            f'server:\n  ip-address: 127.0.0.1@{port}\n  server-count: 1\n  username: ""\n  database: ""\n'
            f'  rrl-ratelimit: 0\n  rrl-whitelist-ratelimit: 0\n  zonesdir: "{folder}"\n  pidfile: "{folder}/pid"\n'
            f'  xfrdfile: "{folder}/xfrd"\n  zonelistfile: "{folder}/list"\n  xfrdir: "{folder}"\n'
            f'remote-control:\n  control-enable: no\nzone:\n  name: {ZONE}\n  zonefile: "{folder}/zone"\n',
            encoding="ascii",
        )
        return [need("nsd"), "-d", "-c", str(folder / "nsd.conf")]

    return Kind("NSD static", "dns", configure)
