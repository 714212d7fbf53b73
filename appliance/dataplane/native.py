"""The native data plane: common packets are answered in Rust, without the interpreter. `_native.pyi` is the boundary."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from appliance.api.model import ClockState
from appliance.core.clock import Clock, SystemClock
from appliance.dataplane import handed, ntp_book, ntp_decide
from appliance.dataplane.interface import (
    Action,
    Client,
    DnsServer,
    Endpoint,
    Mark,
    NtpPolicy,
    NtpServer,
    Reason,
    Remembered,
)
from appliance.dataplane.sampling import Sample, Sampled, Sampling
from appliance.dataplane.sandbox import SWITCHED_OFF, Sandbox

if TYPE_CHECKING:
    from appliance.dataplane import _native
    from appliance.dataplane.dns_hand_up import Responder
    from appliance.dataplane.dns_snapshot import AnswerSnapshot
    from appliance.dataplane.ntp_keys import NtpKey

#: i64 in nanoseconds ends in 2262; what is further away is as good as never.
_FURTHEST_NS = 2**63 - 1


def wanted_tuple(endpoint: Endpoint) -> _native.WantedTuple:
    """An address as the native plane takes it, with the sockets that were handed over for it."""
    return endpoint.host, endpoint.port, handed.descriptors(endpoint, socket.SOCK_DGRAM)


def clock_tuple(state: ClockState) -> _native.ClockTuple:
    """A clock state as the native plane takes it."""
    return (
        state.leap, state.stratum if 0 <= state.stratum <= 15 else 0, state.refid.ljust(4, b"\0")[:4],
        _clamped(state.reference_ns), state.root_delay_s, state.root_dispersion_s, state.dispersion_rate,
        (_clamped(state.as_of_mono_ns), None if state.as_of_wall_ns is None else _clamped(state.as_of_wall_ns)), state.correction_s, state.precision, state.max_distance_s,
        _clamped(state.expires_mono_ns),
    )  # fmt: skip


def policy_rules(policy: NtpPolicy) -> list[_native.RuleTuple]:
    """The rules of a policy as the native plane takes them."""
    return [
        (rule.network.version == 6, int(rule.network.network_address), rule.network.prefixlen, rule.action)
        for rule in policy.rules
    ]


def limit_tuple(policy: NtpPolicy) -> _native.LimitTuple | None:
    """The limits of a policy as the native plane takes them."""
    limit = policy.limit
    if limit is None:
        return None
    return (
        (limit.interval, limit.burst),
        (limit.leak, limit.kod),
        (limit.prefix_interval, limit.prefix_burst),
        [(n.version == 6, int(n.network_address), n.prefixlen) for n in limit.exempt],
    )


def key_tuples(keys: Sequence[NtpKey]) -> list[_native.KeyTuple]:
    """Keys as the native plane takes them."""
    return [
        (
            key.id,
            key.kind.label,
            key.secret,
            [(n.version == 6, int(n.network_address), n.prefixlen) for n in key.networks],
        )
        for key in keys
    ]


def sampling_tuple(sampling: Sampling) -> tuple[int, int, _native.FocusTuple | None, int]:
    """What is to be sampled as the native plane takes it."""
    focus = sampling.focus
    if focus is None:
        return sampling.every, sampling.keep, None, sampling.unusual
    network = focus.network
    where = (network.version == 6, int(network.network_address), network.prefixlen)
    asked = (*where, _clamped(focus.until_mono_ns), focus.most)
    return sampling.every, sampling.keep, asked, sampling.unusual


def _clamped(ns: int) -> int:
    return max(-_FURTHEST_NS, min(_FURTHEST_NS, ns))


class NativeNtpServer:
    """See `appliance.dataplane.interface.NtpServer`."""

    def __init__(
        self,
        listen: Sequence[Endpoint],
        clock: ClockState,
        policy: NtpPolicy,
        workers: int,
        *,
        confined: bool = True,
        clients: int = 0,
    ) -> None:
        from appliance.dataplane import _native

        self._server = _native.NtpServer(
            [wanted_tuple(endpoint) for endpoint in listen], clock_tuple(clock), policy_rules(policy), policy.default,
            ntp_decide.LATE_NS, limit_tuple(policy), workers, confined, clients, os.urandom(16),
        )  # fmt: skip
        self.endpoints = tuple(Endpoint(*endpoint) for endpoint in self._server.endpoints)
        self.sandbox = Sandbox(*self._server.sandbox)

    def set_clock(self, state: ClockState) -> None:
        self._server.set_clock(clock_tuple(state))

    def set_policy(self, policy: NtpPolicy) -> None:
        self._server.set_policy(policy_rules(policy), policy.default, ntp_decide.LATE_NS, limit_tuple(policy))

    def set_keys(self, keys: Sequence[NtpKey]) -> None:
        self._server.set_keys(key_tuples(keys))

    def marks(self) -> Mapping[Mark, int]:
        return {Mark(mark): count for mark, count in self._server.marks()}

    def counters(self) -> Mapping[tuple[Reason, Action], int]:
        return {(Reason(reason), Action(action)): count for reason, action, count in self._server.outcomes()}

    def traffic(self) -> Mapping[tuple[int, int, int], int]:
        total: Counter[tuple[int, int, int]] = Counter()
        for first, six, count in self._server.first_bytes():
            total[first >> 3 & 7, first & 7, 6 if six else 4] += count
        return total

    def clients(self) -> Sequence[Client]:
        return ntp_book.clients_of(self._server.clients())

    def remembered(self) -> Remembered:
        return Remembered(*self._server.remembered())

    def sample(self, sampling: Sampling) -> None:
        self._server.set_sampling(*sampling_tuple(sampling))

    def take_samples(self, most: int) -> Sequence[Sample]:
        return [Sample(*row) for row in self._server.take_samples(most)]

    def sampled(self) -> Sampled:
        return Sampled(*self._server.sampled())

    def failure(self) -> BaseException | None:
        why = self._server.failure()
        return RuntimeError(why) if why else None

    def close(self) -> None:
        self._server.close()


class NativePlane:
    """NTP, and DNS over UDP, in Rust threads, one for each core and address.

    Attributes:
        why: one sentence: why this plane was chosen.
        workers: threads for each address.
        faster, sandbox: see `DataPlane`.
    """

    name = "native"
    faster = ""

    def __init__(
        self, why: str = "", *, clock: Clock | None = None, workers: int = 0, confined: bool = True
    ) -> None:
        self.why = why
        self.sandbox = Sandbox(on=True) if confined else SWITCHED_OFF
        self._confined = confined
        self._clock = clock or SystemClock()
        self.workers = workers or len(os.sched_getaffinity(0))

    def serve_ntp(
        self, listen: Sequence[Endpoint], clock: ClockState, policy: NtpPolicy, *, clients: int = 0
    ) -> NtpServer:
        server = NativeNtpServer(
            listen, clock, policy, self.workers, confined=self._confined, clients=clients
        )
        self.sandbox = server.sandbox
        return server

    def serve_dns(
        self, listen: Sequence[Endpoint], snapshot: AnswerSnapshot, responder: Responder | None = None
    ) -> DnsServer:
        from appliance.dataplane.dns_hand_up import nobody
        from appliance.dataplane.native_dns import NativeDnsServer

        server = NativeDnsServer(
            listen,
            snapshot,
            self._clock,
            self.workers,
            responder=responder or nobody,
            confined=self._confined,
        )
        self.sandbox = server.sandbox
        return server
