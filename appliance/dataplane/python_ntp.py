"""The NTP service in Python: one thread of its own for all sockets, so that the event loop cannot delay a reply.

Control reaches the thread by one attribute assignment; the thread reaches control through counters that only it writes.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from random import getrandbits

from appliance.api.model import ClockState
from appliance.core.clock import Clock
from appliance.dataplane import ntp_book, ntp_networks
from appliance.dataplane.interface import Action, Client, Endpoint, Mark, NtpPolicy, Reason, Remembered
from appliance.dataplane.ntp_clients import WAYS, ClientTable
from appliance.dataplane.ntp_decide import PolicyTable, Snapshot, answer
from appliance.dataplane.ntp_interleaved import stamp_in
from appliance.dataplane.ntp_keys import NO_KEYS, Fault, KeyRing, NtpKey
from appliance.dataplane.ntp_memory import Memory
from appliance.dataplane.ntp_outcome import (
    AUTHENTICATED,
    FAULT_SHIFT,
    INTERLEAVED,
    ORDINARY,
    PLAIN,
    STAMP,
    Outcome,
    outcome_of,
    split,
)
from appliance.dataplane.sampling import Sample, Sampled, Sampling, Switch, Tap
from appliance.dataplane.sandbox import IN_PYTHON
from appliance.dataplane.udp_slots import Envelope, Slots, slots_for
from appliance.dataplane.udp_socket import bound, open_udp

log = logging.getLogger("ntp.plane")

_IGNORED = int(Action.IGNORE)
_SEND_FAILED, _BUG = outcome_of(Reason.SEND_FAILED), outcome_of(Reason.BUG)
_OUTCOMES = 3 << 8
_FAULT_MARKS = {
    Fault.UNKNOWN_KEY: Mark.UNKNOWN_KEY,
    Fault.WRONG_SOURCE: Mark.WRONG_SOURCE,
    Fault.WRONG_MAC: Mark.WRONG_MAC,
}

#: What a socket may say about the network without being broken itself: an interface went down, a route is gone.
_TRANSIENT = frozenset(
    {
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ECONNREFUSED,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EPROTO,
        errno.ENOPROTOOPT,
        errno.EPERM,
    }
)
#: Pause after such an error: should it come again at once, we neither spin nor stop.
_PAUSE_MS = 20


class _Lane:
    """One socket with its room for packets and its counters."""

    def __init__(self, sock: socket.socket, slots: Slots) -> None:
        self.sock = sock
        self.slots = slots
        self.endpoint = bound(sock)
        self.family = 6 if sock.family == socket.AF_INET6 else 4
        self.outcomes = [0] * _OUTCOMES
        self.first_bytes = [0] * 256
        self.marks = [0] * len(Mark)
        self._to_count = [0] * len(slots.packets)
        self.tap: Tap | None = None
        wildcard = self.endpoint.host in ("0.0.0.0", "::")  # noqa: S104 - a comparison
        self._bound = b"" if wildcard else socket.inet_pton(sock.family, self.endpoint.host)

    def turn(
        self,
        envelopes: Iterator[Envelope],
        snapshot: Snapshot,
        memory: Memory,
        mono_ns: int,
        wall_ns: Callable[[], int],
    ) -> None:
        """Answer what was received into the slots. This is the hot path."""
        slots, own_port = self.slots, self.endpoint.port.to_bytes(2)
        packets, replies = slots.packets, slots.replies
        outcomes, first_bytes, to_count = self.outcomes, self.first_bytes, self._to_count
        filled, tap = 0, self.tap
        for index, (size, address, port, own_address, rx_ns) in enumerate(envelopes):
            packet = packets[index]
            if size:
                first_bytes[packet[0]] += 1
            tx_ns = wall_ns()
            # A bug in one reply is counted; the packet that found it must not take the service away.
            try:
                outcome = answer(
                    packet, size, address, port, own_address, own_port,
                    rx_ns or tx_ns, tx_ns, mono_ns, getrandbits(64), snapshot, memory, replies[filled],
                )  # fmt: skip
            except Exception:
                if not outcomes[_BUG]:
                    log.exception("a packet could not be decided about; more of the same are only counted")
                outcome = _BUG
            if tap is not None and (why := tap.why(address, mono_ns, outcome & PLAIN)):
                own = (own_address if any(own_address) else self._bound or own_address, self.endpoint.port)
                tap.put(
                    packet, size, address, int.from_bytes(port), own, rx_ns or tx_ns, outcome & PLAIN, why
                )
            if outcome > PLAIN:
                outcomes[self._uncommon(outcome, index, replies[filled], memory)] += 1
            elif outcome >> 8 == _IGNORED:
                outcomes[outcome] += 1
            else:
                slots.address(filled, index)
                to_count[filled] = outcome
                filled += 1
        if filled:
            for index in slots.send(filled):
                to_count[index] = _SEND_FAILED
            for outcome in to_count[:filled]:
                outcomes[outcome] += 1

    def _uncommon(self, outcome: Outcome, index: int, reply: memoryview, memory: Memory) -> Outcome:
        """Send what goes on after its header, or is to be stamped, by itself; the outcome as it is counted."""
        if outcome >> FAULT_SHIFT:
            self.marks[_FAULT_MARKS[Fault(outcome >> FAULT_SHIFT)]] += 1
            return outcome & PLAIN
        packet = bytes(reply) + memory.mac if outcome & AUTHENTICATED else bytes(reply)
        if not self.slots.send_alone(index, packet, stamp=bool(outcome & STAMP)):
            return _SEND_FAILED
        self.marks[Mark.AUTHENTICATED] += bool(outcome & AUTHENTICATED)
        self.marks[Mark.INTERLEAVED] += bool(outcome & INTERLEAVED)
        return outcome & PLAIN

    def take_stamps(self, memory: Memory) -> None:
        """Read when replies left, which the kernel tells through the socket's error queue."""
        for sent, tx_ns in self.slots.stamps():
            self.marks[Mark.STAMPED] += stamp_in(sent, tx_ns, memory.interleaved)


