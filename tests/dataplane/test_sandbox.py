"""Packet threads of the native plane give everything away but what packets need: the kernel is asked, not our code."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from appliance.api.model import ClockState
from appliance.dataplane import choose, ntp_decide
from appliance.dataplane.interface import DataPlane, DnsServer, Endpoint, NtpPolicy, NtpServer
from appliance.dataplane.native import NativePlane
from appliance.dataplane.reference import PythonPlane
from tests.dataplane.dns_stub import plain_stub, query
from tests.support.native import need_native
from tests.support.programs import REPOSITORY
from tests.support.threads import packet_threads, rights
from tests.support.wait import wait_until

STATE = ClockState(0, 2, b"TEST", 0, 0.001, 0.0005, 0.0, 0)
ASK = bytes([0x23]) + bytes(39) + b"\x12\x34\x56\x78\x9a\xbc\xde\xf0"
HERE = (Endpoint("127.0.0.1", 0), Endpoint("127.0.0.1", 0))

Serve = Callable[[DataPlane], NtpServer | DnsServer]
SERVICES: dict[str, Serve] = {
    "ntp": lambda plane: plane.serve_ntp(HERE[:1], STATE, NtpPolicy()),
    "dns": lambda plane: plane.serve_dns(HERE[:1], plain_stub()),
}


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    # A busy machine is not what is tested here.
    monkeypatch.setattr(ntp_decide, "LATE_NS", 60 * 10**9)


@contextmanager
def serving(service: str, *, confined: bool = True, workers: int = 2) -> Iterator[NtpServer | DnsServer]:
    need_native()
    with closing(SERVICES[service](NativePlane(workers=workers, confined=confined))) as server:
        yield server


def ask(server: NtpServer | DnsServer, service: str, times: int = 1) -> None:
    """Each time from another port; every question is answered."""
    message = ASK if service == "ntp" else query("0").to_wire()
    for _ in range(times):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(20)
            sock.connect(tuple(server.endpoints[0]))
            sock.send(message)
            assert len(sock.recv(2048)) >= 48 - 20


@pytest.mark.parametrize("service", SERVICES)
def test_every_packet_thread_is_confined_before_its_first_packet(service: str) -> None:
    before = rights_of_main()
    with serving(service, workers=3) as server:
        assert server.sandbox == (True, "")
        tasks = packet_threads(service)
        assert len(tasks) == 3
        for task in tasks:
            seen = rights(task)
            assert seen.seccomp == 2
            assert seen.no_new_privileges
            for kind in ("Inh", "Prm", "Eff", "Amb"):
                assert seen.capabilities[kind] == 0, kind
        ask(server, service)
    assert rights_of_main() == before, "the rest of the process keeps what it has"


def rights_of_main() -> object:
    from pathlib import Path

    return rights(Path(f"/proc/self/task/{os.getpid()}"))


@pytest.mark.parametrize("service", SERVICES)
def test_it_can_be_switched_off_and_says_so(service: str) -> None:
    with serving(service, confined=False) as server:
        assert server.sandbox == (False, "switched off")
        assert all(rights(task).seccomp == rights_of_main().seccomp for task in packet_threads(service))  # type: ignore[attr-defined]
        ask(server, service)


def test_the_python_plane_says_that_it_has_none() -> None:
    for serve in SERVICES.values():
        with closing(serve(PythonPlane())) as server:
            assert not server.sandbox.on
            assert "interpreter" in str(server.sandbox)


def test_the_switch_of_the_configuration_reaches_the_threads() -> None:
    need_native()
    for confined in (True, False):
        with closing(SERVICES["ntp"](choose("native", confined=confined))) as server:
            assert server.sandbox.on is confined


@pytest.mark.parametrize("service", SERVICES)
def test_a_confined_service_works_under_load_through_new_inputs_and_to_its_end(service: str) -> None:
    with serving(service) as server:
        for _ in range(20):
            ask(server, service, times=100)
            if service == "ntp":
                server.set_clock(STATE)  # type: ignore[union-attr]
                server.set_policy(NtpPolicy())  # type: ignore[union-attr]
            else:
                server.set_answers(plain_stub())  # type: ignore[union-attr]
        assert server.failure() is None
        # A packet is counted when its reply is on its way already.
        wait_until(lambda: sum(server.counters().values()) == 2000, "every packet to be counted")
    assert packet_threads(service) == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_hundred_confined_services_start_and_end(service: str) -> None:
    for _ in range(100):
        with serving(service) as server:
            ask(server, service)
            assert server.sandbox.on
    assert packet_threads(service) == []


@pytest.mark.parametrize("service", SERVICES)
def test_signals_are_left_to_the_main_thread(service: str) -> None:
    caught: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: caught.append(number))
    try:
        with serving(service) as server:
            for task in packet_threads(service):
                blocked = int(
                    dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())["SigBlk"],
                    16,
                )
                for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGCHLD):
                    assert blocked >> (number - 1) & 1
                for number in (signal.SIGSEGV, signal.SIGSYS):
                    assert not blocked >> (number - 1) & 1
            os.kill(os.getpid(), signal.SIGUSR1)
            ask(server, service)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert caught == [signal.SIGUSR1]


# -- what the filter says to single calls. Numbers: Linux' syscall tables.

CALLS = {
    "x86_64": {
        "openat": 257, "open": 2, "socket": 41, "connect": 42, "execve": 59, "write": 1, "mmap": 9, "mprotect": 10, "clone": 56,
        "kill": 62, "unlink": 87, "ptrace": 101, "setuid": 105, "memfd_create": 319, "clock_gettime": 228, "sched_yield": 24,
        "capset": 126, "prctl": 157,
    },
    "aarch64": {
        "openat": 56, "socket": 198, "connect": 203, "execve": 221, "write": 64, "mmap": 222, "mprotect": 226, "clone": 220,
        "kill": 129, "unlink": 35, "ptrace": 117, "setuid": 146, "memfd_create": 279, "clock_gettime": 113, "sched_yield": 124,
        "capset": 91, "prctl": 167,
    },
}  # fmt: skip


def number(name: str) -> int:
    machine = CALLS.get(platform.machine())
    if machine is None:
        pytest.skip(f"the numbers of this machine's system calls are not in this test: {platform.machine()}")
    if name not in machine:
        pytest.skip(f"{platform.machine()} has no call {name}")
    return machine[name]


PATH = ctypes.create_string_buffer(b"/dev/null")
TIME = ctypes.create_string_buffer(16)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("sched_yield", (), 0),
        ("clock_gettime", (0, ctypes.addressof(TIME)), 0),
        ("mprotect", (0, 0, mmap.PROT_READ | mmap.PROT_WRITE), 0),
        ("openat", (2**32 - 100, ctypes.addressof(PATH), os.O_RDONLY), errno.EPERM),
        ("open", (ctypes.addressof(PATH), os.O_RDONLY), errno.EPERM),
        ("socket", (socket.AF_INET, socket.SOCK_STREAM, 0), errno.EPERM),
        ("connect", (0, 0, 0), errno.EPERM),
        ("clone", (0, 0, 0, 0), errno.EPERM),
        ("kill", (0, 0), errno.EPERM),
        ("unlink", (ctypes.addressof(PATH),), errno.EPERM),
        ("setuid", (0,), errno.EPERM),
        ("write", (1, ctypes.addressof(PATH), 1), errno.EPERM),
        ("write", (2, ctypes.addressof(PATH), 0), 0),
    ],
)
def test_what_packets_do_not_need_is_refused(name: str, arguments: tuple[int, ...], expected: int) -> None:
    four = (*arguments, 0, 0, 0, 0)[:4]
    assert need_native().confined_call(number(name), four) == expected


def test_a_call_that_is_newer_than_the_filter_does_not_exist() -> None:
    native = need_native()
    assert native.confined_call(5000, (0, 0, 0, 0)) == errno.ENOSYS
    # so that nothing comes in through the other door of the same processor
    assert native.confined_call(0x40000000 | 59, (0, 0, 0, 0)) == errno.ENOSYS


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("execve", "path, 0, 0, 0"),
        ("openat", f"2**32 - 100, path, {os.O_WRONLY}, 0"),
        ("openat", f"2**32 - 100, path, {os.O_RDONLY | os.O_CREAT}, 0"),
        ("mmap", f"0, 4096, {mmap.PROT_READ | mmap.PROT_EXEC}, {mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS}"),
        ("mprotect", f"0, 0, {mmap.PROT_EXEC}, 0"),
        ("ptrace", "0, 0, 0, 0"),
        ("memfd_create", "path, 0, 0, 0"),
    ],
)
def test_what_only_an_attacker_does_ends_the_process(name: str, arguments: str) -> None:
    need_native()
    program = (
        "import ctypes, resource; from appliance.dataplane import _native\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        "buffer = ctypes.create_string_buffer(b'/bin/true'); path = ctypes.addressof(buffer)\n"
        f"print(_native.confined_call({number(name)}, ({arguments})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=REPOSITORY,
    )
    assert done.returncode == -signal.SIGSYS, done.stdout + done.stderr


# -- where a service manager, or a kernel, does not let us

REFUSING = """
import ctypes, struct, sys
from pathlib import Path
call, argument, value = map(int, sys.argv[1:])
# load the number; for `call`, load the argument and refuse when it is `value` (or whatever it is when that is -1)
program = [
    (0x20, 0, 0, 0), (0x15, 0, 4 if value >= 0 else 1, call),
    *([(0x20, 0, 0, 16 + 8 * argument), (0x15, 0, 1, value), (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7FFF0000)]
      if value >= 0 else [(0x06, 0, 0, 0x50001)]),
    (0x06, 0, 0, 0x7FFF0000),
]
code = b"".join(struct.pack("HBBI", *op) for op in program)
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Filter(len(program), code)), 0, 0) == 0, ctypes.get_errno()

