"""How this appliance runs: which data plane and why, as whom, and what would be better. For doctor, API and page."""

from __future__ import annotations

from typing import Any

from appliance.dataplane.interface import DataPlane
from appliance.dataplane.sandbox import SWITCHED_OFF
from appliance.host import privileges


def how_it_runs(plane: DataPlane) -> dict[str, Any]:
    """JSON-able: "plane", "process" and "advice", a list of what could be better with its remedy."""
    rights = privileges.own_rights()
    sandbox = plane.sandbox
    return {
        "plane": {
            "name": plane.name,
            "why": plane.why,
            "workers": plane.workers,
            "faster": plane.faster,
            "sandbox": {"on": sandbox.on, "why": sandbox.why},
        },
        "process": {
            "user": rights.user,
            "root": rights.root,
            "capabilities": list(rights.capabilities),
            "no_new_privileges": rights.no_new_privileges,
        },
        "advice": [{"text": text, "remedy": remedy} for text, remedy in _advice(plane, rights)],
    }


def _advice(plane: DataPlane, rights: privileges.Rights) -> list[tuple[str, str]]:
    advice = []
    if rights.root:
        advice.append(("It runs as root", privileges.ADVICE))
    if plane.name == "native" and not plane.sandbox.on:
        switch = plane.sandbox == SWITCHED_OFF
        remedy = "set `sandbox = true` under [appliance]" if switch else "a kernel with seccomp has it"
        advice.append((f"The packet threads are not confined: {plane.sandbox.why}", remedy))
    if plane.faster:
        advice.append((f"Packets are answered by the {plane.name} plane", plane.faster))
    return advice
