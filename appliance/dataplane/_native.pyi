"""The packet path in Rust (`rust/py`): sockets and threads around the pure decisions of `rust/core`.

Errors: OSError with `filename` set to the endpoint when an address cannot be bound, ValueError for nonsense. Nothing
else is raised, and no call waits for a packet; `close` waits for the threads.
"""

#: leap, stratum, refid (4 bytes), reference_ns, root_delay_s, root_dispersion_s, dispersion_rate, (as_of_mono_ns, as_of_wall_ns),
#: correction_s, precision, max_distance_s, expires_mono_ns: the fields of `model.ClockState`, times within 64 bits
from collections.abc import Sequence
from typing import TypeAlias

ClockTuple: TypeAlias = tuple[
    int, int, bytes, int, float, float, float, tuple[int, int | None], float, int, float, int
]
#: host, port, descriptors of UDP sockets that are bound there already
WantedTuple: TypeAlias = tuple[str, int, Sequence[int]]
#: IPv6?, network address as a number, prefix length, "allow" | "ignore" | "deny"
RuleTuple: TypeAlias = tuple[bool, int, int, str]
#: key id, type as in chrony's keys file, key, (IPv6?, network address, prefix length) of those whom it is for
KeyTuple: TypeAlias = tuple[int, str, bytes, list[tuple[bool, int, int]]]

#: (interval, burst), (leak, kod), (prefix interval, prefix burst), exempt (IPv6?, network address, prefix length)
LimitTuple: TypeAlias = tuple[tuple[int, int], tuple[int, int], tuple[int, int], list[tuple[bool, int, int]]]
#: key, first, last, packets, replies, dropped, kisses, full_at, look, silent, answered, unanswered: `ntp_clients.Record`
ClientTuple: TypeAlias = tuple[int, int, int, int, int, int, int, int, int, bool, int, int]
#: known, room, forgotten, over_client, over_network, kissed, leaked: `interface.Remembered`
RememberedTuple: TypeAlias = tuple[int, int, int, int, int, int, int]

#: IPv6?, network address, prefix length, monotonic end in ns, how many packets: `sampling.Focus`
FocusTuple: TypeAlias = tuple[bool, int, int, int, int]
#: the fields of `sampling.Sample`
SampleTuple: TypeAlias = tuple[bytes, int, bytes, int, bytes, int, int, int, int]

# DNS: the fields of `dns_snapshot`, mappings as lists of pairs.
#: answers, body, additional, extra
SectionTuple: TypeAlias = tuple[int, bytes, int, bytes]
#: rcode, pieces of the SOA record, content of the EDE option
DenialTuple: TypeAlias = tuple[int, Sequence[bytes], bytes]
#: cuts, sets one after the other, size, stride, mark
TableTuple: TypeAlias = tuple[Sequence[int], bytes, int, int, int]
#: number of the table, offset, turn
RotationTuple: TypeAlias = tuple[int, int, int]
#: static, rotating and denied by type, alias
NodeTuple: TypeAlias = tuple[
    list[tuple[int, SectionTuple]],
    list[tuple[int, RotationTuple]],
    list[tuple[int, DenialTuple]],
    SectionTuple | None,
]
#: levels for IPv4 and IPv6 (octets, interval, tolerance), bound, slip, exempt: (IPv6?, network address, prefix length)
RateTuple: TypeAlias = tuple[
    Sequence[tuple[int, int, int]], Sequence[tuple[int, int, int]], int, int, list[tuple[bool, int, int]]
]
#: zone, names, tables, (nodata, nxdomain), ANY, (expire_s, nsid), CHAOS, (draw secret, slot_ns, cookie secrets, largest_unproven),
#: handed up (names, one bit for each opcode, signed), rate limit
AnswersTuple: TypeAlias = tuple[
    bytes,
    list[tuple[bytes, NodeTuple]],
    list[TableTuple],
    tuple[DenialTuple, DenialTuple],
    SectionTuple,
    tuple[int, bytes],
    list[tuple[bytes, SectionTuple]],
    tuple[bytes, int, Sequence[bytes], int],
    tuple[Sequence[bytes], int, bool],
    RateTuple | None,
]

__version__: str
#: This file as it was when the plane was built.
__boundary__: str

class NtpServer:
    """Answers on every endpoint with `workers` threads until it is closed; they are confined if `confined` says so."""

    endpoints: list[tuple[str, int]]
    #: in force?, why not
    sandbox: tuple[bool, str]

    def __init__(
        self,
        listen: list[WantedTuple],
        clock: ClockTuple,
        rules: list[RuleTuple],
        default: str,
        late_ns: int,
        limit: LimitTuple | None,
        workers: int,
        confined: bool,
        clients: int,
        secret: bytes,
    ) -> None:
        """Room for about `clients` clients; `secret` is 16 random bytes for the hashes."""

    def set_clock(self, clock: ClockTuple) -> None: ...
    def set_policy(
        self, rules: list[RuleTuple], default: str, late_ns: int, limit: LimitTuple | None
    ) -> None: ...
    def set_keys(self, keys: list[KeyTuple]) -> None: ...
    def marks(self) -> list[tuple[int, int]]:
        """(Mark, packets) of all workers; marks without packets are left out."""

    def outcomes(self) -> list[tuple[int, int, int]]:
        """(Reason, Action, packets) of all workers; pairs without packets are left out."""

    def first_bytes(self) -> list[tuple[int, bool, int]]:
        """(first byte, IPv6?, packets)."""

    def clients(self) -> list[ClientTuple]:
        """What each worker knows of each client."""

    def remembered(self) -> RememberedTuple:
        """Of all workers together."""

    def set_sampling(self, every: int, keep: int, focus: FocusTuple | None, unusual: int) -> None:
        """Sample one in `every` packets (0: none) and what is in focus, `keep` bytes of each."""

    def take_samples(self, most: int) -> list[SampleTuple]:
        """The oldest samples, `most` at most."""

    def sampled(self) -> tuple[int, int]:
        """Samples copied, and samples that found no room."""

    def failure(self) -> str | None:
        """Why a worker died, if one did."""

    def close(self) -> None: ...

