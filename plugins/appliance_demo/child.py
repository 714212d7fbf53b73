"""The simulator as a process of its own, told what to do by lines of JSON.

SPEC is a JSON object, or "@FILE" with one:

    {"port": 0, "seed": 1, "members": [
        {"address": "127.0.0.11"},
        {"address": "127.0.0.13", "offset_s": 0.3},
        {"address": "127.1.0.1", "count": 10000, "loss": 0.01}]}

It prints `{"port": N, "members": N}` when it is ready. Then each line on standard input is an order, answered by one line:
`{"address": "127.0.0.11", "fault": {"silent": true}}` changes a member, `{"stats": true}` asks for the packets so far.
It ends when its standard input is closed, so it never outlives who started it.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance_demo.fault import Fault
from appliance_demo.simulator import Simulator, spread


class SpecMember(Fault):
    """One address, or `count` successive ones from it on."""

    address: str
    count: int = Field(default=1, ge=1, le=1_000_000)

    def fault(self) -> Fault:
        return Fault(**self.model_dump(exclude={"address", "count"}))


class Spec(BaseModel):
    """What the child simulates."""

    model_config = ConfigDict(defer_build=True, extra="forbid")

    port: int = Field(default=0, ge=0, le=65535)
    seed: int | None = None
    members: list[SpecMember] = []

    def faults(self) -> dict[str, Fault]:
        """Fault by address; all members of one entry share it."""
        return {
            address: fault
            for entry in self.members
            for fault in [entry.fault()]
            for address in spread(entry.address, entry.count)
        }


class Order(BaseModel):
    """One line on standard input."""

    model_config = ConfigDict(defer_build=True, extra="forbid")

    address: str | None = None
    fault: Fault = Fault()
    stats: bool = False


def obey(simulator: Simulator, line: str) -> dict[str, Any]:
    """Carry out one order; the answer says what became of it, an order that makes no sense included."""
    try:
        order = Order.model_validate_json(line)
        if order.stats:
            members = simulator.members()
            used = resource.getrusage(resource.RUSAGE_SELF)
            return {
                "requests": sum(m.requests for m in members),
                "replies": sum(m.replies for m in members),
                "asked": sum(1 for m in members if m.requests),
                "strays": simulator.strays,
                "cpu_s": used.ru_utime + used.ru_stime,
            }
        simulator.set_fault(order.address or "", order.fault)
    except KeyError:
        return {"error": f"no simulated member has the address {order.address}"}
    except ValueError as error:  # pydantic's too
        return {"error": str(error)}
    return {"address": order.address, "now": order.fault.describe()}


def main(arguments: Sequence[str], *, orders: TextIO | None = None) -> int:
    """Run until standard input ends; exit code 2 for a SPEC that makes no sense, 1 for a port that is taken."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)  # noqa: T201
        return 2
    text = arguments[0]
    try:
        if text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
        spec = Spec.model_validate_json(text)
        simulator = Simulator(spec.faults(), port=spec.port, seed=spec.seed)
    except (OSError, ValidationError, ValueError) as error:
        print(f"the specification cannot be used: {error}", file=sys.stderr)  # noqa: T201
        return 2
    # Ctrl-C reaches the whole process group; who started us closes our input when it is done with us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with simulator:
            _say({"port": simulator.port, "members": len(simulator.members())})
            for line in orders or sys.stdin:
                _say(obey(simulator, line))
    except OSError as error:
        print(f"UDP port {spec.port} on the loopback interface: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _say(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)  # noqa: T201
