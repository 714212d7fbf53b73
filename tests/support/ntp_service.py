"""The time service as a plugin, for tests: a clock source of their own, and where it listens."""

from __future__ import annotations

import dataclasses

from appliance.api.model import ClockState
from appliance.core.cells import Cell
from appliance.core.clock import SystemClock
from appliance.dataplane.interface import Endpoint

CLOCK = SystemClock()


def synchronised(**changes) -> ClockState:
    state = ClockState(
        leap=0, stratum=3, refid=b"\x7f\x7f\x01\x01", reference_ns=CLOCK.wall_ns() - 10**9, root_delay_s=0.001,
        root_dispersion_s=0.001, dispersion_rate=15e-6, as_of_mono_ns=CLOCK.monotonic_ns(), source="test",
    )  # fmt: skip
    return dataclasses.replace(state, **changes)


class Source:
    """A clock source for tests."""

    def __init__(self, state: ClockState | None = None) -> None:
        self.state = Cell(state or synchronised(), clock=CLOCK)

    async def details(self):
        return {}


async def endpoint(app, family=4) -> tuple[str, int]:
    texts = (await app.get("/api/v1/ntp"))["listen"]
    found = (Endpoint.parse(text) for text in texts)
    return tuple(next(e for e in found if (":" in e.host) == (family == 6)))
