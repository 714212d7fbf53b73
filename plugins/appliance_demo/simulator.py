"""Simulated members: one UDP socket on the loopback interface that answers for many 127.x.y.z addresses.

In a process of one's own: `python -m appliance_demo.simulator SPEC`, where SPEC is a JSON object (see `child`). In a test:

    with Simulator({"127.0.0.11": Fault(), "127.0.0.12": Fault(offset_s=0.3)}) as pool:
        probe("127.0.0.11", pool.port)
        pool.set_fault("127.0.0.11", Fault(silent=True))
"""

from __future__ import annotations

import contextlib
import heapq
import ipaddress
import itertools
import random
import selectors
import socket
import struct
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from appliance.core.clock import Clock, SystemClock
from appliance_demo.fault import Fault, respond

# Linux numbers that the socket module of Python 3.11 does not name.
_IP_PKTINFO = 8
_SO_TIMESTAMPNS = 35
_PKTINFO = struct.Struct("@i4s4s")  # struct in_pktinfo: interface, our address, destination in the header
_TIMESPEC = struct.Struct("@ll")
_ANCILLARY = socket.CMSG_SPACE(_PKTINFO.size) + socket.CMSG_SPACE(_TIMESPEC.size)

_BATCH = 256  # packets taken at once before delayed replies get their turn
_BUFFER = 8 << 20  # ten thousand members may all be asked at the same moment


@dataclass(frozen=True, slots=True)
class MemberState:
    """What a simulated member does and did.

    Attributes:
        requests: packets that reached it.
        replies: packets it sent.
    """

    address: str
    fault: Fault
    requests: int
    replies: int


class _Simulated:
    __slots__ = ("fault", "pktinfo", "replies", "requests", "since_ns")

    def __init__(self, packed: bytes, fault: Fault, since_ns: int) -> None:
        self.pktinfo = [(socket.IPPROTO_IP, _IP_PKTINFO, _PKTINFO.pack(0, packed, packed))]
        self.fault = fault
        self.since_ns = since_ns
        self.requests = 0
        self.replies = 0


