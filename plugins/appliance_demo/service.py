"""Keeps the simulated members alive, and what people may change about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance.api.context import RunContext
from appliance.api.errors import NotFound, NotReady
from appliance.core.clock import Clock
from appliance_demo.config import DemoConfig
from appliance_demo.fault import Fault

if TYPE_CHECKING:
    from appliance_demo.simulator import MemberState


class Playground:
    """The simulated members of this process; outlives restarts of the plugin, so that faults set by hand stay."""

    def __init__(self, config: DemoConfig, clock: Clock) -> None:
        # Not at the top: `python -m appliance_demo.simulator` imports this package first, and must not find it loaded.
        from appliance_demo.simulator import Simulator

        self.simulator = Simulator(
            {member.address: member.fault() for member in config.member}, port=config.port, clock=clock
        )

    def list(self) -> list[dict[str, Any]]:
        """Every member as JSON-able values."""
        return [self._view(state) for state in self.simulator.members()]

    def change(self, address: str, fault: Fault) -> dict[str, Any]:
        """Let the member at `address` behave like `fault` from now on.

        Raises:
            NotFound: there is no simulated member of that address.
        """
        known = {state.address for state in self.simulator.members()}
        if address not in known:
            raise NotFound(
                f"no simulated member has the address {address}; there are {', '.join(sorted(known))}"
            )
        self.simulator.set_fault(address, fault)
        return next(view for view in self.list() if view["address"] == address)

    def sentence(self) -> str:
        """One line for the status: what each member does."""
        states = self.simulator.members()
        shown = "; ".join(f"{s.address} {s.fault.describe()}" for s in states[:6])
        more = f"; and {len(states) - 6} more" if len(states) > 6 else ""
        return f"{len(states)} simulated members on port {self.simulator.port}: {shown}{more}"

    def _view(self, state: MemberState) -> dict[str, Any]:
        return {
            "address": state.address,
            "port": self.simulator.port,
            "does": state.fault.describe(),
            "fault": state.fault.model_dump(exclude_defaults=True),
            "requests": state.requests,
            "replies": state.replies,
        }


async def serve(ctx: RunContext, playground: Playground) -> None:
    """Answer on loopback until cancelled.

    Raises:
        NotReady: the port is taken.
    """
    simulator = playground.simulator
    try:
        simulator.start()
    except OSError as error:
        raise NotReady(
            f"the simulated members need UDP port {simulator.port} on the loopback interface: {error.strerror}"
        ) from error
    ctx.on_stop(simulator.close)
    ctx.status(playground.sentence())
    ctx.ready()
    shown = playground.sentence()
    while True:
        await ctx.clock.sleep(1.0)
        if (now := playground.sentence()) != shown:
            ctx.status(now)
            shown = now
