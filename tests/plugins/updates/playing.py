"""What the tests of the agent do with a box that is played: install, restart, come back."""

from __future__ import annotations

import json

from appliance.api.agent import Ran
from appliance.boot.scheme import (
    activate,
    begin_install,
    power_up,
)
from appliance_updates import arriving
from appliance_updates.agent_actions import ACTIONS
from appliance_updates.proving import Proof, judge
from tests.plugins.updates.a_box import NEW, OLD

NAMES = {action.name: action for action in ACTIONS}


def busctl(box, fails="", cut=False):
    """RAUC's service: marks the other slot bad, writes, makes it the next one, as it does."""
    polls = iter(["installing", "installing"])

    def answer(*words):
        if "InstallBundle" in words:
            box.written = words
            box.partition.change(lambda state: begin_install(state, "B"))
            if not fails and not cut:
                box.partition.change(lambda state: activate(state, "B"))
            return Ran(0, "")
        if words[-1] == "Operation":
            return Ran(1, "gone") if cut else Ran(0, json.dumps({"type": "s", "data": next(polls, "idle")}))
        if words[-1] == "Progress":
            return Ran(0, '{"type":"(isi)","data":[40,"Copying image to rootfs.1",3]}')
        return Ran(0, json.dumps({"type": "s", "data": fails}))

    return answer


def do(box, name, /, **arguments):
    action = NAMES[name]
    return action.run(box.call, action.arguments.model_validate(arguments))


def arrive(box, now=2000.0):
    return arriving.arrive(box.root, box.state, box.programs, now)


def installed(box):
    """The box after an installation, before it restarts."""
    do(box, "updates.install", file="/new.raucb")
    return box


def restart(box, *, works=True):
    """What the boot loader starts, run; the event that it comes to."""
    chosen, after = power_up(box.state)
    box.partition.change(lambda _: after)
    box.power_up(chosen, NEW if chosen == "B" else OLD)
    return arrive(box) if works or chosen == "A" else None


def updated(box):
    installed(box)
    restart(box)
    box.write_database("by the new one")
    judge(box.root, box.partition, lambda known: Proof(good=True), box.programs, lambda: 9.0)
    return box
