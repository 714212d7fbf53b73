"""The sockets of a DNS server in Python: bound by us, or lent by the service manager."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import NamedTuple

from appliance.dataplane import handed
from appliance.dataplane.dns_pktinfo import IP_PKTINFO
from appliance.dataplane.interface import Endpoint
from appliance.dataplane.udp_socket import never_fragment

_RECEIVE_BUFFER = 4 << 20
#: How long a receive may block before the thread looks around; closing does not wait for it.
_PATIENCE = struct.pack("@ll", 5, 0)
#: The same where closing has to wait for it: the service manager's sockets cannot be shut down.
_SHORT_PATIENCE = struct.pack("@ll", 0, 200_000)

_IPV6_MTU_DISCOVER, _IPV6_MTU, _PMTUDISC_OMIT = 23, 24, 5


class Udp(NamedTuple):
    """A socket, where it is bound, and whether it is the service manager's."""

    sock: socket.socket
    endpoint: Endpoint
    lent: bool


def bind(endpoint: Endpoint) -> tuple[list[Udp], socket.socket]:
    """UDP and a listening TCP socket on one port; for port 0, one that is free for both."""
    given = handed.udp(endpoint)
    if given:
        for sock in given:
            sock.setblocking(True)  # noqa: FBT003 - that is its name
            _prepare_udp(sock, wildcard=is_wildcard(endpoint), patience=_SHORT_PATIENCE)
        try:
            return [Udp(sock, endpoint, lent=True) for sock in given], bind_one(endpoint, socket.SOCK_STREAM)
        except OSError:
            for sock in given:
                sock.close()
            raise
    for attempt in range(20):
        udp = bind_one(endpoint, socket.SOCK_DGRAM)
        try:
            port = udp.getsockname()[1]
            there = Endpoint(endpoint.host, port)
            return [Udp(udp, there, lent=False)], bind_one(there, socket.SOCK_STREAM)
        except OSError as error:
            udp.close()
            if endpoint.port or attempt == 19:
                raise OSError(error.errno, error.strerror, str(endpoint)) from error
    raise AssertionError  # pragma: no cover - the loop returns or raises


def bind_one(endpoint: Endpoint, kind: socket.SocketKind) -> socket.socket:
    """A UDP or a listening TCP socket; the latter may be one that the service manager handed over.

    Raises:
        OSError: the address cannot be bound; `filename` holds the endpoint.
    """
    given = handed.over(endpoint) if kind == socket.SOCK_STREAM else None
    if given is not None:
        given.settimeout(0)
        return given
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    try:
        sock = socket.socket(family, kind)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(endpoint)) from error
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(tuple(endpoint))
            sock.listen(128)
            sock.settimeout(0)
        else:
            _prepare_udp(sock, wildcard=is_wildcard(endpoint))
            sock.bind(tuple(endpoint))
    except OSError as error:
        sock.close()
        raise OSError(error.errno, error.strerror, str(endpoint)) from error
    return sock


def is_wildcard(endpoint: Endpoint) -> bool:
    """Whether packets to several addresses arrive there."""
    return endpoint.host in ("0.0.0.0", "::")  # noqa: S104 - a comparison


def _prepare_udp(sock: socket.socket, *, wildcard: bool, patience: bytes = _PATIENCE) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
    six = sock.family == socket.AF_INET6
    if wildcard:
        # Without it the kernel chooses the source address of a reply by its routes: wrong with several addresses.
        level, option = (
            (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO) if six else (socket.IPPROTO_IP, IP_PKTINFO)
        )
        sock.setsockopt(level, option, 1)
    # Forged "fragmentation needed" messages must not make us send fragments (RFC 9715); kernels without it do no harm.
    if not six:
        never_fragment(sock)
        return
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU, 1280)
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_OMIT)
