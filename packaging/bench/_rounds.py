"""Several servers under the same load, in turn and several times, so that a slow minute of the machine hits all of them.

What is compared is one round's figure of one server with the same round's figure of another; the table shows the median of
these ratios, the least and the greatest.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from _common import Row
from _load import Seen, load
from _servers import Kind, Missing, Server


@dataclass(frozen=True)
class Run:
    """One run of the load against one server."""

    seen: Seen
    used_s: float

    @property
    def cpu_us(self) -> float:
        """Processor time for a reply, µs."""
        return self.used_s / self.seen.answered * 1e6

    @property
    def per_cpu_s(self) -> float:
        """Replies for each second of processor time."""
        return self.seen.answered / self.used_s

    @property
    def per_s(self) -> float:
        return self.seen.ok_per_s


@dataclass
class Side:
    """One server and all its runs; `why` it is not there, if it is not."""

    kind: Kind
    server: Server | None = None
    why: str = ""
    runs: list[Run] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.kind.name

    def median(self, figure: Callable[[Run], float]) -> float:
        return statistics.median(map(figure, self.runs))

    def total(self, *what: str) -> int:
        """Replies of all runs that ended as "lost", "late" or "wrong"."""
        return sum(getattr(run.seen, one) for one in what for run in self.runs)

    @property
    def losses(self) -> str:
        """What went wrong, in words."""
        told = ", ".join(
            f"{self.total(what):,} {what}" for what in ("lost", "late", "wrong") if self.total(what)
        )
        told = f"{told} of {self.total('sent'):,}" if told else "nothing lost"
        if any(run.seen.limited for run in self.runs):
            told += ", the load was the bottleneck"
        return f"{self.name}: {told}"


@contextlib.contextmanager
def running(kinds: Sequence[Kind]) -> Iterator[list[Side]]:
    """All servers at once, idle until they are asked; one that cannot run here is told, not left out."""
    with contextlib.ExitStack() as stack:
        sides = []
        for kind in kinds:
            try:
                sides.append(Side(kind, stack.enter_context(kind.running())))
            except (Missing, RuntimeError) as why:
                sides.append(Side(kind, why=" ".join(str(why).split())))
        yield sides


def run_rounds(
    sides: Sequence[Side], options: Sequence[str] | Callable[[Side], Sequence[str]], rounds: int
) -> None:
    """Ask all of them `rounds` times in turn, the order changing each time, after one round that warms up.

    `options` are those of the load generator, for all or for each side.

    Raises:
        RuntimeError: a server answered nothing.
    """
    present = [side for side in sides if side.server is not None]
    for side in present:
        side.runs.clear()
    for number in range(rounds + 1 if present else 0):
        shift = number % len(present)
        for side in [*present[shift:], *present[:shift]]:
            run = _run(side, options(side) if callable(options) else options)
            if number > 0:
                side.runs.append(run)


def _run(side: Side, options: Sequence[str]) -> Run:
    server = side.server
    assert server is not None
    before_s = server.used_s()
    seen = load(side.kind.protocol, server.at, *options, inside=server.inside)
    run = Run(seen, server.used_s() - before_s)
    if not seen.ok:
        raise RuntimeError(f"{side.name} did not answer: {seen}")
    return run


def compared(
    what: str,
    mine: Side,
    other: Side,
    figure: Callable[[Run], float],
    form: str,
    *notes: str,
    goal: str = "",
) -> Row:
    """One line: `figure` of both, written as `form` says, and the median of the ratios of each round.

    `goal` is ">= 1.3" or "<= 1": whether the median reaches it is said in the line.
    """
    if mine.server is None:
        return Row(what, "not measured", note=mine.why)
    value = form.format(mine.median(figure))
    if other.server is None:
        return Row(what, value, f"{other.name}: not measured", note=other.why)
    ratios = sorted(figure(a) / figure(b) for a, b in zip(mine.runs, other.runs, strict=True))
    ratio = statistics.median(ratios)
    told = [f"{len(ratios)} rounds, {ratios[0]:.2f} to {ratios[-1]:.2f}", *notes]
    if goal:
        sign, bound = goal.split()
        reached = ratio >= float(bound) if sign == ">=" else ratio <= float(bound)
        told.append(f"goal {goal}: {'reached' if reached else 'MISSED'}")
    return Row(
        what,
        value,
        f"{other.name}: {form.format(other.median(figure))}",
        ratio,
        "; ".join(filter(None, told)),
    )


def rate_row(what: str, mine: Side, other: Side, cores: int) -> Row:
    """Replies for each second under saturation, and what was lost on the way."""
    shared = f"the load shares the {cores} cores"
    losses = [side.losses for side in (mine, other)] if other.runs else []
    return compared(what, mine, other, lambda run: run.per_s, "{:,.0f} /s", shared, *losses)


def latency_row(what: str, side: Side, rate: int) -> Row:
    """Percentiles of one server at a fixed rate, with the rate that was really reached and how late the load itself was."""
    what = f"{what}: {side.name}"
    if side.server is None:
        return Row(what, "not measured", note=side.why)

    def median(which: str) -> float:
        return statistics.median(getattr(run.seen, which) for run in side.runs)

    note = (
        f"{len(side.runs)} runs; {median('sent_per_s'):,.0f} of {rate:,} /s left, p99 {median('behind_p99_us'):,.0f} µs late; "
        f"from then on p50 {median('trip_p50_us'):,.0f} µs, p99 {median('trip_p99_us'):,.0f} µs; "
        + side.losses.partition(": ")[2]
    )
    cost = f"{side.median(lambda run: run.cpu_us):.1f} µs CPU for a reply"
    return Row(what, f"p50 {median('p50_us'):,.0f} µs, p99 {median('p99_us'):,.0f} µs", cost, note=note)
