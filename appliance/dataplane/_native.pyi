"""The packet path in Rust (`rust/py`): sockets and threads around the pure decisions of `rust/core`.

Errors: OSError with `filename` set to the endpoint when an address cannot be bound, ValueError for nonsense. Nothing
else is raised, and no call waits for a packet; `close` waits for the threads.
"""

#: leap, stratum, refid (4 bytes), reference_ns, root_delay_s, root_dispersion_s, dispersion_rate, as_of_mono_ns,
#: correction_s, precision, max_distance_s, expires_mono_ns: the fields of `model.ClockState`, times within 64 bits
from typing import TypeAlias

ClockTuple: TypeAlias = tuple[int, int, bytes, int, float, float, float, int, float, int, float, int]
#: IPv6?, network address as a number, prefix length, "allow" | "ignore" | "deny"
RuleTuple: TypeAlias = tuple[bool, int, int, str]

__version__: str

class NtpServer:
    """Answers on every endpoint with `workers` threads until it is closed."""

    endpoints: list[tuple[str, int]]

    def __init__(
        self,
        listen: list[tuple[str, int]],
        clock: ClockTuple,
        rules: list[RuleTuple],
        default: str,
        late_ns: int,
        workers: int,
    ) -> None: ...
    def set_clock(self, clock: ClockTuple) -> None: ...
    def set_policy(self, rules: list[RuleTuple], default: str, late_ns: int) -> None: ...
    def outcomes(self) -> list[tuple[int, int, int]]:
        """(Reason, Action, packets) of all workers; pairs without packets are left out."""

    def first_bytes(self) -> list[tuple[int, bool, int]]:
        """(first byte, IPv6?, packets)."""

    def failure(self) -> str | None:
        """Why a worker died, if one did."""

    def close(self) -> None: ...

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
) -> tuple[int, int, bytes | None]:
    """One decision: (Reason, Action, reply or None); for the tests that compare it with `ntp_decide.decide`."""

def reasons() -> list[tuple[str, int]]:
    """Names and numbers of the reasons as the native plane has them."""
