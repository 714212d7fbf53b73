"""NTP, the native plane beside chronyd and NTPsec's ntpd: replies for a processor second, latency at a fixed rate, all cores.

Each server has its own clock and no limit that the load reaches; the load comes from a thousand addresses of loopback.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from _common import Row, main
from _load import unavailable
from _rounds import compared, latency_row, rate_row, run_rounds, running
from _servers import Server, chronyd, ntpsec, ours

ROUNDS = 9
SATURATED = ("--window", "128", "--seconds", "0.6")
RATE = 20_000
AT_RATE = ("--rate", str(RATE), "--seconds", "1")
LATENCY_ROUNDS = 3
#: More clients than the table of clients holds: every request finds a place, and takes it from somebody.
MANY = ("--sources", "65536")


def measure() -> Iterator[Row]:
    missing = unavailable("NTP, native plane")
    if missing is not None:
        yield missing
        return
    yield from one_worker()
    yield from limited()
    yield from all_cores()


def one_worker() -> Iterator[Row]:
    with running([ours("ntp"), chronyd(), chronyd(clients=True), ntpsec()]) as sides:
        mine, *others = sides
        run_rounds(sides, SATURATED, ROUNDS)
        for other in others:
            goal = ">= 1.3" if other is others[0] else ""
            what = "NTP, one worker: replies for a CPU second"
            yield compared(what, mine, other, lambda run: run.per_cpu_s, "{:,.0f}", goal=goal)
        for other in others:
            what = "NTP, one worker: replies a second"
            yield rate_row(what, mine, other, os.cpu_count() or 1)
        run_rounds(sides, AT_RATE, LATENCY_ROUNDS)
        for side in sides:
            yield latency_row(f"NTP at {RATE:,} /s", side, RATE)


def limited() -> Iterator[Row]:
    """Ours as above, where loopback is exempt from the limits as it is by default, beside ours without exemptions."""
    with running([ours("ntp-limited"), ours("ntp"), chronyd()]) as (limited, default, chrony):
        run_rounds([limited, default, chrony], (*SATURATED, *MANY), ROUNDS)
        what = "NTP, limits charged, 65,536 clients: replies for a CPU second"
        for other in (default, chrony):
            yield compared(what, limited, other, lambda run: run.per_cpu_s, "{:,.0f}")


def all_cores() -> Iterator[Row]:
    """Several workers share the processors with the load: what a reply costs says how they scale, not what they reach.

    Each worker finds as much work as a single one does: the load's window and its bursts are as many times larger.
    """
    cores = os.cpu_count() or 1
    if cores < 2:
        yield Row("NTP, all cores", "not measured", note="this machine has one core")
        return
    with running([ours("ntp", workers=cores), ours("ntp"), chronyd(instances=cores)]) as (many, one, chrony):
        wide = ("--window", str(128 * cores), "--batch", str(32 * cores), "--seconds", "0.6")
        run_rounds([many, one, chrony], lambda side: SATURATED if side is one else wide, ROUNDS)
        what = f"NTP, {cores} workers: replies for a CPU second"
        scaling = (
            f"scaling per added worker is this ratio as far as {cores} cores shared with the load show it"
        )
        yield compared(what, many, one, lambda run: run.per_cpu_s, "{:,.0f}", scaling, goal=">= 0.9")
        yield compared(what, many, chrony, lambda run: run.per_cpu_s, "{:,.0f}", goal=">= 1.3")
        yield rate_row(f"NTP, {cores} workers: replies a second", many, one, cores)
        if many.server is not None:
            yield balance(many.server)


def balance(server: Server) -> Row:
    """How evenly the packets of a thousand clients went over the workers, by their processor time."""
    shares = []
    for task in Path(f"/proc/{server.processes[0].pid}/task").iterdir():
        if (task / "comm").read_text().startswith("ntp-"):
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            shares.append(int(fields[11]) + int(fields[12]))
    told = " : ".join(f"{share / sum(shares):.1%}" for share in shares)
    return Row(
        f"NTP, {len(shares)} workers: share of each",
        told,
        note="processor time; sharded by the client's address",
    )


if __name__ == "__main__":
    main(measure)
