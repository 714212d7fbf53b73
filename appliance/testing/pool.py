"""A pool of simulated servers on loopback whose faults are scripted: the real protocol over real sockets, on your clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from appliance.core.clock import Clock, FakeClock
from appliance_demo.fault import Fault
from appliance_demo.simulator import Simulator

__all__ = ["Fault", "VirtualPool", "virtual_pool"]


class VirtualPool:
    """Simulated servers; made by `virtual_pool`.

    Attributes:
        simulator: all of them, on one UDP port.
    """

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    @property
    def port(self) -> int:
        return self.simulator.port

    def members(self) -> dict[str, Any]:
        """The configuration `[plugins.members]` that declares them all."""
        addresses = [state.address for state in self.simulator.members()]
        return {"member": [{"address": address, "port": self.port} for address in addresses]}

    def set_fault(self, address: str, **fault: Any) -> None:
        """Let one misbehave from the next packet on, as `Fault` has it; without any fault it is well again."""
        self.simulator.set_fault(address, Fault(**fault))

    async def play(self, clock: FakeClock, script: Iterable[tuple[float, str, Mapping[str, Any]]]) -> None:
        """Turn the clock through a script: (seconds after the line before, address, fault)."""
        for after_s, address, fault in script:
            await clock.advance(after_s)
            self.set_fault(address, **fault)


@contextmanager
def virtual_pool(
    faults: Mapping[str, Mapping[str, Any]], *, clock: Clock | None = None, seed: int = 0
) -> Iterator[VirtualPool]:
    """Simulated servers for the time of a `with`.

    Args:
        faults: what each does wrong (nothing: {}), by IPv4 loopback address.
        clock: gives them their time; the machine's own by default.
        seed: of the losses.
    """
    prepared = {address: Fault(**fault) for address, fault in faults.items()}
    with Simulator(prepared, clock=clock, seed=seed) as simulator:
        yield VirtualPool(simulator)
