"""Sockets that the service manager opened for us (sd_listen_fds(3)): low ports without any privilege of ours."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from appliance.dataplane.interface import Endpoint

FIRST_FD = 3
_MOST = 64


def over(
    endpoint: Endpoint,
    *,
    environ: Mapping[str, str] = os.environ,
    pid: int | None = None,
    first_fd: int = FIRST_FD,
) -> socket.socket | None:
    """The socket that was handed over for `endpoint`, or None; a copy, so that it can be closed and asked for again."""
    if environ.get("LISTEN_PID") != str(os.getpid() if pid is None else pid):
        return None
    number = environ.get("LISTEN_FDS", "")
    for fd in range(first_fd, first_fd + min(int(number) if number.isdigit() else 0, _MOST)):
        found = _listening(fd, endpoint)
        if found is not None:
            return found
    return None


def _listening(fd: int, endpoint: Endpoint) -> socket.socket | None:
    try:
        sock = socket.socket(fileno=os.dup(fd))
    except OSError:
        return None
    try:
        if sock.type == socket.SOCK_STREAM and sock.family in (socket.AF_INET, socket.AF_INET6):
            listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if listens and sock.getsockname()[:2] == (endpoint.host, endpoint.port):
                os.set_inheritable(sock.fileno(), False)  # noqa: FBT003
                return sock
    except OSError:
        pass
    sock.close()
    return None
