"""UDP sockets for servers: bound to one address family, with receive times and the address that each packet was sent to."""

from __future__ import annotations

import contextlib
import os
import socket

from appliance.dataplane import handed
from appliance.dataplane.interface import Endpoint

#: Numbers from Linux' asm-generic/socket.h and linux/in.h; the socket module has not all of them.
SO_TIMESTAMPNS_NEW = 64  # 64-bit seconds on every machine, so right past 2038 on 32-bit ones too
IP_PKTINFO = 8
_IP_MTU_DISCOVER, _PMTUDISC_PROBE = 10, 3

#: Room for what arrives while another thread computes. The kernel may give less.
_RECEIVE_BUFFER = 1 << 20


def open_udp(endpoint: Endpoint) -> list[socket.socket]:
    """Non-blocking sockets on `endpoint` whose messages carry SO_TIMESTAMPNS and IP_PKTINFO (or the IPv6 one).

    One, or all those that the service manager handed over for it. An IPv6 socket takes IPv6 only, so that the wildcards of
    both families can be bound side by side.

    Raises:
        OSError: it cannot be bound; `filename` is the endpoint.
    """
    given = handed.udp(endpoint)
    if given:
        for sock in given:
            _prepare(sock)
        return given
    return [_bound_udp(endpoint)]


def _prepare(sock: socket.socket) -> None:
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        never_fragment(sock)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS_NEW, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    sock.setblocking(False)  # noqa: FBT003 - that is its name


def _bound_udp(endpoint: Endpoint) -> socket.socket:
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            _prepare(sock)
            sock.bind(tuple(endpoint))
        except BaseException:
            sock.close()
            raise
    except OSError as e:
        raise OSError(e.errno, os.strerror(e.errno or 0), str(endpoint)) from e
    return sock


def never_fragment(sock: socket.socket) -> None:
    """IPv4 packets that say "don't fragment" and believe no ICMP message about it (RFC 9715).

    All that we send fits any link: 1232 bytes are what IPv6 guarantees. The kernel then need not draw an identification
    for each packet either. A kernel without the option does no harm.
    """
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)


def bound(sock: socket.socket) -> Endpoint:
    """Where it is really bound, the port filled in."""
    host, port = sock.getsockname()[:2]
    return Endpoint(host, port)
