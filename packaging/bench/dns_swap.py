"""DNS while the membership changes every 100 ms: is anything lost, and does any answer mix two memberships?

Each membership has a hundred addresses of a prefix of its own, built and published as the DNS plugin does; the load verifies
that all addresses of each answer agree in theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from _common import Row, main
from _load import load, unavailable
from _servers import NAMES, Missing, ours

SECONDS = 12
#: The Python plane is asked what it can answer beside a control plane that computes.
RATES = {"native": 50_000, "python": 4_000}


def measure() -> Iterator[Row]:
    missing = unavailable("DNS, membership swapped every 100 ms")
    if missing is not None:
        yield missing
        return
    for plane, rate in RATES.items():
        what = f"DNS, {plane}: membership swapped every 100 ms at {rate:,} /s"
        try:
            with ours("dns-swap", plane=plane).running() as server:
                asked = ("--names", ",".join(NAMES), "--same-bits", "16")
                seen = load(
                    "dns",
                    server.at,
                    "--rate",
                    str(rate),
                    "--seconds",
                    str(SECONDS),
                    "--late-ms",
                    "1000",
                    *asked,
                )
                dropped = drops(int(server.at.partition(":")[2]))
        except Missing as missing_plane:
            yield Row(what, "not measured", note=str(missing_plane))
            continue
        why = f" ({dropped:,} in a full socket buffer before the server saw them)" if dropped else ""
        yield Row(
            what,
            f"lost {seen.lost:,}{why}, mixed or wrong {seen.wrong:,}",
            note=f"{seen.sent:,} queries at {seen.sent_per_s:,.0f} /s for {seen.elapsed_s:.0f} s, "
            f"{seen.groups} memberships seen, p99 {seen.p99_us:,.0f} µs",
        )


def drops(port: int) -> int:
    """Packets that the kernel dropped at the sockets of a UDP port for want of room."""
    lines = Path("/proc/net/udp").read_text(encoding="ascii").splitlines()[1:]
    fields = (line.split() for line in lines)
    return sum(int(one[-1]) for one in fields if int(one[1].partition(":")[2], 16) == port)


if __name__ == "__main__":
    main(measure)
