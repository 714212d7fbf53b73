"""DNS over sockets, in Python: one thread for each UDP socket and one for all of TCP. They ask `decide` and count.

This is the plane that works everywhere, and the specification of every faster one.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from appliance.core.clock import Clock
from appliance.dataplane.dns_decide import decide, refuse
from appliance.dataplane.dns_hand_up import (
    BUG,
    QUEUE_FULL,
    SEND_FAILED,
    TOO_LATE,
    HandUpQueue,
    HandUpWorker,
    Responder,
    Waiting,
    nobody,
)
from appliance.dataplane.dns_limited import LIMITED, LIMITED_BADCOOKIE, LIMITED_TRUNCATED
from appliance.dataplane.dns_pktinfo import ANCILLARY_BYTES, Control, own_address, reply_source
from appliance.dataplane.dns_rate import Limiter, Offender
from appliance.dataplane.dns_reply import DROP, HANDED_UP, Arrival, Decision
from appliance.dataplane.dns_shares import Tally, add_shares
from appliance.dataplane.dns_snapshot import AnswerSnapshot
from appliance.dataplane.dns_sockets import Udp, bind, is_wildcard
from appliance.dataplane.interface import Endpoint
from appliance.dataplane.python_dns_tcp import TcpWorker
from appliance.dataplane.sampling import Sample, Sampled, Sampling, Switch, Tap
from appliance.dataplane.sandbox import IN_PYTHON
from appliance.wire.dns import NOERROR, RCODE_NAMES, TYPE_NAMES, type_name

log = logging.getLogger("dns.plane")

#: Outcomes in words, beside the RCODEs.
OUTCOME_NAMES = {
    **RCODE_NAMES,
    DROP: "drop",
    SEND_FAILED: "send_failed",
    BUG: "error",
    QUEUE_FULL: "queue_full",
    TOO_LATE: "too_late",
    LIMITED: "limited",
    LIMITED_TRUNCATED: "limited_truncated",
    LIMITED_BADCOOKIE: "limited_badcookie",
}

#: Outcomes that tell nothing about who asked; what became of any other is drawn for itself when somebody looks at queries.
ORDINARY = frozenset(
    (NOERROR, SEND_FAILED, BUG, QUEUE_FULL, TOO_LATE, LIMITED, LIMITED_TRUNCATED, LIMITED_BADCOOKIE)
)

_LONGEST_QUERY = 4096


def serve(
    listen: Sequence[Endpoint], snapshot: AnswerSnapshot, clock: Clock, responder: Responder = nobody
) -> PythonDnsServer:
    """Bind UDP and TCP on every endpoint and answer from `snapshot`.

    Raises:
        OSError: an address cannot be bound; `filename` holds the endpoint.
    """
    with contextlib.ExitStack() as undo:
        udp: list[Udp] = []
        tcp: list[socket.socket] = []
        endpoints: list[Endpoint] = []
        for endpoint in listen:
            bound, listener = bind(endpoint)
            for sock in (*(one.sock for one in bound), listener):
                undo.callback(sock.close)
            udp += bound
            tcp.append(listener)
            endpoints.append(bound[0].endpoint)
        server = PythonDnsServer(tuple(endpoints), udp, tcp, snapshot, clock, responder)
        undo.pop_all()
        return server


def named_counts(transport: str, counts: Mapping[tuple[int, int], int]) -> Counter[tuple[str, str, str]]:
    """Counts by query type and outcome, by their names. Threads may go on counting."""
    total: Counter[tuple[str, str, str]] = Counter()
    for (qtype, outcome), number in dict(counts).items():
        # Types without a name share one: anybody can ask for 65,536 of them.
        name = type_name(qtype) if qtype in TYPE_NAMES else "other"
        total[transport, name, OUTCOME_NAMES.get(outcome, str(outcome))] += number
    return total


class _UdpWorker(threading.Thread):
    """Receives, decides, sends, counts. One socket, one thread, nothing shared but the pointer to the snapshot."""

    def __init__(
        self,
        sock: socket.socket,
        endpoint: Endpoint,
        tally: Tally,
        clock: Clock,
        limiter: Limiter,
        up: HandUpQueue,
        *,
        lent: bool,
    ) -> None:
        super().__init__(name=f"dns-udp-{endpoint}", daemon=True)
        self.tally = tally
        self.counts: dict[tuple[int, int], int] = {}
        self.failure: BaseException | None = None
        self._sock = sock
        self._wildcard = is_wildcard(endpoint)
        self._clock = clock
        self._limiter = limiter
        self._up = up
        self._closing = False
        self._sequence = 0
        self.tap: Tap | None = None
        self._lent = lent
        self._bound = bytes(16 if sock.family == socket.AF_INET6 else 4)
        if not self._wildcard:
            self._bound = socket.inet_pton(sock.family, endpoint.host)
        self._port = sock.getsockname()[1]

    def run(self) -> None:
        receive = self._receive_wildcard if self._wildcard else self._receive_bound
        try:
            while not self._closing:
                # A bug in a reply is counted and logged; the packet that found it must not take the service away.
                try:
                    receive()
                except OSError as error:
                    if self._closing:
                        return
                    if not isinstance(error, BlockingIOError | InterruptedError | ConnectionError):
                        raise
                except Exception:
                    if not self._count(0, BUG):
                        log.exception("a query could not be answered; more of the same are only counted")
        except BaseException as error:  # noqa: BLE001 - the owner reads it from `failure`
            self.failure = error
        finally:
            self._sock.close()

    def stop(self) -> None:
        self._closing = True
        if self._lent:
            return  # it looks around by itself, soon
        # The kernel says that it is not connected, and wakes the receiver all the same.
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def _receive_bound(self) -> None:
        receive, send, counts = self._sock.recvfrom, self._sock.sendto, self.counts
        while not self._closing:
            query, client = receive(_LONGEST_QUERY)
            if client is None:  # the socket was shut down
                return
            if not client[1]:
                self._sample(query, client, DROP)
                self._count(0, DROP)
                continue
            tally = self.tally
            reply, outcome, qtype, mark = self._decide(query, client[0], tally.snapshot)
            if self.tap is not None:
                self._sample(query, client, outcome)
            if outcome == HANDED_UP:
                back = functools.partial(self._send_back, client=client)
                if self._hand_up(query, client[0], back):
                    continue
                reply, outcome = self._refuse(query, client[0], tally.snapshot), QUEUE_FULL
            if reply is not None:
                try:
                    send(reply, socket.MSG_DONTWAIT, client)
                except OSError:
                    outcome = SEND_FAILED
            if mark >= 0:
                tally.given[mark] = tally.given.get(mark, 0) + 1
            key = (qtype, outcome)
            counts[key] = counts.get(key, 0) + 1

    def _receive_wildcard(self) -> None:
        query, ancillary, _flags, client = self._sock.recvmsg(_LONGEST_QUERY, ANCILLARY_BYTES)
        if client is None:  # the socket was shut down
            return
        if not client[1]:
            self._sample(query, client, DROP, ancillary)
            self._count(0, DROP)
            return
        tally = self.tally
        reply, outcome, qtype, mark = self._decide(query, client[0], tally.snapshot)
        if self.tap is not None:
            self._sample(query, client, outcome, ancillary)
        if outcome == HANDED_UP:
            back = functools.partial(self._send_back, client=client, ancillary=ancillary)
            if self._hand_up(query, client[0], back):
                return
            reply, outcome = self._refuse(query, client[0], tally.snapshot), QUEUE_FULL
        if reply is not None:
            try:
                self._sock.sendmsg([reply], reply_source(ancillary), socket.MSG_DONTWAIT, client)
            except OSError:
                outcome = SEND_FAILED
        if mark >= 0:
            tally.given[mark] = tally.given.get(mark, 0) + 1
        self._count(qtype, outcome)

    def _sample(self, query: bytes, client: Any, outcome: int, ancillary: Sequence[Control] = ()) -> None:
        """Copy the query aside if it is one of those that are wanted."""
        tap = self.tap
        if tap is None:
            return
        source = socket.inet_pton(self._sock.family, client[0].partition("%")[0])
        if why := tap.why(source, self._clock.monotonic_ns(), outcome):
            own = (own_address(ancillary) or self._bound, self._port)
            tap.put(query, len(query), source, client[1], own, self._clock.wall_ns(), outcome, why)

    def _decide(self, query: bytes, source: str, snapshot: AnswerSnapshot) -> Decision:
        self._sequence += 1
        clock = self._clock
        return decide(
            query, source, "udp", clock.wall_ns(), snapshot,
            sequence=self._sequence, mono_ns=clock.monotonic_ns(), limiter=self._limiter,
        )  # fmt: skip

    def _hand_up(self, query: bytes, source: str, send: Callable[[bytes], object]) -> bool:
        """Whether the query is in the queue; it is counted when it leaves it."""
        return self._up.put(Waiting(query, source, self._clock.monotonic_ns(), self._clock, send))

    def _refuse(self, query: bytes, source: str, snapshot: AnswerSnapshot) -> bytes | None:
        return refuse(query, Arrival(source, "udp", self._clock.wall_ns(), self._sequence), snapshot)[0]

    def _send_back(self, reply: bytes, *, client: Any, ancillary: Sequence[Control] = ()) -> None:
        self._sock.sendmsg([reply], reply_source(ancillary), socket.MSG_DONTWAIT, client)

    def _count(self, qtype: int, outcome: int) -> int:
        """Count one query; returns how many of its kind were counted before."""
        key = (qtype, outcome)
        before = self.counts.get(key, 0)
        self.counts[key] = before + 1
        return before


class PythonDnsServer:
    """A running DNS service; see `appliance.dataplane.interface.DnsServer`."""

    sandbox = IN_PYTHON

    def __init__(
        self,
        endpoints: tuple[Endpoint, ...],
        udp: Sequence[Udp],
        tcp: Sequence[socket.socket],
        snapshot: AnswerSnapshot,
        clock: Clock,
        responder: Responder,
    ) -> None:
        self.endpoints = endpoints
        self._shares: dict[str, tuple[int, float]] = {}
        self._limiter = Limiter(os.urandom(16))
        self._up = HandUpQueue()
        self._handed = HandUpWorker(self._up.take, responder, snapshot, clock)
        self._udp = [
            _UdpWorker(sock, endpoint, Tally(snapshot), clock, self._limiter, self._up, lent=lent)
            for sock, endpoint, lent in udp
        ]
        self._tcp = TcpWorker(tcp, Tally(snapshot), clock, responder)
        self._workers: list[_UdpWorker | TcpWorker] = [*self._udp, self._tcp]
        self._switch = Switch(len(self._udp), ORDINARY)
        for worker in (*self._workers, self._handed):
            worker.start()

    def set_answers(self, snapshot: AnswerSnapshot) -> None:
        """Answer from `snapshot` from the next query on."""
        self._handed.snapshot = snapshot
        for worker in self._workers:
            done, worker.tally = worker.tally, Tally(snapshot)
            add_shares(self._shares, done)

    def counters(self) -> Mapping[tuple[str, str, str], int]:
        total = named_counts("tcp", self._tcp.counts) + named_counts("udp", self._handed.counts)
        for worker in self._udp:
            total += named_counts("udp", worker.counts)
        return dict(total)

    def shares(self) -> Mapping[str, tuple[int, float]]:
        """By address: answers that held it since the start, and how many would have been its exact share."""
        shares = dict(self._shares)
        for worker in self._workers:
            add_shares(shares, worker.tally)
        return shares

    def offenders(self) -> Sequence[Offender]:
        return self._limiter.offenders()

    def sample(self, sampling: Sampling) -> None:
        for worker, tap in zip(self._udp, self._switch.taps(sampling), strict=True):
            worker.tap = tap

    def take_samples(self, most: int) -> Sequence[Sample]:
        return self._switch.take(most)

    def sampled(self) -> Sampled:
        return self._switch.counts()

    def failure(self) -> BaseException | None:
        workers = (*self._workers, self._handed)
        return next((worker.failure for worker in workers if worker.failure is not None), None)

    def close(self) -> None:
        for worker in self._workers:
            worker.stop()
        self._up.close()
        for thread in (*self._workers, self._handed):
            thread.join()
