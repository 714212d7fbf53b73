"""The way to a server, hop by hop, with what any user may do: UDP packets with a small time to live, and the socket's error queue.

Each packet is an NTP request from a socket of its own, so that a router's message finds the packet that it is about, and a server that
lives answers. Pure but for the network: what a message means is decided in `meaning`. Linux ip(7), IP_RECVERR.
"""

from __future__ import annotations

import contextlib
import ipaddress
import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

MOST_HOPS = 24
#: Packets under way at once: enough to be quick, few enough that the server itself gets at most as many.
WAVE = 4
WAIT_S = 2.0

Kind = Literal["router", "answered", "refused", "unreachable", "silent"]

# Linux numbers that the socket module of Python 3.11 does not name.
_IP_RECVERR, _IPV6_RECVERR = 11, 25
_EXTENDED_ERROR = struct.Struct("=IBBBBII")  # struct sock_extended_err; behind it the sockaddr of who says so
_ICMP, _ICMP6 = 2, 3
_REQUEST = b"\x23" + bytes(39) + b"\x5a" * 8  # version 4, client; nobody's time


@dataclass(frozen=True, slots=True)
class Hop:
    """What came of a packet that may pass `ttl` routers.

    Attributes:
        address: of who answered; None for silence.
        rtt_ms: until the answer, None for silence.
        kind: who that is: a router on the way, the server itself (it answered, or refused), or one who knows no way.
    """

    ttl: int
    address: str | None
    rtt_ms: float | None
    kind: Kind

    def shown(self) -> dict[str, Any]:
        """As JSON-able values."""
        return asdict(self)


def trace(
    address: str,
    port: int = 123,
    *,
    most_hops: int = MOST_HOPS,
    wait_s: float = WAIT_S,
    now_s: Callable[[], float] = time.monotonic,
) -> tuple[Hop, ...]:
    """The hops to `address`, up to the server or to where the way ends. Blocks for up to `most_hops` / 4 × `wait_s`.

    Raises:
        OSError: not even the first packet can be sent: no route, no such family.
    """
    hops: list[Hop] = []
    for first in range(1, most_hops + 1, WAVE):
        wave = _wave(address, port, range(first, min(first + WAVE, most_hops + 1)), wait_s, now_s)
        for hop in wave:
            hops.append(hop)
            if hop.kind in ("answered", "refused", "unreachable"):
                return tuple(hops)
    while len(hops) > 1 and hops[-1].kind == "silent" == hops[-2].kind:
        hops.pop()  # one line of silence says it all
    return tuple(hops)


def _wave(address: str, port: int, ttls: range, wait_s: float, now_s: Callable[[], float]) -> list[Hop]:
    six = ipaddress.ip_address(address).version == 6
    found: dict[int, Hop] = {}
    poller, sent = select.poll(), {}
    with contextlib.ExitStack() as stack:
        for ttl in ttls:
            sock = stack.enter_context(
                socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
            )
            sock.settimeout(0)
            level = socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP
            sock.setsockopt(level, _IPV6_RECVERR if six else _IP_RECVERR, 1)
            sock.setsockopt(level, socket.IPV6_UNICAST_HOPS if six else socket.IP_TTL, ttl)
            sock.connect((address, port))
            sent[sock.fileno()] = (sock, ttl, now_s())
            sock.send(_REQUEST)
            poller.register(sock, select.POLLIN)  # errors are told in any case
        end_s = now_s() + wait_s
        while len(found) < len(sent) and (left_s := end_s - now_s()) > 0:
            for descriptor, events in poller.poll(left_s * 1000):
                sock, ttl, at_s = sent[descriptor]
                hop = _read(sock, ttl, events, address, (now_s() - at_s) * 1000)
                if hop is not None:
                    found[ttl] = hop
                    poller.unregister(descriptor)
    return [found.get(ttl, Hop(ttl, None, None, "silent")) for ttl in ttls]


def _read(sock: socket.socket, ttl: int, events: int, address: str, rtt_ms: float) -> Hop | None:
    rtt_ms = round(rtt_ms, 2)
    if events & select.POLLERR:
        try:
            _, controls, _, _ = sock.recvmsg(64, 512, socket.MSG_ERRQUEUE)
        except OSError:
            return None
        for _, _, data in controls:
            if (said := meaning(data)) is not None:
                return Hop(ttl, said[0], rtt_ms, said[1])
        return None
    try:
        sock.recv(64)
    except OSError:
        return None
    return Hop(ttl, address, rtt_ms, "answered")


def meaning(data: bytes) -> tuple[str, Kind] | None:
    """Who sent an ICMP message and what it means here, from the control message that holds it; None for anything else."""
    if len(data) < _EXTENDED_ERROR.size + 8:
        return None
    _, origin, kind, code, _, _, _ = _EXTENDED_ERROR.unpack_from(data)
    name = data[_EXTENDED_ERROR.size :]
    if origin == _ICMP:
        who = socket.inet_ntop(socket.AF_INET, name[4:8])
        expired, refused = kind == 11, (kind, code) == (3, 3)  # RFC 792
    elif origin == _ICMP6 and len(name) >= 24:
        who = socket.inet_ntop(socket.AF_INET6, name[8:24])
        expired, refused = kind == 3, (kind, code) == (1, 4)  # RFC 4443
    else:
        return None
    return who, "router" if expired else "refused" if refused else "unreachable"
