"""The packet path behind one interface, so that a faster implementation plugs in without anybody noticing.

Control hands immutable snapshots in (clock, policy, answers), swapped by one pointer; counters come out. Nothing in here
waits for the event loop, and the event loop never waits for a packet.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from appliance.api.model import ClockState
from appliance.dataplane.client_keys import client_network
from appliance.dataplane.sampling import Sample, Sampled, Sampling
from appliance.dataplane.sandbox import Sandbox

if TYPE_CHECKING:
    from appliance.dataplane.dns_hand_up import Responder
    from appliance.dataplane.dns_rate import Offender
    from appliance.dataplane.dns_snapshot import AnswerSnapshot
    from appliance.dataplane.ntp_keys import NtpKey


class Endpoint(NamedTuple):
    """A local address to listen on. `host` is an IP literal, port 0 asks for any free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Read "192.0.2.1:123" or "[2001:db8::1]:123".

        Raises:
            ValueError: with what would be right.
        """
        host, colon, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        bare = host[1:-1] if bracketed else host
        try:
            right = bool(colon) and (ipaddress.ip_address(bare).version == 6) == bracketed
            number = int(port)
        except ValueError:
            right, number = False, -1
        if not right or not 0 <= number <= 65535:
            raise ValueError(f'expected "ADDRESS:PORT" such as "0.0.0.0:123" or "[::]:123", got {text!r}')
        return cls(bare, number)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Reason(IntEnum):
    """Why an NTP packet was treated as it was. The numbers are fixed: metrics and the native plane share them."""

    OK = 0  # a request we serve
    UNSYNCHRONISED = 1  # a request we serve with leap 3 / stratum 0
    TOO_SHORT = 2  # fewer than 48 bytes
    BAD_LENGTH = 3  # not a multiple of 4, or trailing data that is neither extension field nor MAC
    BAD_VERSION = 4  # version 0 or 5 and up
    BAD_MODE = 5  # a mode we do not answer (0, 2, 5)
    REPLY = 6  # mode 4: a reply, never answered
    CONTROL = 7  # mode 6 or 7
    AUTH = 8  # a MAC that is not right, or authentication that we do not know
    POLICY = 9  # the prefix is ignored or denied
    RATE = 10  # over the rate limit
    BAD_SOURCE = (
        11  # source port 0, or an address that cannot be a client (multicast, broadcast, our own service)
    )
    LATE = 12  # waited too long in the queue
    SEND_FAILED = 13  # the kernel did not take the reply
    BUG = 14  # deciding about it failed: a mistake of ours, which must not take the service away


class Action(IntEnum):
    """What became of the packet."""

    REPLY = 0
    IGNORE = 1
    KISS = 2


class Mark(IntEnum):
    """What else is counted of some packets. The numbers are fixed: the native plane shares them."""

    AUTHENTICATED = 0  # a reply with a MAC
    INTERLEAVED = 1  # a reply in interleaved mode
    UNKNOWN_KEY = 2  # a MAC with a key that we do not have
    WRONG_SOURCE = 3  # a MAC with a key that is not for this address
    WRONG_MAC = 4  # a MAC that is not the message's
    STAMPED = 5  # the kernel told when a reply left


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class PrefixRule(NamedTuple):
    """`action` for every source inside `network`; the longest match wins."""

    network: Network
    action: str


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How much each client is answered; intervals in log2 s, bursts in replies. See `ntp_limit`.

    Attributes:
        interval: average spacing of the replies to an IPv4 address; an IPv6 /64 gets 64 times as many.
        burst: replies in a row to a client that was silent before.
        leak: of those over the limit one in 2^leak is answered.
        kod: of those that are not, one in 2^kod is told so; 0 tells nobody.
        exempt: who is not limited.
        prefix_interval: the same for an IPv4 /24 or IPv6 /48 as a whole.
        prefix_burst: the same for these.
    """

    interval: int = 3
    burst: int = 16
    leak: int = 2
    kod: int = 0
    exempt: tuple[Network, ...] = ()
    prefix_interval: int = -7
    prefix_burst: int = 4096


@dataclass(frozen=True, slots=True)
class NtpPolicy:
    """Who is answered, and how much. Without a matching rule: `default`."""

    rules: tuple[PrefixRule, ...] = ()
    default: str = "allow"
    limit: RateLimit | None = None


class Client(NamedTuple):
    """What the time service knows of a client: an IPv4 address or an IPv6 /64.

    Attributes:
        key: who, as `client_keys` has it.
        first_mono_ns: its first packet.
        last_mono_ns: its latest one.
        packets: requests from it that policy lets in.
        replies: those that the limiter let through.
        dropped: those that got silence.
        kisses: those that were told to slow down.
        missing_ns: what its bucket lacked after the latest packet.
        version: of the latest packet.
        mode: of the latest packet.
        port: kind of source port of the latest packet: 0 above 1023, 1 for 123, 2 for the others.
        silent: whether the latest packet got no reply.
        answered_s: average spacing of its packets after a reply, None before there is one.
        unanswered_s: the same after silence.
    """

    key: int
    first_mono_ns: int
    last_mono_ns: int
    packets: int
    replies: int
    dropped: int
    kisses: int
    missing_ns: int
    version: int
    mode: int
    port: int
    silent: bool
    answered_s: float | None
    unanswered_s: float | None

    @property
    def network(self) -> Network:
        """Who: a /32 or a /64."""
        return client_network(self.key)


