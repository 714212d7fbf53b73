"""What copying packets for the inspector costs the packet thread of NTP: processor time for each reply, with and without."""

from __future__ import annotations

import socket
import statistics
import threading
from collections.abc import Iterable
from pathlib import Path

from _common import Row, main, paired

from appliance.api.model import ClockState
from appliance.dataplane import ntp_decide
from appliance.dataplane.interface import Endpoint, NtpPolicy
from appliance.dataplane.native import NativeNtpServer
from appliance.dataplane.sampling import NOTHING, Sampling

STATE = ClockState(0, 2, b"BNCH", 0, 0.001, 0.0005, 15e-6, 0)
ASK = bytes([0x23]) + bytes(39) + b"\x12\x34\x56\x78\x9a\xbc\xde\xf0"
PACKETS = 40_000
BURST = 16
DRAIN_S = 0.1


def thread() -> Path:
    """The packet thread, as the kernel knows it."""
    return next(
        task for task in Path("/proc/self/task").iterdir() if (task / "comm").read_text() == "ntp-0\n"
    )


def ns_each(sampling: Sampling) -> float:
    """Processor time of the thread for each reply, while somebody takes the samples ten times a second."""
    server = NativeNtpServer([Endpoint("127.0.0.1", 0)], STATE, NtpPolicy(), workers=1)
    over = threading.Event()

    def drain() -> None:
        while not over.wait(DRAIN_S):
            server.take_samples(100_000)

    reader = threading.Thread(target=drain)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(tuple(server.endpoints[0]))
        server.sample(sampling)
        reader.start()
        spent = thread() / "schedstat"
        replies, before_ns = 0, int(spent.read_text().split()[0])
        for _ in range(PACKETS // BURST):
            for _ in range(BURST):
                client.send(ASK)
            for _ in range(BURST):
                replies += bool(client.recv(100))
        used_ns = int(spent.read_text().split()[0]) - before_ns
    over.set()
    reader.join()
    server.close()
    return used_ns / replies


def measure() -> Iterable[Row]:
    ntp_decide.LATE_NS = 60 * 10**9  # on a busy machine every request shall be answered all the same
    for every in (100, 4, 1):
        pairs = paired(lambda n=every: ns_each(Sampling(n)), lambda: ns_each(NOTHING))
        more = statistics.median(a - b for a, b in zip(pairs.ours, pairs.theirs, strict=True))
        yield Row(
            f"NTP, one packet in {every} sampled", f"{statistics.median(pairs.ours):,.0f} ns a reply",
            f"none sampled: {statistics.median(pairs.theirs):,.0f} ns", pairs.ratio, f"{more:+,.0f} ns; {pairs.spread}",
        )  # fmt: skip


if __name__ == "__main__":
    main(measure)
