"""DNS, the native plane drawing 4 of 100 members by weight, beside gdnsd, Knot and NSD with and without a draw.

All serve the same names over UDP with one worker. The goal: a draw by weight costs no more than gdnsd's *static* answer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from _common import Row, main
from _load import unavailable
from _rounds import compared, latency_row, rate_row, run_rounds, running
from _servers import NAMES, gdnsd_static, gdnsd_weighted, knot_geoip, knot_static, nsd, ours

ROUNDS = 9
ASKED = ("--names", ",".join(NAMES))
SATURATED = ("--window", "128", "--seconds", "0.6", *ASKED)
RATE = 20_000
AT_RATE = ("--rate", str(RATE), "--seconds", "1", *ASKED)
LATENCY_ROUNDS = 3
DRAWS = {"dns": "a draw for each query", "dns8": "a draw for each address and 8 s"}


def measure() -> Iterator[Row]:
    missing = unavailable("DNS, native plane")
    if missing is not None:
        yield missing
        return
    peers = [gdnsd_static(), gdnsd_weighted(), knot_geoip(), knot_static(), nsd()]
    with running([*(ours(what) for what in DRAWS), *peers]) as sides:
        run_rounds(sides, SATURATED, ROUNDS)
        draws, others = sides[: len(DRAWS)], sides[len(DRAWS) :]
        for draw, kind in zip(draws, DRAWS.values(), strict=True):
            for other in others:
                goal = "<= 1" if other is others[0] else ""
                what = f"DNS, {kind}: CPU for an answer"
                yield compared(what, draw, other, lambda run: run.cpu_us, "{:.2f} µs", goal=goal)
        for other in others:
            what = f"DNS, {DRAWS['dns']}: answers a second"
            yield rate_row(what, draws[0], other, os.cpu_count() or 1)
        run_rounds([draws[0], *others], AT_RATE, LATENCY_ROUNDS)
        for side in (draws[0], *others):
            yield latency_row(f"DNS at {RATE:,} /s", side, RATE)
    yield from variants()


def variants() -> Iterator[Row]:
    """With limits charged, which loopback is exempt from by default, and as resolvers ask, with an OPT record."""
    with running([ours("dns-limited"), ours("dns"), gdnsd_static()]) as (limited, default, static):
        run_rounds([limited, default, static], (*SATURATED, "--sources", "65536"), ROUNDS)
        what = "DNS, limits charged, 65,536 clients: CPU for an answer"
        for other in (default, static):
            yield compared(what, limited, other, lambda run: run.cpu_us, "{:.2f} µs")
        run_rounds([default, static], (*SATURATED, "--edns"), ROUNDS)
        yield compared(
            "DNS, queries with EDNS: CPU for an answer", default, static, lambda run: run.cpu_us, "{:.2f} µs"
        )


if __name__ == "__main__":
    main(measure)