class PythonNtpServer:
    """Answers on `listen` until it is closed. See `appliance.dataplane.interface.NtpServer`.

    Attributes:
        endpoints: what is bound, ports filled in.
        kind: the system call that packets are taken with.
        sandbox: none.

    Raises:
        OSError: an address cannot be bound; `filename` is the endpoint.
    """

    sandbox = IN_PYTHON

    def __init__(
        self,
        listen: Sequence[Endpoint],
        state: ClockState,
        policy: NtpPolicy,
        clock: Clock,
        *,
        clients: int = 0,
        make_slots: Callable[[socket.socket], Slots] = slots_for,
    ) -> None:
        self._clock = clock
        self._state, self._table = state, PolicyTable(policy)
        self._keys = NO_KEYS
        self._inputs = (self._state, self._table, self._keys)
        secret = os.urandom(16)
        table = ClientTable(-(-clients // WAYS), secret) if clients else None
        self._memory = Memory(table, ntp_networks.NetworkBuckets(ntp_networks.ROOM, secret))
        self._failure: BaseException | None = None
        with ExitStack() as undo:
            sockets = [undo.enter_context(sock) for endpoint in listen for sock in open_udp(endpoint)]
            self._lanes = tuple(_Lane(sock, make_slots(sock)) for sock in sockets)
            self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            undo.pop_all()
        self.endpoints = tuple(dict.fromkeys(lane.endpoint for lane in self._lanes))
        self._switch = Switch(len(self._lanes), ORDINARY)
        self.kind = self._lanes[0].slots.kind if self._lanes else ""
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="ntp", daemon=True)
        self._thread.start()

    def set_clock(self, state: ClockState) -> None:
        self._state = state
        self._inputs = (self._state, self._table, self._keys)

    def set_policy(self, policy: NtpPolicy) -> None:
        self._table = PolicyTable(policy)
        self._inputs = (self._state, self._table, self._keys)

    def set_keys(self, keys: Sequence[NtpKey]) -> None:
        self._keys = KeyRing(keys)
        self._inputs = (self._state, self._table, self._keys)

    def counters(self) -> Mapping[tuple[Reason, Action], int]:
        total: Counter[tuple[Reason, Action]] = Counter()
        for lane in self._lanes:
            for outcome, count in enumerate(lane.outcomes):
                if count:
                    total[split(outcome)] += count
        return total

    def traffic(self) -> Mapping[tuple[int, int, int], int]:
        total: Counter[tuple[int, int, int]] = Counter()
        for lane in self._lanes:
            for first, count in enumerate(lane.first_bytes):
                if count:
                    total[first >> 3 & 7, first & 7, lane.family] += count
        return total

    def clients(self) -> Sequence[Client]:
        table = self._memory.clients
        return ntp_book.clients_of(record[:12] for record in table.all()) if table else []

    def remembered(self) -> Remembered:
        return self._memory.remembered()

    def marks(self) -> Mapping[Mark, int]:
        return {mark: count for mark in Mark if (count := sum(lane.marks[mark] for lane in self._lanes))}

    def sample(self, sampling: Sampling) -> None:
        for lane, tap in zip(self._lanes, self._switch.taps(sampling), strict=True):
            lane.tap = tap

    def take_samples(self, most: int) -> Sequence[Sample]:
        return self._switch.take(most)

    def sampled(self) -> Sampled:
        return self._switch.counts()

    def failure(self) -> BaseException | None:
        return self._failure

    def close(self) -> None:
        with self._closing:
            if self._closed:
                return
            self._closed = True
            os.eventfd_write(self._wake, 1)
            self._thread.join()
            os.close(self._wake)
            for lane in self._lanes:
                lane.sock.close()

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as e:  # noqa: BLE001 - whatever it was, `failure` tells whoever supervises
            self._failure = e

    def _serve(self) -> None:
        monotonic_ns, wall_ns = self._clock.monotonic_ns, self._clock.wall_ns
        lanes = {lane.sock.fileno(): lane for lane in self._lanes}
        wake, memory = self._wake, self._memory
        poller = select.poll()
        for descriptor in (*lanes, wake):
            poller.register(descriptor, select.POLLIN)
        inputs = self._inputs
        snapshot, was_set = Snapshot.at(monotonic_ns(), *inputs), False
        while True:
            for descriptor, events in poller.poll():
                if descriptor == wake:
                    return
                lane = lanes[descriptor]
                if events & select.POLLERR:
                    lane.take_stamps(memory)
                try:
                    envelopes = lane.slots.receive()
                except OSError as e:
                    if e.errno not in _TRANSIENT:
                        raise
                    select.select([wake], [], [], _PAUSE_MS / 1000)
                    continue
                # After the packets: what came once a new state was set must not be answered from the old one.
                now_ns = monotonic_ns()
                latest = self._inputs
                fresh, inputs = inputs is not latest, latest
                state, policy, keys = inputs
                # A second look, because the thread may have to wait between the two readings.
                is_set = state.was_set(wall_ns(), now_ns) and state.was_set(wall_ns(), monotonic_ns())
                if now_ns >= snapshot.valid_until_mono_ns or fresh or is_set != was_set:
                    was_set = is_set
                    seen = replace(state, leap=3, stratum=0) if is_set else state
                    snapshot = Snapshot.at(now_ns, seen, policy, keys)
                    memory.interleaved.watch_clock(wall_ns(), now_ns)
                lane.turn(envelopes, snapshot, memory, now_ns, wall_ns)
