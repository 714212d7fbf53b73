"""One table of the configuration as a form needs it: schema, values, defaults, who decides each key, what a change costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from appliance.api.errors import NotFound
from appliance.core.config import ApplianceConfig, Config, dotted, look_up, merge
from appliance.core.config_check import inner_model
from appliance.core.toml_positions import Path as KeyPath
from appliance.settings.editor import Editor, plain_value
from appliance.settings.effects import extra, how_taken
from appliance.settings.keys import flat
from appliance.settings.masking import is_secret
from appliance.settings.placing import lock

#: Keys of an appliance that runs which only a person can change, with what there is to do.
BY_HAND: dict[KeyPath, str] = {
    (
        "appliance",
        "state_dir",
    ): "the state folder is moved by hand: stop, move it, change the key in the file, start",
    (
        "appliance",
        "user",
    ): "only root can change the user: change the key in the file and start the service again",
}


def table_path(name: str) -> KeyPath:
    """A path for "appliance", "dns" or "plugins.dns"."""
    if name == "appliance":
        return ("appliance",)
    return ("plugins", name.removeprefix("plugins."))


def model_of(editor: Editor, path: KeyPath) -> type[BaseModel] | None:
    """The model of a table; None for a plugin without configuration.

    Raises:
        NotFound: there is no such table.
    """
    if path == ("appliance",):
        return ApplianceConfig
    if path[1] not in editor.models:
        raise NotFound(f"there is no table [{dotted(path)}]: no plugin of that name is running")
    return editor.models[str(path[1])]


def describe(editor: Editor, config: Config, path: KeyPath, *, provides: bool) -> dict[str, Any]:
    """Everything about one table.

    Args:
        editor: of this appliance.
        config: as the files, environment and command line say now.
        path: of the table.
        provides: whether its plugin hands services to others.

    Raises:
        NotFound: there is no such table.
    """
    model = model_of(editor, path)
    instance = config.appliance if path == ("appliance",) else config.plugins.get(str(path[1]))
    keys = {}
    if model is not None and instance is not None:
        keys = {
            dotted(key[len(path) :]): _key(editor, config, key, found, value, default, provides=provides)
            for key, found, value, default in _leaves(model, instance, path)
        }
    return {
        "table": dotted(path),
        "schema": model.model_json_schema() if model is not None else {"type": "object", "properties": {}},
        "values": editor.mask(plain_value(instance) if instance is not None else {}, path),
        "written": _written(editor, config, path),
        "keys": keys,
        "enabled": None if path == ("appliance",) else config.enabled.get(str(path[1])),
        "enabled_locked": lock(config.layers, (*path, "enabled")) if path != ("appliance",) else "",
    }


def _written(editor: Editor, config: Config, path: KeyPath) -> dict[str, Any]:
    """Lists of tables as they stand in the files: their entries say only what somebody wrote."""
    found = look_up(merge(config.layers), path)
    if not isinstance(found, dict):
        return {}
    return {
        dotted(key): editor.mask(value, (*path, *key))
        for key, value in flat(found).items()
        if isinstance(value, list) and any(isinstance(entry, dict) for entry in value)
    }


def _key(editor: Editor, config: Config, path: KeyPath, field: tuple[type[BaseModel], str], value: Any,
         default: Any, *, provides: bool) -> dict[str, Any]:  # fmt: skip
    model, name = field
    sources = config.sources(path)
    secret = is_secret(path, editor.secrets)
    layer, _, position = sources[-1] if sources else ("default", None, None)
    return {
        "default": None if secret else editor.mask(default, path),
        "set": bool(sources),
        "changed": bool(sources) and plain_value(value) != default,
        "decided_by": layer,
        "line": position[0] if position else None,
        "locked": lock(config.layers, path) or BY_HAND.get(path, ""),
        "secret": secret,
        "change": how_taken(extra(model, name), provides=provides, appliance=path[0] == "appliance"),
        "locks_out": bool(extra(model, name).get("x-locks-out")),
    }


def _leaves(
    model: type[BaseModel], instance: BaseModel, path: KeyPath
) -> Iterator[tuple[KeyPath, tuple[type[BaseModel], str], Any, Any]]:
    """Path, field, value and default of each key; tables in tables are gone into, lists are keys."""
    for name, field in model.model_fields.items():
        value = getattr(instance, name, None)
        inner = inner_model(field.annotation)
        if inner is not None and isinstance(value, BaseModel):
            yield from _leaves(type(value), value, (*path, name))
            continue
        default = None if field.is_required() else plain_value(field.get_default(call_default_factory=True))
        yield (*path, name), (model, name), value, default


def overview(editor: Editor, config: Config, titles: Mapping[str, str]) -> list[dict[str, Any]]:
    """Every table with how many of its keys differ from their defaults."""
    found = []
    for path in (("appliance",), *(("plugins", plugin_id) for plugin_id in editor.models)):
        model = model_of(editor, path)
        instance = config.appliance if len(path) == 1 else config.plugins.get(path[1])
        leaves = list(_leaves(model, instance, path)) if model is not None and instance is not None else []
        changed = [
            dotted(key[len(path) :]) for key, _, value, default in leaves if plain_value(value) != default
        ]
        found.append({
            "table": dotted(path), "id": path[-1], "title": titles.get(path[-1], path[-1]),
            "keys": len(leaves), "changed": changed,
            "locked": [dotted(key[len(path):]) for key, *_ in leaves if lock(config.layers, key)],
        })  # fmt: skip
    return found
