"""Checks layered configuration against the plugins' models and tells every problem at once, with its place."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from appliance.api.config import PluginConfig
from appliance.core.config import (
    MISSING,
    ApplianceConfig,
    BadConfig,
    Config,
    Layer,
    Problem,
    dotted,
    look_up,
    merge,
)
from appliance.core.contained import contained
from appliance.core.toml_positions import Path as KeyPath
from appliance.core.toml_positions import locate


def validate(
    layers: Sequence[Layer], models: Mapping[str, type[BaseModel] | None], *, unchecked: Iterable[str] = ()
) -> Config:
    """Check everything and build the models.

    Args:
        layers: weakest first.
        models: plugin id to its model, None for a plugin without configuration.
        unchecked: ids of plugins that could not be loaded: their tables cannot be judged.

    Raises:
        BadConfig: with every problem found.
    """
    merged = merge(layers)
    report = _Report(layers)
    for key in merged:
        if key not in ("appliance", "plugins"):
            report.unknown((key,), ("appliance", "plugins"))
    report.values_for_tables()
    appliance = report.build(ApplianceConfig, ("appliance",), merged.get("appliance", {}))
    tables = merged.get("plugins", {})
    if not isinstance(tables, dict):
        report.add(("plugins",), "expected a table of plugins, such as [plugins.dns]")
        tables = {}
    skipped = set(unchecked)
    plugins: dict[str, BaseModel] = {}
    enabled: dict[str, bool] = {}
    for plugin_id in tables:
        if plugin_id not in models and plugin_id not in skipped:
            report.unknown(("plugins", plugin_id), tuple(models), what="no plugin of that name is installed")
    for plugin_id, model in models.items():
        table = tables.get(plugin_id, {})
        path: KeyPath = ("plugins", plugin_id)
        if not isinstance(table, dict):
            report.add(path, "expected a table")
            continue
        table = dict(table)
        if "enabled" in table:
            switch = table.pop("enabled")
            if isinstance(switch, bool):
                enabled[plugin_id] = switch
            else:
                report.add((*path, "enabled"), f"expected true or false, got {switch!r}")
        built = report.build(model or _NoConfig, path, table)
        if built is not None:
            plugins[plugin_id] = built
    if report.problems or appliance is None:
        raise BadConfig(report.problems)
    return Config(typing.cast("ApplianceConfig", appliance), plugins, enabled, tuple(layers))


class _NoConfig(PluginConfig):
    """For plugins without configuration: every key is unknown."""


class _Report:
    """Collects problems and knows where in which layer a key stands."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers
        self.problems: list[Problem] = []

    def build(self, model: type[BaseModel], path: KeyPath, table: Any) -> BaseModel | None:
        if not isinstance(table, Mapping):
            self.add(path, "expected a table")
            return None
        try:
            with contained(cancelling=True):
                return model.model_validate(table, context={"typed": True})
        except ValidationError as invalid:
            errors = invalid.errors(include_url=False)
            for error in errors:
                inner = tuple(error["loc"])
                if error["type"] == "too_short" and any(e["loc"][:-1] == inner for e in errors):
                    continue  # it only counted the entries that are right; the wrong ones are told already
                if error["type"] == "extra_forbidden":
                    self.unknown(path + inner, _known_keys(model, inner[:-1]))
                else:
                    self.add(path + _real_keys(table, inner), _message(error))
        except Exception as error:  # noqa: BLE001 - a stranger's model may raise anything; where it did is what helps
            self.add(path, f"the model that checks this table fails itself: {type(error).__name__}: {error}")
        return None

    def values_for_tables(self) -> None:
        """A value where a table belongs is wrong also where a stronger layer covers it up."""
        for key in ("appliance", "plugins"):
            for layer in self._layers:
                value = layer.values.get(key, {})
                if not isinstance(value, Mapping) and self._strongest((key,)) is not layer:
                    position = locate(dict(layer.where), (key,))
                    self.problems.append(Problem(layer.name, key, f"expected a table, [{key}]", position))

    def unknown(self, path: KeyPath, known: Iterable[str], what: str = "unknown key") -> None:
        close = difflib.get_close_matches(str(path[-1]), list(known), n=1, cutoff=0.5)
        self.add(path, what, nearest=close[0] if close else "")

    def add(self, path: KeyPath, message: str, *, nearest: str = "") -> None:
        layer = self._strongest(path)
        position = locate(dict(layer.where), path) if layer else None
        line = layer.text.split("\n")[position[0] - 1] if layer and position and layer.text else ""
        self.problems.append(
            Problem(layer.name if layer else "configuration", dotted(path), message, position, line, nearest)
        )

    def _strongest(self, path: KeyPath) -> Layer | None:
        """The last layer that sets `path`, or the nearest parent of it."""
        for length in range(len(path), 0, -1):
            for layer in reversed(self._layers):
                if look_up(layer.values, path[:length]) is not MISSING:
                    return layer
        return self._layers[0] if self._layers else None


def _real_keys(table: Any, inner: KeyPath) -> KeyPath:
    """Drop what pydantic adds to a location (union members, validators) and no key of the document is."""
    for length in range(len(inner), 0, -1):
        if look_up(table, inner[:length]) is not MISSING:
            missing_key = length == len(inner) - 1 and not isinstance(inner[-1], int)
            return inner if missing_key else inner[:length]
    return inner[:1]


def _message(error: Mapping[str, Any]) -> str:
    if error["type"] == "missing":
        return "must be set"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"]) if "ctx" in error else str(error["msg"])
    if error["type"] == "too_short":
        return f"expected at least {error['ctx']['min_length']} of them, got {error['ctx']['actual_length']}"
    kind = _KINDS.get(error["type"])
    if kind is not None:
        return f"expected {kind}, got {error['input']!r}"
    text = str(error["msg"]).replace("Input should be", "expected").replace("Value should", "should")
    return f"{text}, got {error['input']!r}"


#: What a TOML document calls pydantic's types.
_KINDS = {
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "path_type": "a path in quotes",
}


def _known_keys(model: type[BaseModel], inner: KeyPath) -> list[str]:
    """Field names of the model that stands at `inner` below `model`."""
    current: type[BaseModel] | None = model
    for part in inner:
        if current is None:
            return []
        if isinstance(part, int):
            continue
        found = current.model_fields.get(part)
        current = inner_model(found.annotation) if found else None
    names = list(current.model_fields) if current else []
    return names if inner else [*names, "enabled"]


def inner_model(annotation: Any) -> type[BaseModel] | None:
    """The model inside list[Model], Model | None, dict[str, Model]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if isinstance(annotation, types.GenericAlias) or typing.get_origin(annotation) is not None:
        for argument in typing.get_args(annotation):
            inner = inner_model(argument)
            if inner is not None:
                return inner
    return None
