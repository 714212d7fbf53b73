"""A year of one member's probes, in the database of an appliance that has not started yet: for benchmarks of what looks back."""

from __future__ import annotations

import random
import sys
from pathlib import Path

from _common import ROOT

sys.path[:0] = [str(ROOT), str(ROOT / "plugins")]

from appliance.core.clock import SystemClock  # noqa: E402
from appliance.store import Database  # noqa: E402
from appliance_monitor.keeping import MIGRATIONS, PROBES, retention  # noqa: E402

DAY_S = 86_400
INTERVAL_S = 540
#: What the monitor keeps when its configuration says nothing.
_RAW_DAYS = 15


class _Calendar(SystemClock):
    """The machine's clock, some days behind; whoever makes up the past tears off one after the other."""

    def __init__(self, days: int) -> None:
        self.days_left, self._gone = days, 0

    def wall_ns(self) -> int:
        return super().wall_ns() - self.days_left * DAY_S * 10**9

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + self._gone * DAY_S * 10**9

    def tear_off(self) -> None:
        self.days_left -= 1
        self._gone += 1


async def lived(path: Path, member: str, days: int = 365) -> None:
    """Write it day by day and keep house after each: so it is rolled up, and old rows are gone, as they are in life.

    Args:
        path: of the database.
        member: id; one probe in nine minutes, one in fifty without an answer.
        days: until now.
    """
    clock, dice = _Calendar(days), random.Random(7)  # noqa: S311 - makes up figures
    async with Database(path, clock) as store:
        await store.migrate("monitor", MIGRATIONS)
        store.retain("monitor", [retention(_RAW_DAYS)])
        while clock.days_left:
            begin = clock.wall_ns() / 1e9
            for number in range(DAY_S // INTERVAL_S):
                store.append(PROBES, _probe(member, begin + number * INTERVAL_S, dice))
            await store.flush()
            clock.tear_off()
            await store.housekeeping()


def _probe(member: str, ts: float, dice: random.Random) -> dict[str, object]:
    heard = dice.randrange(50) > 0
    row = {"ts": ts, "member": member, "monitor": "local", "score": 20 - dice.random()}
    if not heard:
        return row | {"step": -5.0, "error": "timeout", "rule": "no_response"}
    offset_s, rtt_s = dice.gauss(0.002, 0.0006), 0.012 + abs(dice.gauss(0, 0.002))
    return row | {
        "offset_s": offset_s,
        "rtt_s": rtt_s,
        "stratum": 2,
        "leap": 0,
        "step": 1.0,
        "rule": "offset_ok",
    }
