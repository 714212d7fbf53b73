"""Whose memory grows: when the process has grown, Python's allocations are traced for some minutes, and the line that keeps them is named.

Tracing makes code that allocates several times slower, so it is no permanent state: it begins when there is something to find, is short,
rests long, and ends at once where the event loop or packets fall behind. A box on which nothing grows never pays for it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import tracemalloc
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.core.clock import Clock

log = logging.getLogger("timeball.host")

#: What start-up builds, and the first pages and backups, is not growth.
SETTLED_S: Final = 900.0
LOOK_S: Final = 60.0
#: Between two traces, whatever grows.
REST_S: Final = 3600.0
#: So much more than at rest, and it is worth a trace.
GROWN_BYTES: Final = 24 * 2**20
#: What is held is taken so often, so far apart; who leaks holds more each time.
TAKES: Final = 5
TAKE_S: Final = 60.0
#: Lines of a stack that are kept: enough to come from a library back to who called it.
FRAMES: Final = 6
#: Less than this from the first take to the last is no leak that matters: 150 kB an hour.
LEAST_BYTES: Final = 10_000
#: Later than this, so many seconds in a row, the event loop must not be because of us.
LATE_S: Final = 0.5
MOST_LATE: Final = 3
#: Where packets are moved in Python a traced reply costs 27 times as much: parts of a core that the process uses before, and while,
#: it is traced, at most.
IDLE: Final = 0.03
BUSY: Final = 0.5
#: A leak grows evenly: no step from take to take is smaller than this part of their mean.
EVEN: Final = 0.2
_PAGE_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Leak:
    """What one plugin never lets go.

    Attributes:
        plugin: its id.
        where: "FILE:LINE", where most of it is made.
        bytes_per_h: how fast all of its lines together grow.
    """

    plugin: str
    where: str
    bytes_per_h: float


def resident_bytes(statm: Path = Path("/proc/self/statm")) -> int:
    """Memory of this process that is in use now; 0 where the system does not tell."""
    try:
        return int(statm.read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0


Line = tuple[str, str]
Held = Mapping[Line, int]


def held(snapshot: tracemalloc.Snapshot, owner: Callable[[str], str]) -> Held:
    """Bytes by (plugin, "FILE:LINE"): of each stack the innermost line that is a plugin's; `owner` knows whose a file is."""
    found: dict[Line, int] = defaultdict(int)
    for trace in snapshot.traces:
        for frame in reversed(trace.traceback):
            if plugin := owner(frame.filename):
                found[plugin, f"{frame.filename}:{frame.lineno}"] += trace.size
                break
    return found


def leaks(takes: Sequence[Held], apart_s: float) -> list[Leak]:
    """The plugins that hold evenly more in each take than in the one before, the worst first.

    Args:
        takes: what was held, of what was allocated since the first began.
        apart_s: time between two.
    """
    span_s = apart_s * (len(takes) - 1)
    grown: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for plugin, where in takes[-1]:
        sizes = [take.get((plugin, where), 0) for take in takes]
        size = sizes[-1] - sizes[0]
        step = min(after - before for before, after in itertools.pairwise(sizes))
        if step > EVEN * size / len(sizes):
            grown[plugin].append((size, where))
    found = [
        Leak(plugin, max(lines)[1], size / span_s * 3600)
        for plugin, lines in grown.items()
        if (size := sum(size for size, _ in lines)) >= LEAST_BYTES
    ]
    return sorted(found, key=lambda leak: -leak.bytes_per_h)


class MemoryWatch:
    """Looks at the process's memory once a minute, and traces it when it has grown."""

    def __init__(self, clock: Clock, owner: Callable[[str], str], told: Callable[[Sequence[Leak], int], None], *,
                 late_s: Callable[[], float] = lambda: 0.0, busy: Callable[[], float] = lambda: 0.0,
                 resident: Callable[[], int] = resident_bytes) -> None:  # fmt: skip
        """A watch that does not look yet.

        Args:
            clock: the injected clock.
            owner: the plugin whose code a file holds, or "".
            told: after a trace, the leaks and the bytes that the process had grown by.
            late_s: how late the event loop is.
            busy: part of a core that was used since it was asked last, where tracing slows packets down; else 0.
            resident: memory of the process, bytes.
        """
        self._clock = clock
        self._owner = owner
        self._told = told
        self._late_s = late_s
        self._busy = busy
        self._resident = resident

    async def run(self) -> None:
        """Until cancelled."""
        await self._clock.sleep(SETTLED_S)
        least = self._resident()
        while True:
            await self._clock.sleep(LOOK_S)
            now = self._resident()
            least = min(least, now)
            if self._busy() > IDLE or now - least < GROWN_BYTES:
                continue
            takes = await self._trace()
            if takes is not None:
                self._told(leaks(takes, TAKE_S), now - least)
            least = now
            await self._clock.sleep(REST_S)

    async def _trace(self) -> Sequence[Held] | None:
        """What was held at each take; None where somebody else traces, or the loop fell behind."""
        if tracemalloc.is_tracing():
            return None
        takes = []
        log.info("memory has grown: what Python allocates is traced for %.0f s", TAKES * TAKE_S)
        tracemalloc.start(FRAMES)
        try:
            late = 0
            for _ in range(TAKES):
                for _ in range(int(TAKE_S)):
                    await self._clock.sleep(1.0)
                    late = late + 1 if self._late_s() > LATE_S else 0
                    if late == MOST_LATE or self._busy() > BUSY:
                        log.info("what Python allocates is not traced any more: there is too much else to do")
                        return None
                takes.append(await asyncio.to_thread(lambda: held(tracemalloc.take_snapshot(), self._owner)))
        finally:
            tracemalloc.stop()
        return takes
