"""In place of systemd, for the test in a chroot: opens what our socket units name, starts the service on it, and asks it.

Runs with the chroot's Python as root, in a network of its own. The service gets its user and no capability.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import signal
import socket
import ssl
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

UNITS = Path("/usr/lib/systemd/system")
LOG = Path("/opt/test/service.log")
PATIENCE_S = 120


def main() -> int:
    service = (UNITS / "timeball.service").read_text()
    names = re.search(r"^Sockets=(.*)$", service, re.MULTILINE)[1].split()
    opened = [(name, sock) for name in names for sock in sockets((UNITS / name).read_text())]
    pid = start(re.search(r"^ExecStart=(.*)$", service, re.MULTILINE)[1].split(), opened)
    try:
        print("  time:", wait(lambda: ntp("127.0.0.1", socket.AF_INET)), flush=True)
        print("  time over IPv6:", wait(lambda: ntp("::1", socket.AF_INET6)))
        print(
            "  names:",
            wait(lambda: dns(socket.SOCK_DGRAM)),
            "and over TCP:",
            wait(lambda: dns(socket.SOCK_STREAM)),
        )
        print(
            "  pages:",
            wait(lambda: page("http://127.0.0.1/health")),
            wait(lambda: page("https://127.0.0.1/health")),
        )
        status = Path(f"/proc/{pid}/status").read_text()
        assert re.search(r"^CapEff:\s*0+$", status, re.MULTILINE), status
        assert re.search(rf"^Uid:\s*{pwd.getpwnam('timeball').pw_uid}\s", status, re.MULTILINE), status
    finally:
        os.kill(pid, signal.SIGTERM)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code == 0, f"it ended with {code}: {LOG.read_text()[-2000:]}"
    return 0


def sockets(unit: str) -> list[socket.socket]:
    """What `unit` names, opened as systemd does it."""
    found = []
    for kind, address in re.findall(r"^Listen(Datagram|Stream)=(\S+)$", unit, re.MULTILINE):
        host, port = address.rsplit(":", 1)
        family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM if kind == "Datagram" else socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if "ReusePort=yes" in unit:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, "BindIPv6Only=ipv6-only" in unit)
        sock.bind((host.strip("[]"), int(port)))
        if kind == "Stream":
            sock.listen(128)
        sock.setblocking(False)  # noqa: FBT003 - that is its name
        found.append(sock)
    return found


def start(command: list[str], opened: list[tuple[str, socket.socket]]) -> int:
    """The service, as its user, with the sockets from descriptor 3 on; its process."""
    far = [os.dup(sock.fileno()) for _, sock in opened]
    log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    pid = os.fork()
    if pid:
        for fd in (*far, log):
            os.close(fd)
        return pid
    high = [os.dup2(fd, 200 + at) for at, fd in enumerate(far)]
    os.dup2(log, 1)
    os.dup2(log, 2)
    for at, fd in enumerate(high):
        os.dup2(fd, 3 + at)
    os.closerange(3 + len(high), 256)
    user = pwd.getpwnam("timeball")
    os.setgroups([])
    os.setgid(grp.getgrnam("timeball").gr_gid)
    os.setuid(user.pw_uid)
    names = ":".join(name for name, _ in opened)
    passed = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(opened)), "LISTEN_FDNAMES": names}
    os.execve(command[0], command, {"PATH": "/usr/bin:/bin", **passed})  # noqa: S606 - what the unit says
    raise AssertionError


def wait(ask: Callable[[], str]) -> str:
    """What `ask` says, once it says something."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            said = ask()
            if said:
                return said
        time.sleep(0.1)  # noqa: TID251 - between two looks
    sys.exit(f"no answer within {PATIENCE_S} s; the service says:\n{LOG.read_text()[-4000:]}")


def ntp(host: str, family: int) -> str:
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(2)
        client.sendto(bytes([0x23]) + bytes(47), (host, 123))
        reply = client.recv(200)
        return f"version {reply[0] >> 3 & 7}, stratum {reply[1]}, leap {reply[0] >> 6}"


def dns(kind: int) -> str:
    name = b"\4pool\4home\4arpa\0"
    query = b"\0\7\1\0\0\1\0\0\0\0\0\0" + name + b"\0\6\0\1"
    with socket.socket(socket.AF_INET, kind) as client:
        client.settimeout(2)
        client.connect(("127.0.0.1", 53))
        client.sendall(query if kind == socket.SOCK_DGRAM else len(query).to_bytes(2, "big") + query)
        reply = client.recv(600)
        reply = reply if kind == socket.SOCK_DGRAM else reply[2:]
        return f"rcode {reply[3] & 15}, {reply[7]} answer" if len(reply) > 12 else ""


def page(url: str) -> str:
    # The box signs its own certificate.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=5, context=context) as reply:  # noqa: S310 - see the callers
            return f"{url.split(':', maxsplit=1)[0]} {reply.status}"
    except urllib.error.HTTPError as error:
        return f"{url.split(':', maxsplit=1)[0]} {error.code}"


if __name__ == "__main__":
    sys.exit(main())
