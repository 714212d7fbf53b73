"""`timeball run` on sockets that were opened before it and stay when it ends, as a service manager hands them over."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.query
import pytest

from appliance.dataplane import handed
from appliance.dataplane.interface import Endpoint
from tests.support.native import need_native
from tests.support.ntp_packets import request
from tests.support.programs import free_port
from tests.support.wait import wait_until

#: Sockets for each UDP address: as many threads of the native plane.
COPIES = 3
ZONE = "pool.home.arpa"


@pytest.fixture(params=["python", "native"])
def plane(request: pytest.FixtureRequest) -> str:
    if request.param == "native":
        need_native()
    return request.param


class Manager:
    """Opens sockets, starts the appliance on them, and keeps them when it has gone, as systemd does."""

    def __init__(self, folder: Path, plane: str) -> None:
        self.folder, self.plane = folder, plane
        self.ntp, self.dns, self.web = free_port(tcp=False), free_port(), free_port()
        self.sockets = [
            *opened(socket.SOCK_DGRAM, self.ntp, COPIES), *opened(socket.SOCK_DGRAM, self.dns, COPIES),
            *opened(socket.SOCK_STREAM, self.dns), *opened(socket.SOCK_STREAM, self.web),
        ]  # fmt: skip
        self.names = ":".join(["ntp.socket"] * COPIES + ["dns.socket"] * (COPIES + 1) + ["web.socket"])

    @contextlib.contextmanager
    def appliance(self, ntp: str = "0.0.0.0") -> Iterator[int]:
        config = self.folder / "config.toml"
        config.write_text(
            f'[appliance]\ndataplane = "{self.plane}"\n[plugins.clock]\nsource = "local"\n'
            f'[plugins.ntp]\nlisten = ["{ntp}:{self.ntp}"]\n[plugins.ntp.rate_limit]\nenabled = false\n'
            f'[plugins.dns]\nzone = "{ZONE}"\nlisten = ["0.0.0.0:{self.dns}"]\n'
            f'[plugins.web]\nlisten = "0.0.0.0:{self.web}"\nlisten_tls = []\n'
        )
        command = [
            sys.executable,
            "-m",
            "appliance",
            "run",
            "--config",
            str(config),
            "--state-dir",
            str(self.folder / "state"),
        ]
        # Where they lie now may be where they have to go: first away, then to 3 and up.
        far = [fcntl.fcntl(sock, fcntl.F_DUPFD_CLOEXEC, 100) for sock in self.sockets]
        with (self.folder / "log").open("wb") as log:
            pid = os.posix_spawn(
                "/bin/sh",
                ["/bin/sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *command],
                os.environ | {"LISTEN_FDS": str(len(far)), "LISTEN_FDNAMES": self.names},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, log.fileno(), 2),
                    *((os.POSIX_SPAWN_DUP2, fd, handed.FIRST_FD + at) for at, fd in enumerate(far)),
                ],
            )
        for fd in far:
            os.close(fd)
        try:
            yield pid
        finally:
            os.kill(pid, signal.SIGTERM)
            _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0, self.log()

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()


def opened(kind: socket.SocketKind, port: int, copies: int = 1) -> list[socket.socket]:
    """As `ListenDatagram=` and `ListenStream=` open them, with ReusePort= where there are several."""
    found = []
    for _ in range(copies):
        sock = socket.socket(socket.AF_INET, kind)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if copies > 1:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("0.0.0.0", port))
        if kind == socket.SOCK_STREAM:
            sock.listen(16)
        sock.setblocking(False)
        found.append(sock)
    return found


@pytest.fixture
def manager(tmp_path: Path, plane: str) -> Iterator[Manager]:
    manager = Manager(tmp_path, plane)
    yield manager
    manager.close()


def time_from(port: int, source: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind((source, 0))
        client.connect(("127.0.0.1", port))
        client.settimeout(2)
        with contextlib.suppress(TimeoutError, ConnectionError):
            client.send(request())
            return len(client.recv(200)) == 48
    return False


def answers(port: int, *, tcp: bool = False, source: str = "127.0.0.1") -> bool:
    ask = dns.query.tcp if tcp else dns.query.udp
    with contextlib.suppress(dns.exception.Timeout, OSError):
        return ask(dns.message.make_query(ZONE, "SOA"), "127.0.0.1", 2, port, source=source).rcode() == 0
    return False


def healthy(port: int) -> bool:
    with (
        contextlib.suppress(OSError),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as reply,
    ):
        return reply.status in (200, 503)
    return False


@pytest.mark.timeout(180)
def test_all_services_run_on_sockets_that_outlive_the_process(manager: Manager) -> None:
    """Twice: what the first process did to the sockets on its way out must not keep the second from hearing."""
    sources = [f"127.0.0.{number}" for number in range(2, 26)]
    for _ in range(2):
        with manager.appliance():
            wait_until(lambda: time_from(manager.ntp, "127.0.0.1"), "time")
            wait_until(lambda: answers(manager.dns), "names")
            # The kernel spreads clients over the copies by their addresses: every copy has its reader.
            assert [source for source in sources if not time_from(manager.ntp, source)] == []
            assert [source for source in sources if not answers(manager.dns, source=source)] == []
            assert answers(manager.dns, tcp=True)
            wait_until(lambda: healthy(manager.web), "pages")


@pytest.mark.timeout(120)
def test_an_address_that_was_not_handed_over_is_refused_with_the_unit_to_edit(manager: Manager) -> None:
    with manager.appliance(ntp="127.0.0.1"):
        wait_until(lambda: "ntp.socket" in manager.log(), "the refusal")
    assert f"listen there, or hand 127.0.0.1:{manager.ntp} over in its place" in manager.log()
    assert (
        f"systemctl edit ntp.socket, with the lines [Socket], ListenDatagram= and ListenDatagram=127.0.0.1:{manager.ntp}"
        in manager.log()
    )


def test_a_socket_for_both_families_is_not_taken_and_the_remedy_is_named() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as both:
        both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        both.bind(("::", 0))
        wanted = Endpoint("::", both.getsockname()[1])
        given = {"environ": {"LISTEN_PID": "7", "LISTEN_FDS": "1"}, "pid": 7, "first_fd": both.fileno()}
        assert handed.descriptors(wanted, socket.SOCK_DGRAM, **given) == []
        assert "BindIPv6Only=ipv6-only" in handed.advice(wanted, socket.SOCK_DGRAM, **given)
        assert "choose a port above 1023" in handed.advice(Endpoint("::", 99), socket.SOCK_DGRAM, **given)
        assert handed.advice(Endpoint("::", 9999), socket.SOCK_DGRAM, **given) == ""
