"""The whole appliance: start to first NTP reply, and memory and processor time at rest with 50 members.

The members are simulated by a process of their own, which is not counted. `IDLE_SECONDS` says how long to look (default 30).
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from _box import box
from _common import Row, cpu_s, main, resident_bytes

ADDRESSES = tuple(f"127.0.2.{i}" for i in range(1, 51))
STARTS = 5
SECONDS = float(os.environ.get("IDLE_SECONDS", "30"))
REQUEST = bytes([0x23]) + bytes(39) + b"timeball"


def first_reply(port: int) -> None:
    """Ask until somebody answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        while True:
            with contextlib.suppress(ConnectionError):
                sock.send(REQUEST)
                if select.select([sock], [], [], 0.01)[0] and len(sock.recv(100)) == 48:
                    return
            time.sleep(0.01)  # noqa: TID251 - between two looks


def start_s() -> float:
    fresh = box(ADDRESSES)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        with fresh.running(Path(folder)):
            first_reply(fresh.ntp)
            return time.perf_counter() - begun


def measure() -> Iterable[Row]:
    starts = sorted(start_s() for _ in range(STARTS))
    yield Row(
        "start to first NTP reply", f"{statistics.median(starts):.2f} s", "at most 2 s",
        note=f"{STARTS} runs, {starts[0]:.2f} to {starts[-1]:.2f}",
    )  # fmt: skip
    settled = box(ADDRESSES)
    with tempfile.TemporaryDirectory() as folder, settled.simulated(), settled.running(Path(folder)) as child:
        # New members are probed every few seconds, and that is no rest; nor is what was asked just now.
        settled.until_all_are_in().close()
        time.sleep(20)  # noqa: TID251 - see above
        before_s, begun = cpu_s(child.pid), time.perf_counter()
        time.sleep(SECONDS)  # noqa: TID251 - at rest is what is measured
        share = (cpu_s(child.pid) - before_s) / (time.perf_counter() - begun)
        yield Row(
            f"memory at rest, {len(ADDRESSES)} members",
            f"{resident_bytes(child.pid) / 1e6:.1f} MB",
            "at most 80 MB",
        )
        yield Row(
            f"processor at rest, {len(ADDRESSES)} members",
            f"{share:.2%} of a core",
            "at most 1 %",
            note=f"{SECONDS:.0f} s, {len(ADDRESSES)} members every 540 s",
        )


if __name__ == "__main__":
    main(measure)
