"""Every action of the agent. The list of modules is closed: what somebody installs never runs with root's rights."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from appliance.api.agent import Action

#: Modules with a tuple ACTIONS each; those of other built-in plugins are named, not imported by our code.
MODULES: Final = (
    "appliance_box.agent.about",
    "appliance_box.agent.box",
    "appliance_box.agent.card",
    "appliance_box.agent.config",
    "appliance_box.agent.journal",
    "appliance_box.agent.power",
    "appliance_updates.agent_actions",
)


def known_actions() -> Mapping[str, Action]:
    """Actions by name.

    Raises:
        ValueError: two of the same name.
    """
    found: dict[str, Action] = {}
    for name in MODULES:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as missing:
            if missing.name is not None and (name == missing.name or name.startswith(f"{missing.name}.")):
                continue  # a box without that plugin
            raise
        for action in module.ACTIONS:
            if action.name in found:
                raise ValueError(f"two actions are called {action.name}")
            found[action.name] = action
    return MappingProxyType(found)