class Simulator:
    """NTP servers that misbehave as told, each on its own loopback address, all on one port.

    Attributes:
        port: UDP port, known once started.
        strays: packets to loopback addresses that no member has.
    """

    def __init__(
        self,
        faults: Mapping[str, Fault],
        *,
        port: int = 0,
        clock: Clock | None = None,
        seed: int | None = None,
    ) -> None:
        """Prepare members by address.

        Args:
            faults: behaviour by IPv4 loopback address.
            port: UDP port; 0 takes any free one.
            clock: gives the members their time; the machine's own by default.
            seed: makes the losses repeatable.

        Raises:
            ValueError: an address is not an IPv4 loopback address.
        """
        self.port = port
        self.strays = 0
        self._clock = clock or SystemClock()
        self._dice = random.Random(seed)  # noqa: S311 - decides which packets get lost, not a secret
        self._members: dict[bytes, _Simulated] = {}
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._wake: socket.socket | None = None
        self._woken: socket.socket | None = None
        self._stopping = False
        self._delayed: list[tuple[int, int, bytes, _Simulated, tuple[str, int]]] = []
        self._order = itertools.count()
        for address, fault in faults.items():
            self.add(address, fault)

    def add(self, address: str, fault: Fault) -> None:
        """Let a member appear (or behave anew) at `address`.

        Raises:
            ValueError: not an IPv4 loopback address.
        """
        packed = _loopback(address)
        self._members[packed] = _Simulated(packed, fault, self._clock.monotonic_ns())

    def set_fault(self, address: str, fault: Fault) -> None:
        """Change what the member at `address` does, from the next packet on.

        Raises:
            KeyError: there is no such member.
            ValueError: not an IPv4 loopback address.
        """
        member = self._members[_loopback(address)]
        member.since_ns = self._clock.monotonic_ns()
        member.fault = fault

    def members(self) -> list[MemberState]:
        """All members in order of their addresses."""
        return [
            MemberState(socket.inet_ntoa(packed), member.fault, member.requests, member.replies)
            for packed, member in sorted(self._members.items())
        ]

    def start(self) -> None:
        """Bind and answer in a thread.

        Raises:
            OSError: the port is taken.
        """
        udp = _bind(self.port)
        self._socket = udp
        self.port = udp.getsockname()[1]
        self._woken, self._wake = socket.socketpair()
        self._stopping = False
        self._thread = threading.Thread(target=self._serve, name="simulated members", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering; returns when the thread is gone and the port is free."""
        if self._thread is None:
            return
        self._stopping = True
        assert self._wake is not None
        assert self._woken is not None
        assert self._socket is not None
        self._wake.send(b"x")
        self._thread.join()
        for open_socket in (self._wake, self._woken, self._socket):
            open_socket.close()
        self._thread = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _serve(self) -> None:
        assert self._socket is not None
        assert self._woken is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while not self._stopping:
                wait_s = None
                if self._delayed:
                    wait_s = max(0.0, (self._delayed[0][0] - self._clock.monotonic_ns()) / 1e9)
                selector.select(wait_s)
                self._answer_waiting(self._socket)
                self._send_due(self._socket)

    def _answer_waiting(self, udp: socket.socket) -> None:
        for _ in range(_BATCH):
            try:
                request, ancillary, _, client = udp.recvmsg(512, _ANCILLARY)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error of an earlier reply; the next packet is another matter
            destination, rx_ns = _read_ancillary(ancillary)
            member = self._members.get(destination)
            if member is None:
                self.strays += 1
                continue
            member.requests += 1
            now_ns = self._clock.monotonic_ns()
            tx_ns = self._clock.wall_ns()
            reply = respond(
                request,
                member.fault,
                elapsed_s=(now_ns - member.since_ns) / 1e9,
                rx_ns=rx_ns or tx_ns,
                tx_ns=tx_ns,
                dice=self._dice.random(),
            )
            if reply is None:
                continue
            if member.fault.delay_s:
                due_ns = now_ns + int(member.fault.delay_s * 1e9)
                heapq.heappush(self._delayed, (due_ns, next(self._order), reply, member, client))
            else:
                self._send(udp, reply, member, client)

    def _send_due(self, udp: socket.socket) -> None:
        while self._delayed and self._delayed[0][0] <= self._clock.monotonic_ns():
            _, _, reply, member, client = heapq.heappop(self._delayed)
            self._send(udp, reply, member, client)

    def _send(self, udp: socket.socket, reply: bytes, member: _Simulated, client: tuple[str, int]) -> None:
        member.replies += 1  # before the client can look at the count
        try:
            udp.sendmsg([reply], member.pktinfo, 0, client)
        except OSError:  # the client's port is closed, or its buffer is full: the packet is lost
            member.replies -= 1


def spread(first: str, count: int) -> Iterable[str]:
    """`count` successive loopback addresses from `first` on."""
    start = ipaddress.IPv4Address(first)
    return (str(start + i) for i in range(count))


def _loopback(address: str) -> bytes:
    try:
        parsed = ipaddress.IPv4Address(address)
    except ValueError:
        parsed = None
    if parsed is None or not parsed.is_loopback:
        raise ValueError(
            f"simulated members live on IPv4 loopback addresses such as 127.0.0.11, not on {address!r}"
        )
    return parsed.packed


def _bind(port: int) -> socket.socket:
    """A socket for every loopback address: bound to the wildcard, but deaf to all other interfaces."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        # An older kernel or a strict container refuses this. Then packets from elsewhere can come in, and die as strays:
        # no member has an address outside 127.0.0.0/8.
        with contextlib.suppress(PermissionError):
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
        udp.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        udp.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        udp.settimeout(0)
        udp.bind(("0.0.0.0", port))  # noqa: S104 - see above: the loopback interface only
    except BaseException:
        udp.close()
        raise
    return udp


def _read_ancillary(ancillary: list[tuple[int, int, bytes]]) -> tuple[bytes, int]:
    """Destination address (4 bytes) and kernel receive time in ns (0 when there is none)."""
    destination, rx_ns = b"", 0
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            destination = data[8:12]
        elif level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) == _TIMESPEC.size:
            seconds, rest_ns = _TIMESPEC.unpack(data)
            rx_ns = seconds * 1_000_000_000 + rest_ns
    return destination, rx_ns


if __name__ == "__main__":
    from appliance_demo.child import main

    sys.exit(main(sys.argv[1:]))
