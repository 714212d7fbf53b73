"""What copying packets for the inspector costs the packet threads: NTP and DNS, both planes, at 20,000 packets a second.

Processor time of the packet threads for each reply, with and without; the copies are taken and handed out ten times a second by
an event loop in the same process, as in the appliance. Goal: no more than 3 % at 20,000 samples a second; and, for the Python plane,
at the 1,000 a second that the inspector judges at most by default.
"""

from __future__ import annotations

import asyncio
import statistics
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _common import Row, main, paired, thread_cpu_s
from _load import load, unavailable
from _serve import answers, clock_state, policy
from _servers import NAMES

from appliance.core.clock import SystemClock
from appliance.core.packet_tap import DRAIN_S, ServiceTap
from appliance.dataplane import choose, ntp_decide
from appliance.dataplane.interface import Endpoint
from appliance.dataplane.native import NativePlane

PER_S = 20_000
#: `plugins.inspector.most_per_s`, which both services share.
INSPECTED_PER_S = 1000
RUNS = 11
AT_RATE = ("--rate", str(PER_S), "--seconds", "1")
ASKED = {"ntp": (), "dns": ("--names", ",".join(NAMES))}


def threads() -> set[int]:
    """Of this process."""
    return {int(task.name) for task in Path("/proc/self/task").iterdir()}


@contextmanager
def served(service: str, plane_name: str) -> Iterator[tuple[Any, set[int]]]:
    """A service with one worker, and its packet threads."""
    before = threads()
    plane: Any = NativePlane(workers=1) if plane_name == "native" else choose("python")
    listen = [Endpoint("127.0.0.1", 0)]
    if service == "ntp":
        server = plane.serve_ntp(listen, clock_state(), policy(limited=False))
    else:
        server = plane.serve_dns(listen, answers(coherence_s=8))
    try:
        yield server, threads() - before
    finally:
        server.close()


@contextmanager
def watched(service: str, server: Any, every: int) -> Iterator[list[int]]:
    """One packet in `every` is copied and handed to a reader, in an event loop of its own thread; how many there were."""
    over, there, counts = threading.Event(), threading.Event(), [0]

    async def watch() -> None:
        tap = ServiceTap(service, lambda _: ("ok", "reply"), SystemClock())
        tap.serve(server)
        with tap.samples(every=every, unusual=1, room=100_000) as samples:
            reading = asyncio.get_running_loop().create_task(read(samples))
            there.set()
            while not over.is_set():
                tap.drain()
                await asyncio.sleep(DRAIN_S)
            tap.drain()
        await reading

    async def read(samples: Any) -> None:
        async for batch in samples:
            counts[0] += len(batch)

    thread = threading.Thread(target=lambda: asyncio.run(watch()))
    thread.start()
    there.wait()
    try:
        yield counts
    finally:
        over.set()
        thread.join()


def ns_each(service: str, plane: str, every: int, seen: list[float]) -> float:
    """Processor time of the packet threads for each reply; samples a second go to `seen`."""

    def spent_s() -> float:
        return sum(map(thread_cpu_s, tids))

    def run() -> float:
        before_s = spent_s()
        found = load(service, str(server.endpoints[0]), *AT_RATE, *ASKED[service])
        if found.wrong:
            raise RuntimeError(f"{found.wrong} replies were wrong")
        elapsed_s.append(found.elapsed_s)
        return (spent_s() - before_s) / found.answered * 1e9

    elapsed_s: list[float] = []
    with served(service, plane) as (server, tids):
        if not every:
            return run()
        with watched(service, server, every) as counts:
            each_ns = run()
        seen.append(counts[0] / elapsed_s[0])
        return each_ns


def compared(service: str, plane: str, every: int) -> Row:
    seen: list[float] = []

    def side(rate: int) -> Callable[[], float]:
        return lambda: ns_each(service, plane, rate, seen)

    pairs = paired(side(every), side(0), runs=RUNS)
    more = statistics.median(a - b for a, b in zip(pairs.ours, pairs.theirs, strict=True))
    return Row(
        f"{service.upper()}, {plane} plane, one in {every} sampled", f"{statistics.median(pairs.ours):,.0f} ns a reply",
        f"not sampled: {statistics.median(pairs.theirs):,.0f} ns", pairs.ratio,
        f"{more:+,.0f} ns, {statistics.median(seen):,.0f} samples a second; {pairs.spread}",
    )  # fmt: skip


def measure() -> Iterator[Row]:
    missing = unavailable("sampling")
    if missing is not None:
        yield missing
        return
    ntp_decide.LATE_NS = 60 * 10**9  # on a busy machine every request shall be answered all the same
    for service in ("ntp", "dns"):
        for plane in ("native", "python"):
            for every in (1, PER_S // INSPECTED_PER_S):
                yield compared(service, plane, every)


if __name__ == "__main__":
    main(measure)
