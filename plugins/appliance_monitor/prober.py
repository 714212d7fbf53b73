"""Takes the samples of one probe: which kind of look, how many, how far apart, and when one says all there is to say."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from appliance.api.contrib import ProbeKind
from appliance.api.model import Sample, Target
from appliance.core.clock import Clock
from appliance_monitor.pace import Pace
from appliance_monitor.places import SCORED
from appliance_monitor.samples import is_final
from appliance_monitor.target import gap_s, is_local

SampleOnce = Callable[[Target, float], Awaitable[Sample]]

#: A kind of look that does not keep its own time limit is cut off this long after it.
_GRACE_S = 5.0
#: Addresses are forgotten when so many are remembered and their time has passed.
_MANY = 1000


class Prober:
    """Shared by the schedule and by everybody who wants a single look, so that together they keep the guard time."""

    def __init__(
        self,
        clock: Clock,
        rng: random.Random,
        kinds: Callable[[], list[ProbeKind]],
        own: SampleOnce,
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._kinds = kinds
        self._own = own
        self._free_ns: dict[str, int] = {}

    async def take(
        self, target: Target, pace: Pace, on_sample: Callable[[Sample], None] | None = None
    ) -> list[Sample]:
        """The samples of one probe, oldest first, at least one.

        Args:
            target: where to.
            pace: how many and how far apart; a public address is never asked faster than its guard time.
            on_sample: called with each sample as it comes.
        """
        # The last plugin that offers a look of this name wins: that is how somebody replaces ours.
        sample_once = {kind.name: kind.sample for kind in self._kinds()}.get(SCORED, self._own)
        taken: list[Sample] = []
        while True:
            await self.guard(target.address)
            sample = await self._once(sample_once, target, pace.timeout_s)
            taken.append(sample)
            if on_sample is not None:
                on_sample(sample)
            # On our own network a refusal is the machine's own word: asking again changes nothing.
            said_all = is_final(sample) or (sample.error == "refused" and is_local(target.address))
            if said_all or len(taken) >= pace.samples:
                return taken
            await self._clock.sleep(pace.spacing_s * self._rng.uniform(1, 1.05))

    @staticmethod
    async def _once(sample_once: SampleOnce, target: Target, timeout_s: float) -> Sample:
        try:
            async with asyncio.timeout(timeout_s + _GRACE_S):
                return await sample_once(target, timeout_s)
        except TimeoutError:
            return Sample(error="timeout")

    async def guard(self, address: str) -> None:
        """Wait until the address may be asked again, and take that moment."""
        gap_ns = int(gap_s(address) * 1e9)
        if not gap_ns:
            return
        now_ns = self._clock.monotonic_ns()
        if len(self._free_ns) >= _MANY:
            self._free_ns = {key: free for key, free in self._free_ns.items() if free > now_ns}
        turn_ns = max(now_ns, self._free_ns.get(address, 0))
        self._free_ns[address] = turn_ns + gap_ns
        if turn_ns > now_ns:
            await self._clock.sleep((turn_ns - now_ns) / 1e9)