import socket
from appliance.api.model import ClockState
from appliance.dataplane.interface import Endpoint, NtpPolicy
from appliance.dataplane.native import NativePlane
from tests.support.threads import packet_threads, rights
state = ClockState(0, 2, b"TEST", 0, 0.001, 0.0005, 0.0, 0)
plane = NativePlane(workers=1)
server = plane.serve_ntp([Endpoint("127.0.0.1", 0)], state, NtpPolicy())
filters = (packet_threads("ntp")[0] / "status").read_text().partition("Seccomp_filters:")[2].split()[0]
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(1)
sock.connect(tuple(server.endpoints[0]))
for attempt in range(60):
    sock.send(bytes([0x23]) + bytes(47))
    try:
        print(len(sock.recv(100)), filters, plane.sandbox, sep="|")
        break
    except TimeoutError:
        continue
server.close()
"""


@pytest.mark.parametrize(
    ("call", "argument", "value", "filters", "told"),
    [
        ("capset", 0, -1, "2", "capabilities cannot be given away"),
        ("prctl", 0, 38, "1", "new privileges cannot be ruled out"),
        ("prctl", 0, 22, "1", "the kernel does not filter system calls"),
    ],
)
def test_what_cannot_be_had_is_told_and_the_service_runs_with_the_rest(
    call: str, argument: int, value: int, filters: str, told: str
) -> None:
    need_native()
    done = subprocess.run(
        [sys.executable, "-c", REFUSING, str(number(call)), str(argument), str(value)],
        capture_output=True, text=True, check=False, timeout=100, cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    length, seen, sandbox = done.stdout.strip().split("|")
    assert (length, seen) == ("48", filters)
    assert sandbox.startswith(f"not in force: {told}"), sandbox
