"""What the benchmarks share: rows of one table, paired runs, and what a process costs.

A benchmark is a script `packaging/bench/NAME.py` with a one-line docstring and `measure() -> Iterable[Row]`, ending in
`if __name__ == "__main__": main(measure)`. Run alone it prints its table; `make bench` runs all of them.

On a shared two-core machine one run says nothing. Compare by `paired`: both sides in turn, several times, and the
median of the ratios, so that a slow minute hits both.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: what was measured, such as "NTP replies, one client".
        value: the figure with its unit, such as "88,100 /s".
        beside: the same of another program, such as "chronyd 4.3: 121,000 /s".
        ratio: ours divided by theirs, or None.
        note: spread, number of runs, what limits it.
    """

    what: str
    value: str
    beside: str = ""
    ratio: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Pairs:
    """Figures of two sides measured in turn; `ratio` is the median of the ratios of each pair."""

    ours: tuple[float, ...]
    theirs: tuple[float, ...]

    @property
    def ratio(self) -> float:
        return statistics.median(a / b for a, b in zip(self.ours, self.theirs, strict=True))

    @property
    def spread(self) -> str:
        ratios = sorted(a / b for a, b in zip(self.ours, self.theirs, strict=True))
        return f"{len(ratios)} pairs, ratio {ratios[0]:.2f} to {ratios[-1]:.2f}"


def paired(ours: Callable[[], float], theirs: Callable[[], float], runs: int = 7) -> Pairs:
    """Measure both sides in turn, the order changing each time; one unmeasured run of each warms up."""
    ours(), theirs()
    a: list[float] = []
    b: list[float] = []
    for run in range(runs):
        sides = ((ours, a), (theirs, b)) if run % 2 == 0 else ((theirs, b), (ours, a))
        for side, figures in sides:
            figures.append(side())
    return Pairs(tuple(a), tuple(b))


def median_of(measure: Callable[[], float], runs: int = 7) -> tuple[float, str]:
    """Median of several runs after one that warms up, and the spread in words."""
    measure()
    figures = sorted(measure() for _ in range(runs))
    return statistics.median(figures), f"{runs} runs, {figures[0]:,.4g} to {figures[-1]:,.4g}"


def cpu_s(pid: int) -> float:
    """Processor seconds (user and system, all threads) that a process has used so far.

    From the process's own clock, exact to the ns where `/proc/PID/stat` counts ticks of 10 ms.

    Raises:
        OSError: there is no such process.
    """
    # clock_getcpuclockid(3): the complement of the process ID above three bits, of which 2 says "as the scheduler counts".
    return time.clock_gettime((~pid << 3) | 2)


def thread_cpu_s(tid: int) -> float:
    """The same of one thread of this process."""
    return time.clock_gettime((~tid << 3) | 6)


def resident_bytes(pid: int) -> int:
    """Resident memory of a process, pages shared with others included."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES


def program(name: str) -> str | None:
    """Path of a program to compare with, or None (then the column stays empty and says so)."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))


def table(rows: Sequence[Row]) -> str:
    """Rows as aligned text."""
    cells = [("what", "here", "beside", "ratio", "note")]
    cells += [(r.what, r.value, r.beside, "" if r.ratio is None else f"{r.ratio:.2f}", r.note) for r in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(5)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def main(measure: Callable[[], Iterable[Row]]) -> None:
    """Run one benchmark: prints its table, or hands the rows to `make bench`."""
    rows = list(measure())
    handed_to = os.environ.get("TIMEBALL_BENCH_ROWS")
    if handed_to:
        Path(handed_to).write_text(json.dumps([dataclasses.asdict(row) for row in rows]), encoding="utf-8")
    else:
        sys.stdout.write(table(rows) + "\n")
