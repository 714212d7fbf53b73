"""Explains one configuration key: what it means, what it is, and which layer said so."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from appliance.api.errors import NotFound
from appliance.core.config import ApplianceConfig, Config


def explain(config: Config, models: Mapping[str, type[BaseModel] | None], key: str) -> dict[str, Any]:
    """Explain `key`, such as "dns.ttl", "plugins.dns.ttl" or "appliance.state_dir".

    Raises:
        NotFound: there is no such key; the nearest one is named.
    """
    known = _keys("appliance", ApplianceConfig, config.appliance)
    for plugin_id, table in models.items():
        if table is not None:
            known |= _keys(f"plugins.{plugin_id}", table, config.plugins.get(plugin_id))
    full = key if key in known else f"plugins.{key}"
    if full not in known:
        inside = sorted(name for name in known if name.startswith((f"{key}.", f"{full}.")))
        if key and inside:
            raise NotFound(f"{key} is a table; its keys are {', '.join(inside)}")
        short = {name.removeprefix("plugins."): name for name in known} | {name: name for name in known}
        close = difflib.get_close_matches(key, list(short), n=1, cutoff=0.4)
        raise NotFound(f"there is no key {key}" + (f'; did you mean "{short[close[0]]}"?' if close else ""))
    model, instance = known[full]
    name = full.rpartition(".")[2]
    field = model.model_fields[name]
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    layers = [
        {"layer": layer, "value": value, "line": position[0] if position else None}
        for layer, value, position in config.sources(tuple(full.split(".")))
    ]
    return {
        "key": full,
        "value": getattr(instance, name, None),
        "help": field.description or "",
        "unit": extra.get("x-unit", ""),
        "default": None if field.is_required() else field.get_default(call_default_factory=True),
        "change": "live" if extra.get("x-live") else "needs a restart",
        "layers": layers,
        "decided_by": layers[-1]["layer"] if layers else "default",
    }


def _keys(
    path: str, model: type[BaseModel], instance: BaseModel | None
) -> dict[str, tuple[type[BaseModel], BaseModel | None]]:
    """Every key of a table and of the tables in it, with the model that has the field and its values."""
    known: dict[str, tuple[type[BaseModel], BaseModel | None]] = {}
    for name, field in model.model_fields.items():
        known[f"{path}.{name}"] = (model, instance)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            known |= _keys(f"{path}.{name}", field.annotation, getattr(instance, name, None))
    return known
