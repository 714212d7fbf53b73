"""Fuzz the inspector's child: `make fuzz ARGS=inspector`. TIMEBALL_FUZZ_SECONDS says for how long, TIMEBALL_FUZZ_SEED what with.

The real child, confined as it always is, reads hostile packets and hostile capture files; a rule that tells of every packet has
each of them dissected and described. It may refuse and it may say so; it may not die, hang, grow or say what it may not say.
What kills one is kept in .cache/fuzz/inspector, as small as it can be made, and judged again by a fresh one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import resource
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from appliance.core.clock import SystemClock
from appliance_inspector.judging.confine import MEMORY_BYTES
from appliance_inspector.judging.frames import Packet, pack
from appliance_inspector.rules import SHIPPED, Rule, parse_rules, read_rules
from appliance_inspector.warden import ChildGone, Warden
from tests.support.hostile_packets import capture_file, packet

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / ".cache" / "fuzz" / "inspector"
#: It takes less than a fifth of this at rest; the limit of its address space is far above.
MOST_RESIDENT = MEMORY_BYTES // 2
CLOCK = SystemClock()
BATCH = 64
PIECE = 1 << 16
#: What the running appliance grants it for a batch.
PATIENCE_S = 10.0
EVERYTHING = '[[rule]]\nid = "all"\ntitle = "all"\nby = "source"\n[rule.when]\nsize = { at_least = 0 }\n'


def rules() -> tuple[Rule, ...]:
    """What comes along, and one that tells of everything."""
    return (*read_rules(SHIPPED), *parse_rules(EVERYTHING, "fuzz"))


async def child() -> Warden:
    warden = Warden(logging.getLogger("fuzz"), patience_s=PATIENCE_S)
    await warden.start(rules())
    return warden


async def judge(warden: Warden, what: bytes | list[Packet]) -> tuple[int, int]:
    """Packets judged and alerts made."""
    if isinstance(what, list):
        verdict = await warden.judge(what)
        return len(what), len(verdict.alerts) + verdict.more
    alerts = judged = 0
    for at in range(0, len(what) + PIECE, PIECE):
        read = await warden.read(what[at : at + PIECE])
        alerts += len(read.alerts) + read.more
        judged = read.packets + read.others
        if read.problem:
            break
    return judged, alerts


async def dies_of(what: bytes | list[Packet]) -> str:
    """Why a fresh child dies of it; "" when it does not."""
    warden = await child()
    try:
        await judge(warden, what)
    except ChildGone as error:
        return str(error)
    finally:
        await warden.close()
    return ""


async def smallest(packets: list[Packet]) -> list[Packet]:
    """The one packet of a batch that kills a child, if one alone does."""
    for one in packets:
        if await dies_of([one]):
            return [one]
    return packets


async def fuzz(seconds: float, seed: int) -> int:
    """Do it; how many ways to die there were."""
    dice, counts, deaths = random.Random(seed), Counter[str](), []  # noqa: S311 - repeatable on purpose
    slowest_s, most_bytes = 0.0, 0
    end_s = time.monotonic() + seconds
    before_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    warden = await child()
    while time.monotonic() < end_s and len(deaths) < 10:
        what: bytes | list[Packet] = [packet(dice) for _ in range(BATCH)]
        if dice.randrange(8) == 0:
            what = capture_file(dice)
        began_s = time.monotonic()
        try:
            await warden.hand_rules(rules())
            judged, alerts = await judge(warden, what)
        except ChildGone as error:
            counts["deaths"] += 1
            deaths.append(await bury(what, str(error)))
            await warden.close()
            warden = await child()
            continue
        slowest_s = max(slowest_s, time.monotonic() - began_s)
        counts.update({"packets": judged, "alerts": alerts, "files": isinstance(what, bytes)})
        if warden.last is not None:
            most_bytes = max(most_bytes, warden.last.memory_bytes)
    await warden.close()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before_bytes
    print(
        f"seed {seed}: {counts['packets']:,} packets, {counts['files']:,} files, {counts['alerts']:,} alerts in {seconds:g} s; "
        f"slowest batch or file {slowest_s:.2f} s; the child took {most_bytes / 1e6:.0f} MB at most, this process {grown / 1e6:+.0f} MB; "
        f"{len(deaths)} deaths"
    )
    for death in deaths:
        print(death)
    if most_bytes > MOST_RESIDENT:
        print(f"the child took more than {MOST_RESIDENT / 1e6:.0f} MB")
        return 1
    return len(deaths)


async def bury(what: bytes | list[Packet], why: str) -> str:
    """Keep what killed a child; how to look at it."""
    again = await dies_of(what)
    if isinstance(what, list) and again:
        what = await smallest(what)
    KEPT.mkdir(parents=True, exist_ok=True)
    file = KEPT / f"{CLOCK.wall_ns()}.{'pcap' if isinstance(what, bytes) else 'packets'}"
    file.write_bytes(what if isinstance(what, bytes) else pack(what))
    return f"{why}; again: {again or 'no'}; kept as {file.relative_to(ROOT)}"


def main() -> int:
    seconds = float(os.environ.get("TIMEBALL_FUZZ_SECONDS", "60"))
    seed = int(os.environ.get("TIMEBALL_FUZZ_SEED", str(CLOCK.wall_ns() % 1_000_000)))
    return min(1, asyncio.run(fuzz(seconds, seed)))


if __name__ == "__main__":
    sys.exit(main())
