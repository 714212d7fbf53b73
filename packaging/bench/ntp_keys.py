"""What authentication costs: one decision with a MAC of each type, beside the same without one, in both planes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable

from _common import Row, main

from appliance.api.model import ClockState
from appliance.dataplane.interface import NtpPolicy
from appliance.dataplane.native import clock_tuple, key_tuples
from appliance.dataplane.ntp_decide import PolicyTable, Snapshot, answer
from appliance.dataplane.ntp_keys import KeyRing, NtpKey
from appliance.dataplane.ntp_memory import Memory
from appliance.wire.ntp_mac import MacType, digester

KEYS = [NtpKey(number, kind, bytes(kind.key_bytes or 32)) for number, kind in enumerate(MacType, 1)]
PLAIN = bytes([0x23]) + bytes(39) + b"timeball"
CLIENT = bytes([192, 0, 2, 7])
ROUNDS, CALLS = 60, 500
NOW_NS, MONO_NS = 1_800_000_000_000_000_000, 1_000_000_000
CLOCK = ClockState(0, 2, b"GPS\0", NOW_NS, 0.001, 0.001, 15e-6, MONO_NS)


def sealed(key: NtpKey) -> bytes:
    digest = digester(key.kind, key.secret)(PLAIN)[: key.kind.digest_on_wire(4)]
    return PLAIN + key.id.to_bytes(4) + digest


def python_plane() -> Callable[[bytes], object]:
    memory, reply = Memory(), bytearray(48)
    snapshot = Snapshot.at(MONO_NS, CLOCK, PolicyTable(NtpPolicy()), KeyRing(KEYS))

    def decide(packet: bytes) -> object:
        return answer(
            packet, len(packet), CLIENT, b"\x9c\x40", bytes(4), b"\0\x7b", NOW_NS, NOW_NS, 0, 1, snapshot, memory, reply
        )  # fmt: skip

    return decide


def native_plane() -> Callable[[bytes], object] | None:
    try:
        from appliance.dataplane import _native
    except ImportError:
        return None
    decider, clock = _native.NtpDecider(key_tuples(KEYS), 0, 64), clock_tuple(CLOCK)
    source, times = (False, int.from_bytes(CLIENT), 40000), (NOW_NS, NOW_NS, MONO_NS)
    return lambda packet: decider.decide(packet, source, times, 1, clock)


def extra_us(decide: Callable[[bytes], object], packet: bytes) -> list[float]:
    """How much longer a decision about `packet` takes than about a plain one: many short rounds, both sides in turn."""

    def took_us(asked: bytes) -> float:
        began = time.perf_counter_ns()
        for _ in range(CALLS):
            decide(asked)
        return (time.perf_counter_ns() - began) / CALLS / 1000

    return sorted(took_us(packet) - took_us(PLAIN) for _ in range(ROUNDS))


def measure() -> Iterable[Row]:
    for name, decide in (("Python", python_plane()), ("native", native_plane())):
        if decide is None:
            yield Row(f"NTP MAC, {name} plane", "not built", note="make native")
            continue
        for key in KEYS:
            extra = extra_us(decide, sealed(key))
            yield Row(
                f"NTP with {key.kind.label}, {name} plane",
                f"{statistics.median(extra):.2f} µs more",
                note=f"check and sign; half of {ROUNDS} rounds within {extra[ROUNDS // 4]:.2f} to {extra[ROUNDS * 3 // 4]:.2f}",
            )


if __name__ == "__main__":
    main(measure)
