"""What confining a packet thread costs: processor time of the thread for each NTP reply, with and without."""

from __future__ import annotations

import socket
import statistics
from collections.abc import Iterable
from pathlib import Path

from _common import Row, main, paired, thread_cpu_s

from appliance.api.model import ClockState
from appliance.dataplane import ntp_decide
from appliance.dataplane.interface import Endpoint, NtpPolicy
from appliance.dataplane.native import NativeNtpServer

STATE = ClockState(0, 2, b"BNCH", 0, 0.001, 0.0005, 0.0, 0)
ASK = bytes([0x23]) + bytes(39) + b"\x12\x34\x56\x78\x9a\xbc\xde\xf0"
PACKETS = 30_000


def thread() -> int:
    """The packet thread, as the kernel knows it."""
    tasks = Path("/proc/self/task").iterdir()
    return next(int(task.name) for task in tasks if (task / "comm").read_text() == "ntp-0\n")


def ns_each(burst: int, *, confined: bool) -> float:
    """Processor time of the thread for each reply when requests come in bursts of `burst`."""
    server = NativeNtpServer([Endpoint("127.0.0.1", 0)], STATE, NtpPolicy(), workers=1, confined=confined)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(tuple(server.endpoints[0]))
        tid = thread()
        replies, before_s = 0, thread_cpu_s(tid)
        for _ in range(PACKETS // burst):
            for _ in range(burst):
                client.send(ASK)
            for _ in range(burst):
                replies += bool(client.recv(100))
        used_s = thread_cpu_s(tid) - before_s
    server.close()
    return used_s / replies * 1e9


def measure() -> Iterable[Row]:
    ntp_decide.LATE_NS = 60 * 10**9  # on a busy machine every request shall be answered all the same
    for burst in (1, 16):
        pairs = paired(lambda b=burst: ns_each(b, confined=True), lambda b=burst: ns_each(b, confined=False))
        yield Row(
            f"confined NTP thread, bursts of {burst}", f"{statistics.median(pairs.ours):,.0f} ns a reply",
            f"free: {statistics.median(pairs.theirs):,.0f} ns", pairs.ratio, pairs.spread,
        )  # fmt: skip


if __name__ == "__main__":
    main(measure)
