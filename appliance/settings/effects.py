"""What a change does to a running appliance, told before it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from appliance.core.config import ApplianceConfig, Config

How = Literal["live", "plugin", "process"]


@dataclass(frozen=True, slots=True)
class Effect:
    """What one changed key needs.

    Attributes:
        key: dotted.
        how: "live" takes effect at once, "plugin" restarts that plugin alone, "process" restarts everything.
        plugin: id, "" for a key of the appliance.
        locks_out: it is taken back unless somebody confirms it in time.
    """

    key: str
    how: How
    plugin: str = ""
    locks_out: bool = False


def effects(old: Config, new: Config, provides: Callable[[str], bool]) -> list[Effect]:
    """One entry for each key that differs.

    Args:
        old: in force.
        new: to be.
        provides: whether a plugin hands services to others, who would keep the old ones.
    """
    found = [
        Effect(f"appliance.{key}", how_taken(extra(ApplianceConfig, key), provides=False, appliance=True))
        for key in differing(old.appliance, new.appliance)
    ]
    for plugin_id, model in new.plugins.items():
        before = old.plugins.get(plugin_id)
        for key in differing(before, model) if before is not None else ():
            marks = extra(type(model), key)
            how = how_taken(marks, provides=provides(plugin_id))
            found.append(Effect(f"plugins.{plugin_id}.{key}", how, plugin_id, bool(marks.get("x-locks-out"))))
    for plugin_id in sorted(old.enabled.keys() | new.enabled.keys()):
        if old.enabled.get(plugin_id) != new.enabled.get(plugin_id):
            how = how_taken({}, provides=provides(plugin_id))
            out = plugin_id == "web" and new.enabled.get(plugin_id) is False
            found.append(Effect(f"plugins.{plugin_id}.enabled", how, plugin_id, out))
    return found


def how_taken(marks: Mapping[str, Any], *, provides: bool, appliance: bool = False) -> How:
    """How a running appliance takes a new value of a key.

    Args:
        marks: what `setting` noted about the key.
        provides: whether its plugin hands services to others.
        appliance: it is a key of `[appliance]`.
    """
    if marks.get("x-live"):
        return "live"
    wanted = marks.get("x-restart")
    if wanted == "plugin":
        return "plugin"
    return "process" if provides or appliance or wanted == "process" else "plugin"


def differing(old: BaseModel, new: BaseModel) -> list[str]:
    """Names of the fields that differ."""
    return [name for name in type(new).model_fields if getattr(old, name, None) != getattr(new, name)]


def extra(model: type[BaseModel], field: str) -> Mapping[str, Any]:
    """What `setting` noted about a field besides its type."""
    found = model.model_fields[field].json_schema_extra
    return found if isinstance(found, dict) else {}


def worst(found: Iterable[Effect]) -> How:
    """The most that any of them needs."""
    kinds = {effect.how for effect in found}
    return "process" if "process" in kinds else "plugin" if "plugin" in kinds else "live"
