"""The Python plane: NTP beside a naive asyncio server, chronyd and ours in Rust; DNS beside gdnsd; and what a busy process costs it."""

from __future__ import annotations

import os
from collections.abc import Iterator

from _common import Row, main
from _load import unavailable
from _rounds import Run, compared, rate_row, run_rounds, running
from _servers import NAMES, chronyd, gdnsd_static, in_python, ours

ROUNDS = 5
SATURATED = ("--window", "128", "--seconds", "0.8")
ONE_AT_A_TIME = ("--rate", "400", "--seconds", "1")


def measure() -> Iterator[Row]:
    missing = unavailable("Python plane")
    if missing is not None:
        yield missing
        return
    cores = os.cpu_count() or 1
    kinds = [in_python("recvmmsg"), in_python("asyncio"), chronyd(), ours("ntp")]
    with running(kinds) as (plane, *others):
        run_rounds([plane, *others], SATURATED, ROUNDS)
        for other in others:
            yield rate_row("NTP, Python plane: replies a second", plane, other, cores)
        for other in others:
            what = "NTP, Python plane: CPU for a reply"
            yield compared(what, plane, other, lambda run: run.cpu_us, "{:.1f} µs")
        run_rounds([plane, *others], ONE_AT_A_TIME, ROUNDS)
        for other in others:
            what = "NTP, Python plane: round trip, one at a time"
            yield compared(what, plane, other, trip_us, "{:.0f} µs")
    with running([in_python("recvmsg"), in_python("recvmmsg")]) as (single, batches):
        run_rounds([single, batches], SATURATED, ROUNDS)
        yield rate_row("NTP, Python plane without recvmmsg", single, batches, cores)
    # Alone: a process that computes without end would slow the others down.
    with running([in_python("recvmmsg", busy=True)]) as (busy,):
        run_rounds([busy], SATURATED, ROUNDS)
        what = "NTP, Python plane: replies while another thread of it computes"
        yield Row(what, f"{busy.median(lambda run: run.per_s):,.0f} /s", note=busy.losses)
    with running([ours("dns", plane="python"), gdnsd_static()]) as (dns, static):
        run_rounds([dns, static], (*SATURATED, "--names", ",".join(NAMES)), ROUNDS)
        yield compared(
            "DNS, Python plane: CPU for an answer", dns, static, lambda run: run.cpu_us, "{:.1f} µs"
        )


def trip_us(run: Run) -> float:
    return run.seen.trip_p50_us or 0.0


if __name__ == "__main__":
    main(measure)
