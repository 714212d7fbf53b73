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
    known: dict[str, tuple[type[BaseModel], BaseModel | None]] = {
        f"appliance.{name}": (ApplianceConfig, config.appliance) for name in ApplianceConfig.model_fields
    }
    for plugin_id, model in models.items():
        for name in model.model_fields if model else ():
            assert model is not None
            known[f"plugins.{plugin_id}.{name}"] = (model, config.plugins.get(plugin_id))
    full = key if key in known else f"plugins.{key}"
    if full not in known:
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
