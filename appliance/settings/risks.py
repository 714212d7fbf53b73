"""What a change of the settings lets run that does not run now: a person has to stand behind it with the password."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from appliance.core.config import Config

#: Which changes these are, for the documentation of the operations that make them.
LETS_IN: Final = "switching a plugin on, naming a folder with plugins, ending safe mode"


def lets_in(old: Config, new: Config, by_default: Mapping[str, bool]) -> list[str]:
    """One entry for each thing that code may run by after the change and not before, in words that "needs" can follow.

    A plugin runs inside the process and can do all that the appliance can, so it makes no difference here whether it came
    with the appliance.

    Args:
        old: in force.
        new: to be.
        by_default: whether a plugin runs about which the configuration says nothing, by id. Of one that is not in there, because
            it cannot be loaded or was left out, the worse is taken.
    """
    found = []
    for plugin in sorted(old.enabled.keys() | new.enabled.keys()):
        before = old.enabled.get(plugin, by_default.get(plugin, False))
        if new.enabled.get(plugin, by_default.get(plugin, True)) and not before:
            found.append(f"switching the plugin {plugin} on")
    more = sorted(str(folder) for folder in set(new.appliance.plugin_dirs) - set(old.appliance.plugin_dirs))
    if more:
        found.append(f"taking plugins from {', '.join(more)}")
    if old.appliance.safe_mode and not new.appliance.safe_mode:
        found.append("ending safe mode")
    return found
