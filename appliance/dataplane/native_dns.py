"""DNS in the native plane: UDP is answered in Rust, TCP by the Python plane's thread, from the same snapshot."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from appliance.core.clock import Clock
from appliance.dataplane.dns_hand_up import HandUpWorker, Responder, nobody
from appliance.dataplane.dns_rate import Offender, RateLimit, offender
from appliance.dataplane.dns_shares import Tally, add_shares
from appliance.dataplane.dns_snapshot import AnswerSnapshot, Denial, Node, Rotation, Section
from appliance.dataplane.dns_sockets import bind_one
from appliance.dataplane.interface import Endpoint
from appliance.dataplane.native import sampling_tuple, wanted_tuple
from appliance.dataplane.python_dns import named_counts
from appliance.dataplane.python_dns_tcp import TcpWorker
from appliance.dataplane.sampling import Sample, Sampled, Sampling
from appliance.dataplane.sandbox import Sandbox

if TYPE_CHECKING:
    from appliance.dataplane import _native

_ATTEMPTS = 20


def answers_tuple(snapshot: AnswerSnapshot) -> _native.AnswersTuple:
    """A snapshot as the native plane takes it; tables that names share are handed over once."""
    numbers: dict[tuple[int, int, int, int, int], int] = {}
    tables: list[_native.TableTuple] = []

    def rotation(one: Rotation) -> _native.RotationTuple:
        key = (id(one.cuts), id(one.sets), one.size, one.stride, one.mark)
        if key not in numbers:
            numbers[key] = len(tables)
            tables.append((one.cuts, b"".join(one.sets), one.size, one.stride, one.mark))
        return numbers[key], one.offset, one.turn

    def node(one: Node) -> _native.NodeTuple:
        return (
            [(qtype, _section(section)) for qtype, section in one.static.items()],
            [(qtype, rotation(rotating)) for qtype, rotating in one.rotating.items()],
            [(qtype, _denial(denial)) for qtype, denial in one.denied.items()],
            None if one.alias is None else _section(one.alias),
        )

    names = [(name, node(one)) for name, one in snapshot.names.items()]
    return (
        snapshot.zone, names, tables, (_denial(snapshot.nodata), _denial(snapshot.nxdomain)),
        _section(snapshot.any_section), (snapshot.expire_s, snapshot.nsid),
        [(name, _section(section)) for name, section in snapshot.chaos.items()],
        (snapshot.draw_secret, snapshot.slot_ns, snapshot.cookie_secrets, snapshot.largest_unproven),
        (snapshot.hand_up.names, sum(1 << o for o in snapshot.hand_up.opcodes), snapshot.hand_up.signed),
        None if snapshot.rate_limit is None else _rate(snapshot.rate_limit),
    )  # fmt: skip


def _rate(rate: RateLimit) -> _native.RateTuple:
    exempt = [(n.version == 6, int(n.network_address), n.prefixlen) for n in rate.exempt]
    return rate.levels4, rate.levels6, rate.bound, rate.slip, exempt


def _section(section: Section) -> _native.SectionTuple:
    return section.answers, section.body, section.additional, section.extra


def _denial(denial: Denial) -> _native.DenialTuple:
    return denial.rcode, denial.soa, denial.extended_error


def _bind(
    listen: Sequence[Endpoint], answers: _native.DnsAnswers, workers: int, *, confined: bool
) -> tuple[_native.DnsServer, list[socket.socket]]:
    """UDP and TCP on the same ports; where port 0 was asked for, one that is free for both."""
    from appliance.dataplane import _native

    for attempt in range(_ATTEMPTS):
        with contextlib.ExitStack() as undo:
            tcp = []
            for endpoint in listen:
                tcp.append(bind_one(endpoint, socket.SOCK_STREAM))
                undo.callback(tcp[-1].close)
            ports = [sock.getsockname()[1] for sock in tcp]
            wanted = [
                wanted_tuple(Endpoint(endpoint.host, port))
                for endpoint, port in zip(listen, ports, strict=True)
            ]
            try:
                udp = _native.DnsServer(wanted, answers, os.urandom(16), workers, confined)
            except OSError:
                if all(endpoint.port for endpoint in listen) or attempt == _ATTEMPTS - 1:
                    raise
                continue
            undo.pop_all()
            return udp, tcp
    raise AssertionError  # pragma: no cover - the loop returns or raises


class NativeDnsServer:
    """See `appliance.dataplane.interface.DnsServer`."""

    def __init__(
        self,
        listen: Sequence[Endpoint],
        snapshot: AnswerSnapshot,
        clock: Clock,
        workers: int,
        *,
        responder: Responder = nobody,
        confined: bool = True,
    ) -> None:
        from appliance.dataplane import _native

        self._answers = _native.DnsAnswers
        self._udp, listeners = _bind(
            listen, _native.DnsAnswers(answers_tuple(snapshot)), workers, confined=confined
        )
        self.endpoints = tuple(Endpoint(*endpoint) for endpoint in self._udp.endpoints)
        self.sandbox = Sandbox(*self._udp.sandbox)
        #: Snapshots that a worker may still answer from, by the number of their epoch.
        self._epochs = {0: snapshot}
        self._shares: dict[str, tuple[int, float]] = {}
        self._one_at_a_time = threading.Lock()
        self._tcp = TcpWorker(listeners, Tally(snapshot), clock, responder)
        handed_up = self._udp.hand_up()
        assert handed_up is not None  # nobody else asked for it
        self._handed = HandUpWorker(handed_up.take, responder, snapshot, clock)
        self._tcp.start()
        self._handed.start()

    def set_answers(self, snapshot: AnswerSnapshot) -> None:
        """Answer from `snapshot` from the next query on."""
        answers = self._answers(answers_tuple(snapshot))
        with self._one_at_a_time:
            self._handed.snapshot = snapshot
            self._epochs[self._udp.set_answers(answers)] = snapshot
            done, self._tcp.tally = self._tcp.tally, Tally(snapshot)
            add_shares(self._shares, done)
            self._settle()

    def _settle(self) -> list[Tally]:
        """Put what was given in epochs that are over to the shares; returns the tallies of the others."""
        open_ = []
        for epoch, over, marks in self._udp.tallies():
            tally = Tally(self._epochs[epoch])
            tally.given.update(marks)
            if over:
                add_shares(self._shares, tally)
                del self._epochs[epoch]
            else:
                open_.append(tally)
        return open_

    def counters(self) -> Mapping[tuple[str, str, str], int]:
        udp = {(qtype, outcome): number for qtype, outcome, number in self._udp.outcomes()}
        total = named_counts("udp", udp) + named_counts("udp", self._handed.counts)
        return dict(total + named_counts("tcp", self._tcp.counts))

    def shares(self) -> Mapping[str, tuple[int, float]]:
        """By address: answers that held it since the start, and how many would have been its exact share."""
        with self._one_at_a_time:
            running = self._settle()
            shares = dict(self._shares)
            for tally in (*running, self._tcp.tally):
                add_shares(shares, tally)
            return shares

    def offenders(self) -> Sequence[Offender]:
        return [offender(*row) for row in self._udp.offenders()]

    def sample(self, sampling: Sampling) -> None:
        self._udp.set_sampling(*sampling_tuple(sampling))

    def take_samples(self, most: int) -> Sequence[Sample]:
        return [Sample(*row) for row in self._udp.take_samples(most)]

    def sampled(self) -> Sampled:
        return Sampled(*self._udp.sampled())

    def failure(self) -> BaseException | None:
        why = self._udp.failure()
        return RuntimeError(why) if why else self._tcp.failure or self._handed.failure

    def close(self) -> None:
        self._tcp.stop()
        self._udp.close()
        self._tcp.join()
        self._handed.join()