class Remembered(NamedTuple):
    """How much a service remembers, and what its limiter did since the start.

    Attributes:
        known: clients in its tables; one that came to several workers counts for each.
        room: how many there is room for; 0 when nobody is remembered.
        forgotten: clients that gave way to others.
        over_client: packets silenced because of their client's rate.
        over_network: packets silenced because of the rate of its /24 or /48.
        kissed: packets over a limit that were told so.
        leaked: packets over a limit that were answered by chance.
    """

    known: int = 0
    room: int = 0
    forgotten: int = 0
    over_client: int = 0
    over_network: int = 0
    kissed: int = 0
    leaked: int = 0


class NtpServer(Protocol):
    """A running NTP service.

    Attributes:
        endpoints: what is really bound, ports filled in.
        sandbox: what its packet threads are confined to.
    """

    endpoints: tuple[Endpoint, ...]
    sandbox: Sandbox

    def set_clock(self, state: ClockState) -> None: ...

    def set_policy(self, policy: NtpPolicy) -> None: ...

    def set_keys(self, keys: Sequence[NtpKey]) -> None:
        """Believe requests that are authenticated with these keys, and no others, from now on.

        Raises:
            ValueError: a key has not the length that its algorithm needs.
        """
        ...

    def counters(self) -> Mapping[tuple[Reason, Action], int]:
        """Packets since the start by (reason, action); each packet is counted exactly once."""
        ...

    def traffic(self) -> Mapping[tuple[int, int, int], int]:
        """Packets by (version, mode, family) as they claim to be; the empty ones, which claim nothing, are left out."""
        ...

    def clients(self) -> Sequence[Client]:
        """Who asked, in no order, each once; a full table takes a moment, so call it in a thread."""
        ...

    def remembered(self) -> Remembered:
        """How full the memory is and what the limiter did; cheap."""
        ...

    def marks(self) -> Mapping[Mark, int]:
        """Packets since the start by what else is counted of them; a packet may be among several of these."""
        ...

    def sample(self, sampling: Sampling) -> None:
        """Copy some packets aside from now on, as `sampling` says; `sampling.NOTHING` ends it and costs nothing."""
        ...

    def take_samples(self, most: int) -> Sequence[Sample]:
        """The oldest copies, `most` at most; one caller at a time."""
        ...

    def sampled(self) -> Sampled:
        """How many copies were made, and how many found no room."""
        ...

    def failure(self) -> BaseException | None:
        """Why the packet thread died, if it did."""
        ...

    def close(self) -> None:
        """Stop and free the ports; returns when the thread is gone."""
        ...


class DnsServer(Protocol):
    """A running DNS service on UDP and TCP.

    Attributes:
        endpoints: what is really bound, ports filled in.
        sandbox: what its packet threads are confined to.
    """

    endpoints: tuple[Endpoint, ...]
    sandbox: Sandbox

    def set_answers(self, snapshot: AnswerSnapshot) -> None: ...

    def counters(self) -> Mapping[tuple[str, str, str], int]:
        """Queries since the start by (transport "udp"|"tcp", type "A", outcome "NOERROR"|"NXDOMAIN"|"drop"|...)."""
        ...

    def shares(self) -> Mapping[str, tuple[int, float]]:
        """By address: answers that held it since the start, and how many its exact share of them would be."""
        ...

    def offenders(self) -> Sequence[Offender]:
        """Networks that were sent less than they asked for, because of the rate limit."""
        ...

    def sample(self, sampling: Sampling) -> None:
        """Copy some queries over UDP aside from now on, as `sampling` says; `sampling.NOTHING` ends it and costs nothing."""
        ...

    def take_samples(self, most: int) -> Sequence[Sample]:
        """The oldest copies, `most` at most; one caller at a time."""
        ...

    def sampled(self) -> Sampled:
        """How many copies were made, and how many found no room."""
        ...

    def failure(self) -> BaseException | None: ...

    def close(self) -> None: ...


class DataPlane(Protocol):
    """An implementation of the packet path.

    Attributes:
        name: "python", "native" or "xdp".
        why: one sentence: why this one was chosen.
        workers: threads that share the packets of one address.
        faster: what would make it faster here; empty when it is as fast as this version can be.
        sandbox: what packet threads are confined to: what was asked for, or what the last service really got.
    """

    name: str
    why: str
    workers: int
    faster: str
    sandbox: Sandbox

    def serve_ntp(
        self, listen: Sequence[Endpoint], clock: ClockState, policy: NtpPolicy, *, clients: int = 0
    ) -> NtpServer:
        """Bind and answer; remember about `clients` clients at most, shared out among the workers.

        Raises:
            OSError: an address cannot be bound; `filename` holds the endpoint.
        """
        ...

    def serve_dns(
        self, listen: Sequence[Endpoint], snapshot: AnswerSnapshot, responder: Responder | None = None
    ) -> DnsServer:
        """Bind UDP and TCP and answer; `responder` is asked about what the snapshot hands up, in threads of the plane.

        Raises:
            OSError: an address cannot be bound; `filename` holds the endpoint.
        """
        ...
