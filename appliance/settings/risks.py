"""What a change of the settings lets run, or lets in, that is not let now: a person has to stand behind it with the password."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from appliance.core.config import Config
from appliance.settings.effects import differing, extra

#: Which changes these are, for the documentation of the operations that make them.
LETS_IN: Final = "switching a plugin on, naming a folder with plugins, ending safe mode, who gets in"


def lets_in(old: Config, new: Config, by_default: Mapping[str, bool]) -> list[str]:
    """One entry for each thing that code may run by after the change and not before, and for each key that says who gets in.

    In words that "needs" can follow.

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
    return found + [f"changing {key}" for key in _doors(old, new)]


def _doors(old: Config, new: Config) -> list[str]:
    """Keys that decide who gets in and have another value; a plugin that is new is switched on, which is asked for as that."""
    return [
        f"plugins.{plugin}.{key}"
        for plugin, model in sorted(new.plugins.items())
        if (before := old.plugins.get(plugin)) is not None
        for key in differing(before, model)
        if extra(type(model), key).get("x-opens")
    ]