class NtpDecider:
    """One worker without a socket, for the tests that compare sequences of decisions with those of `ntp_decide`."""

    def __init__(self, keys: list[KeyTuple], delay_ns: int, capacity: int) -> None: ...
    def decide(
        self,
        request: bytes,
        source: tuple[bool, int, int],
        times: tuple[int, int, int],
        noise: int,
        clock: ClockTuple,
    ) -> tuple[int, int, bytes, int, bool, bool]:
        """Times are (rx_ns, tx_ns, mono_ns); (Reason, Action, reply with its MAC, Fault or 0, interleaved?, to be stamped?)."""

    def stamp(self, frame: bytes, tx_ns: int) -> bool: ...
    def watch_clock(self, wall_ns: int, mono_ns: int) -> None: ...
    def remembered(self) -> int: ...

class DnsAnswers:
    """A snapshot, checked and ready to be answered from."""

    def __init__(self, answers: AnswersTuple) -> None: ...

class DnsServer:
    """Answers over UDP on every endpoint with `workers` threads until it is closed; the first snapshot is epoch 0."""

    endpoints: list[tuple[str, int]]
    #: in force?, why not
    sandbox: tuple[bool, str]

    def __init__(
        self,
        listen: list[WantedTuple],
        answers: DnsAnswers,
        limiter_key: bytes,
        workers: int,
        confined: bool,
    ) -> None: ...
    def set_answers(self, answers: DnsAnswers) -> int:
        """Answer from these from the next queries on; returns the number of their epoch."""

    def tallies(self) -> list[tuple[int, bool, list[tuple[int, int]]]]:
        """(epoch, whether it is over, (mark, answers)); an epoch that is over is told once. Calls must not overlap."""

    def outcomes(self) -> list[tuple[int, int, int]]:
        """(query type, outcome as in `python_dns`, queries); the types above 257 are counted as 65535."""

    def hand_up(self) -> DnsHandUp | None:
        """The queue of what the workers hand up, for whoever asks first."""

    def offenders(self) -> list[tuple[bytes, int, int]]:
        """Networks over the limit: their 3 or 6 octets, limited replies, monotonic time of the last in ns."""

    def set_sampling(self, every: int, keep: int, focus: FocusTuple | None, unusual: int) -> None:
        """Sample one in `every` packets (0: none) and what is in focus, `keep` bytes of each."""

    def take_samples(self, most: int) -> list[SampleTuple]:
        """The oldest samples, `most` at most."""

    def sampled(self) -> tuple[int, int]:
        """Samples copied, and samples that found no room."""

    def failure(self) -> str | None:
        """Why a worker died, if one did."""

    def close(self) -> None: ...

class NtpMemory:
    """What a worker remembers, for the tests that compare it with `ntp_memory.Memory`."""

    def __init__(self, slots: int, cells: int, secret: bytes) -> None: ...
    def clients(self) -> list[ClientTuple]: ...
    def cells(self) -> list[int]: ...
    def remembered(self) -> RememberedTuple: ...

def ntp_decide(
    request: bytes,
    source: tuple[bool, int, int],
    own: tuple[int, int],
    rx_ns: int,
    tx_ns: int,
    noise: int,
    mono_ns: int,
    clock: ClockTuple,
    rules: list[RuleTuple],
    default: str,
    late_ns: int,
    limit: LimitTuple | None = None,
    memory: NtpMemory | None = None,
) -> tuple[int, int, bytes | None]:
    """One decision: (Reason, Action, reply or None); for the tests that compare it with `ntp_decide.decide`."""

def confined_call(number: int, arguments: tuple[int, int, int, int]) -> int:
    """One system call from a thread that is confined like a worker, for the tests of the filter: its errno, 0 for none.

    Raises:
        OSError: the thread could not be confined.
    """

def reasons() -> list[tuple[str, int]]:
    """Names and numbers of the reasons as the native plane has them."""

class DnsHandUp:
    """The queue of what the workers do not answer."""

    def take(self) -> DnsHanded | None:
        """Wait for the next one; None when the service is closed."""

class DnsHanded:
    """One of them; see `dns_hand_up.Handed`."""

    @property
    def query(self) -> bytes: ...
    @property
    def source(self) -> str: ...
    def age_ns(self) -> int: ...
    def reply(self, message: bytes) -> bool: ...

class DnsLimiter:
    """`dns_rate.Limiter`, for the tests that compare the two."""

    def __init__(self, key: bytes) -> None: ...
    def charge(self, answers: DnsAnswers, source: str, error: bool, mono_ns: int) -> int: ...

def actions() -> list[tuple[str, int]]:
    """The same of the actions."""

def dns_outcomes() -> list[tuple[str, int]]:
    """Names and numbers of what becomes of DNS queries: RCODEs above -1, what has no RCODE below 0."""

def dns_decide(
    query: bytes,
    source: str,
    now_ns: int,
    answers: DnsAnswers,
    sequence: int,
    mono_ns: int = 0,
    limiter: DnsLimiter | None = None,
) -> tuple[bytes | None, int, int, int]:
    """One decision over UDP: (reply or None, outcome, type, mark or -1); for the tests that compare it with `dns_decide.decide`."""
