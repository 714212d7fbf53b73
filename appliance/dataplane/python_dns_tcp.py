"""DNS over TCP (RFC 7766) in one thread: many connections, none of which can hold up another.

A connection that sends something which cannot be a query is ended; so is one that is idle, or that does not read.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from appliance.core.clock import Clock
from appliance.dataplane.dns_decide import decide
from appliance.dataplane.dns_hand_up import Responder, nobody
from appliance.dataplane.dns_reply import HANDED_UP, Arrival
from appliance.dataplane.dns_shares import Tally
from appliance.dataplane.dns_snapshot import TcpLimits

log = logging.getLogger("dns.plane")

_BUG = -3
_READ_BYTES = 16384
#: Answers waiting for a client that does not read them; until some are gone we read nothing more from it.
_MOST_WAITING_BYTES = 65536


@dataclass(slots=True, eq=False)
class _Connection:
    sock: socket.socket
    source: str
    deadline_ns: int
    received: bytearray = field(default_factory=bytearray)
    waiting: bytearray = field(default_factory=bytearray)
    half_closed: bool = False
    ending: bool = False
    interest: int = selectors.EVENT_READ


class TcpWorker(threading.Thread):
    """Serves every TCP listener; owns its connections."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        tally: Tally,
        clock: Clock,
        responder: Responder = nobody,
    ) -> None:
        super().__init__(name="dns-tcp", daemon=True)
        self.tally = tally
        self.counts: dict[tuple[int, int], int] = {}
        self.failure: BaseException | None = None
        self._listeners = listeners
        self._clock = clock
        self._responder = responder
        self._closing = False
        self._sequence = 0
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        for listener in listeners:
            self._selector.register(listener, selectors.EVENT_READ)
        # Longest idle first.
        self._connections: OrderedDict[socket.socket, _Connection] = OrderedDict()

    def stop(self) -> None:
        self._closing = True
        with contextlib.suppress(OSError):
            self._wake.send(b"\0")

    def run(self) -> None:
        try:
            while not self._closing:
                self._turn()
        except BaseException as error:  # noqa: BLE001 - the owner reads it from `failure`
            self.failure = error
        finally:
            for connection in list(self._connections.values()):
                self._end(connection)
            self._selector.close()
            for sock in (*self._listeners, self._wake, self._woken):
                sock.close()

    def _turn(self) -> None:
        for key, events in self._selector.select(1.0 if self._connections else None):
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            if sock in self._listeners:
                self._accept(sock)
                continue
            connection = self._connections.get(sock)
            if connection is None:
                continue  # ended earlier in this turn, or the wake-up call
            try:
                if events & selectors.EVENT_READ:
                    self._read(connection)
                while self._answer_received(connection):
                    self._flush(connection)
                self._flush(connection)
            except OSError:
                self._end(connection)
            except Exception:
                if not self._count(0, _BUG):
                    log.exception("a query over TCP could not be answered; more of the same are only counted")
                self._end(connection)
        self._end_overdue()

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, client = listener.accept()
        except OSError:
            # The client is gone already, or we have no descriptor left: the longest idle one makes room.
            if self._connections:
                self._end(next(iter(self._connections.values())))
            return
        if len(self._connections) >= self._limits.clients:
            self._end(next(iter(self._connections.values())))
        sock.settimeout(0)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections[sock] = _Connection(sock, client[0], self._after(self._limits.idle))
        self._selector.register(sock, selectors.EVENT_READ)

    def _read(self, connection: _Connection) -> None:
        try:
            octets = connection.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        connection.received += octets
        # It may have closed only its half: what it asked is still answered.
        connection.half_closed = not octets

    def _answer_received(self, connection: _Connection) -> bool:
        """Answer whole queries in the order they came, as long as the client reads. Returns whether there was one."""
        buffer = connection.received
        at = 0
        while not connection.ending and len(connection.waiting) < _MOST_WAITING_BYTES:
            end = at + 2 + (buffer[at] << 8 | buffer[at + 1]) if len(buffer) >= at + 2 else len(buffer) + 1
            if end > len(buffer):
                # Whatever is left can never be completed when nothing more comes.
                connection.ending |= connection.half_closed
                break
            self._answer(connection, bytes(buffer[at + 2 : end]))
            at = end
        del buffer[:at]
        return at > 0 and not connection.ending

    def _answer(self, connection: _Connection, query: bytes) -> None:
        tally = self.tally
        self._sequence += 1
        reply, outcome, qtype, mark = decide(
            query, connection.source, "tcp", self._clock.wall_ns(), tally.snapshot, sequence=self._sequence
        )
        if outcome == HANDED_UP:
            arrival = Arrival(connection.source, "tcp", self._clock.wall_ns(), self._sequence)
            reply, outcome, qtype, mark = self._responder(query, arrival, tally.snapshot)
        if reply is None:
            connection.ending = True
        else:
            connection.waiting += len(reply).to_bytes(2, "big") + reply
            connection.deadline_ns = self._after(self._limits.idle)
            self._connections.move_to_end(connection.sock)
        if mark >= 0:
            tally.given[mark] = tally.given.get(mark, 0) + 1
        self._count(qtype, outcome)

    def _flush(self, connection: _Connection) -> None:
        """Send what the client takes; then wait for what is needed next, or end."""
        waiting = connection.waiting
        if waiting:
            before = len(waiting)
            with contextlib.suppress(BlockingIOError):
                del waiting[: connection.sock.send(waiting)]
            if not waiting:
                connection.deadline_ns = self._after(self._limits.idle)
            elif len(waiting) < before:
                connection.deadline_ns = self._after(self._limits.send)
            else:
                connection.deadline_ns = min(connection.deadline_ns, self._after(self._limits.send))
        if connection.ending and not waiting:
            self._end(connection)
            return
        interest = selectors.EVENT_WRITE if waiting else 0
        if not (connection.ending or connection.half_closed) and len(waiting) < _MOST_WAITING_BYTES:
            interest |= selectors.EVENT_READ
        if interest != connection.interest:
            connection.interest = interest
            self._selector.modify(connection.sock, interest)

    def _end_overdue(self) -> None:
        now_ns = self._clock.monotonic_ns()
        for connection in [c for c in self._connections.values() if c.deadline_ns <= now_ns]:
            self._end(connection)

    def _end(self, connection: _Connection) -> None:
        del self._connections[connection.sock]
        self._selector.unregister(connection.sock)
        connection.sock.close()

    @property
    def _limits(self) -> TcpLimits:
        return self.tally.snapshot.tcp

    def _after(self, tenths: int) -> int:
        return self._clock.monotonic_ns() + tenths * 100_000_000

    def _count(self, qtype: int, outcome: int) -> int:
        """Count one query; returns how many of its kind were counted before."""
        key = (qtype, outcome)
        before = self.counts.get(key, 0)
        self.counts[key] = before + 1
        return before
