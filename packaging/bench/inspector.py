"""The inspector: what its rules find in generated attacks and in honest traffic, and what NTP replies pay while it watches."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from _common import ROOT, Row, main, paired

sys.path.insert(0, str(ROOT))

from appliance.api.model import ClockState
from appliance.core.clock import SystemClock
from appliance.core.packet_tap import DRAIN_S, ServiceTap
from appliance.dataplane import ntp_decide
from appliance.dataplane.interface import Endpoint, NtpPolicy
from appliance.dataplane.native import NativeNtpServer
from appliance_inspector.judging.frames import Packet
from appliance_inspector.judging.judge import Judge
from appliance_inspector.rules import SHIPPED, read_rules
from appliance_inspector.service import to_judge
from appliance_inspector.warden import Warden
from tests.support.attacks import ATTACKS, sampled
from tests.support.honest import HONEST

RULES = read_rules(SHIPPED)
SEEDS = range(10)
#: One in so many of ordinary packets, and of those that are not; the last: what is not ordinary is a flood, too.
RATES, FLOODED = ((1, 1), (10, 1), (100, 1)), (10, 10)
STATE = ClockState(0, 2, b"BNCH", 0, 0.001, 0.0005, 0.0, 0)
ASK = bytes([0x23]) + bytes(39) + b"\x12\x34\x56\x78\x9a\xbc\xde\xf0"
BURST = 16
SECONDS = 2.0
#: Requests a second, and so samples: every packet is one.
PER_S = 20_000


def dice(seed: int) -> random.Random:
    """Repeatable traffic."""
    return random.Random(seed)  # noqa: S311 - nothing secret


def told(packets: Iterable[Packet]) -> set[str]:
    """Rules that tell of something."""
    judge = Judge([rule.compiled() for rule in RULES], lambda _: "")
    return {alert["rule"] for packet in packets for alert in judge.look(packet)}


def detection() -> Iterator[Row]:
    """What is found, and what is told of honest traffic. One of ordinary packets in so many; of others each, as the inspector does."""
    for attack, make in ATTACKS.items():
        found = dict.fromkeys((*RATES, FLOODED), 0)
        for seed in SEEDS:
            packets = list(make(dice(seed)))
            for rates in found:
                found[rates] += attack in told(sampled(packets, *rates))
        each, *fewer = (f"{count} of {len(SEEDS)}" for count in found.values())
        yield Row(
            f"attack {attack}", f"found {each}",
            f"1:10 {fewer[0]}, 1:100 {fewer[1]}; all 1:10 {fewer[2]}", None, f"{len(packets):,} packets",
        )  # fmt: skip
    for kind, make in HONEST.items():
        alarms, packets = dict.fromkeys((*RATES, FLOODED), 0), []
        for seed in SEEDS:
            packets = list(make(dice(seed)))
            for rates in alarms:
                alarms[rates] += len(told(sampled(packets, *rates)))
        each, *fewer = (str(count) for count in alarms.values())
        yield Row(
            kind, f"{each} false alarms", f"1:10 {fewer[0]}, 1:100 {fewer[1]}; all 1:10 {fewer[2]}",
            note=f"{len(SEEDS)} times {len(packets):,} packets",
        )  # fmt: skip


@contextmanager
def watched(server: NativeNtpServer, counts: list[int]) -> Iterator[None]:
    """Every packet of `server` goes through the tap to the child, in an event loop of its own thread."""
    over = threading.Event()
    there = threading.Event()

    async def watch() -> None:
        tap = ServiceTap("ntp", lambda _: ("ok", "reply"), SystemClock())
        warden = Warden(logging.getLogger("bench"), patience_s=60)
        await warden.start(RULES)
        tap.serve(server)
        with tap.samples(every=1, room=100_000) as samples:
            batches = aiter(samples)
            judging = asyncio.get_running_loop().create_task(judge_all(batches, warden))
            there.set()
            while not over.is_set():
                tap.drain()
                await asyncio.sleep(DRAIN_S)
            tap.drain()
        await judging
        await warden.close()

    async def judge_all(batches: object, warden: Warden) -> None:
        async for batch in batches:  # type: ignore[attr-defined]
            for at in range(0, len(batch), 500):
                some = [to_judge(packet) for packet in batch[at : at + 500]]
                counts[0] += (await warden.judge(some)).packets

    thread = threading.Thread(target=lambda: asyncio.run(watch()))
    thread.start()
    there.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()


def spent_ns() -> int:
    """Processor time of the packet thread."""
    task = next(t for t in Path("/proc/self/task").iterdir() if (t / "comm").read_text() == "ntp-0\n")
    return int((task / "schedstat").read_text().split()[0])


def ns_each(rates: list[float], *, inspected: bool) -> float:
    """Processor time of the packet thread for each reply, at a steady rate of requests."""
    server = NativeNtpServer([Endpoint("127.0.0.1", 0)], STATE, NtpPolicy(), workers=1)
    counts, pause = [0], threading.Event()

    def load() -> float:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.connect(tuple(server.endpoints[0]))
            replies, before_ns = 0, spent_ns()
            began = time.monotonic()
            while (elapsed := time.monotonic() - began) < SECONDS:
                if replies > elapsed * PER_S:
                    pause.wait(0.0005)
                    continue
                for _ in range(BURST):
                    client.send(ASK)
                for _ in range(BURST):
                    replies += bool(client.recv(100))
            used_ns = spent_ns() - before_ns
        return used_ns / replies

    try:
        if not inspected:
            return load()
        with watched(server, counts):
            each = load()
        rates.append(counts[0] / SECONDS)
        return each
    finally:
        server.close()


def measure() -> Iterable[Row]:
    ntp_decide.LATE_NS = 60 * 10**9  # on a busy machine every request shall be answered all the same
    yield from detection()
    rates: list[float] = []
    pairs = paired(lambda: ns_each(rates, inspected=True), lambda: ns_each(rates, inspected=False))
    yield Row(
        "NTP replies, every packet judged", f"{statistics.median(pairs.ours):,.0f} ns a reply",
        f"not inspected: {statistics.median(pairs.theirs):,.0f} ns", pairs.ratio,
        f"{statistics.median(rates):,.0f} packets judged a second; {pairs.spread}",
    )  # fmt: skip


if __name__ == "__main__":
    main(measure)
