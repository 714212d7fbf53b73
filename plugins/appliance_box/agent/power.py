"""Restart the appliance or the box, switch it off, and what the next start shall be like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.api.agent import Action, AgentRefusal, Arguments, Call, words

SERVICE = "timeball.service"


def _system(call: Call, *words_of_it: str) -> Mapping[str, Any]:
    """Hand a job to the service manager without waiting for it: we are among what it stops."""
    call.progress({"doing": " ".join(words_of_it)})
    done = call.program("systemctl", "--no-block", *words_of_it)
    if done.status != 0:
        raise AgentRefusal(
            "refused_by_system", f"the service manager did not take it: {words(done.said)}",
            "log in to the box and look at: journalctl -b -u systemd-logind",
        )  # fmt: skip
    return {"asked": " ".join(words_of_it)}


def restart_service(call: Call, arguments: Arguments) -> Mapping[str, Any]:
    return _system(call, "restart", SERVICE)


def restart(call: Call, arguments: Arguments) -> Mapping[str, Any]:
    return _system(call, "reboot")


def power_off(call: Call, arguments: Arguments) -> Mapping[str, Any]:
    return _system(call, "poweroff")


ACTIONS = (
    Action("service.restart", "Restart the appliance, and nothing else of the box", restart_service),
    Action("power.restart", "Restart the box", restart),
    Action("power.off", "Switch the box off", power_off),
)
