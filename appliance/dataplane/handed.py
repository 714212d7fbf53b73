"""Sockets that the service manager opened for us (sd_listen_fds(3)): low ports without any privilege of ours.

They outlive each plugin that serves on them, and the process too. So nobody shuts one down: what is done to it is done to
the manager's own, and the next process would find it deaf. Everybody works on copies and closes those.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping

from appliance.dataplane.interface import Endpoint

FIRST_FD = 3
_MOST = 64


def descriptors(
    endpoint: Endpoint,
    kind: socket.SocketKind,
    *,
    environ: Mapping[str, str] = os.environ,
    pid: int | None = None,
    first_fd: int = FIRST_FD,
) -> list[int]:
    """The manager's own descriptors of `kind` that are bound to `endpoint`; several where they share it (ReusePort=).

    An IPv6 socket that takes IPv4 besides is none of them: both families are served apart.
    """
    passed = _passed(environ, pid, first_fd)
    return [fd for fd, _name, found, bound, alone in passed if (found, bound) == (kind, endpoint) and alone]


def over(endpoint: Endpoint, **passed: object) -> socket.socket | None:
    """A listening TCP socket that was handed over for `endpoint`, or None; a copy, which can be closed and asked for again."""
    found = descriptors(endpoint, socket.SOCK_STREAM, **passed)  # type: ignore[arg-type]
    return socket.socket(fileno=_copy(found[0])) if found else None


def udp(endpoint: Endpoint) -> list[socket.socket]:
    """Copies of the UDP sockets that were handed over for `endpoint`."""
    return [socket.socket(fileno=_copy(fd)) for fd in descriptors(endpoint, socket.SOCK_DGRAM)]


def advice(
    endpoint: Endpoint,
    kind: socket.SocketKind,
    *,
    environ: Mapping[str, str] = os.environ,
    pid: int | None = None,
    first_fd: int = FIRST_FD,
) -> str:
    """Why `endpoint`, which cannot be bound, may not be had beside what was handed over, and what to do; "" without a reason."""
    passed = list(_passed(environ, pid, first_fd))
    option = "ListenDatagram" if kind == socket.SOCK_DGRAM else "ListenStream"
    for _fd, name, found, bound, alone in passed:
        if found != kind or bound.port != endpoint.port:
            continue
        if bound == endpoint and not alone:
            return (
                f"{name} holds {bound} for IPv4 too: it needs BindIPv6Only=ipv6-only (systemctl edit {name})"
            )
        if bound != endpoint and (":" in bound.host) == (":" in endpoint.host):
            return (
                f"the service manager holds {bound} for us ({name}): listen there, or hand {endpoint} over in its place: "
                f"systemctl edit {name}, with the lines [Socket], {option}= and {option}={endpoint}, then restart the service"
            )
    if passed and endpoint.port < 1024:
        names = ", ".join(sorted({name for _fd, name, *_ in passed}))
        return (
            f"the service manager opens low ports for us ({names}), and was not asked for this one: systemctl edit one of them, "
            f"with the lines [Socket] and {option}={endpoint}, then restart the service; or choose a port above 1023"
        )
    return ""


def _passed(
    environ: Mapping[str, str], pid: int | None, first_fd: int
) -> Iterator[tuple[int, str, int, Endpoint, bool]]:
    """Descriptor, its unit, kind of socket, where it is bound, and whether to that family alone."""
    if environ.get("LISTEN_PID") != str(os.getpid() if pid is None else pid):
        return
    number = environ.get("LISTEN_FDS", "")
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    for at in range(min(int(number) if number.isdigit() else 0, _MOST)):
        name = names[at] if at < len(names) and names[at] else "its socket unit"
        found = _look(first_fd + at)
        if found is not None:
            yield first_fd + at, name, *found


def _look(fd: int) -> tuple[int, Endpoint, bool] | None:
    """What kind of Internet socket it is and where it is bound; None for anything else."""
    try:
        sock = socket.socket(fileno=fd)
    except OSError:
        return None
    try:
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            return None
        if sock.type == socket.SOCK_STREAM and not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return None
        alone = sock.family == socket.AF_INET or bool(
            sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        )
        return int(sock.type), Endpoint(*sock.getsockname()[:2]), alone
    except OSError:
        return None
    finally:
        sock.detach()


def _copy(fd: int) -> int:
    copy = os.dup(fd)
    os.set_inheritable(copy, False)  # noqa: FBT003 - that is its name
    return copy
