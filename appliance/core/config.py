"""Configuration in layers: defaults < file < conf.d < machine-written overrides < environment < --set.

Every problem is found at once and told with file, line, key, what was expected and the nearest valid key.
"""

from __future__ import annotations

import difflib
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from appliance.api.config import PluginConfig, setting
from appliance.core.toml_positions import Path as KeyPath
from appliance.core.toml_positions import Position, locate, positions

ENV_PREFIX = "TIMEBALL_"


class ApplianceConfig(PluginConfig):
    """The table `[appliance]`."""

    state_dir: Path = setting(
        Path("/var/lib/timeball"), help="Folder for the database, keys, the admin socket."
    )
    dataplane: Literal["auto", "python", "native", "xdp"] = setting(
        "auto", help="Which implementation moves packets."
    )
    plugin_dirs: list[Path] = setting(
        default_factory=list, help="More folders with drop-in plugins; STATE_DIR/plugins is always one."
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", help="How much is logged.", live=True
    )
    safe_mode: bool = setting(
        default=False, help="Start without any plugin that did not come with the appliance."
    )


@dataclass(frozen=True, slots=True)
class Layer:
    """One source of values.

    Attributes:
        name: for people: a path, "environment", "--set".
        text: the document, for showing the offending line; "" where there is none.
    """

    name: str
    values: Mapping[str, Any]
    where: Mapping[KeyPath, Position] = field(default_factory=dict)
    text: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the configuration."""

    layer: str
    key: str
    message: str
    position: Position | None = None
    line_text: str = ""
    nearest: str = ""

    def __str__(self) -> str:
        place = self.layer + (f":{self.position[0]}:{self.position[1]}" if self.position else "")
        text = f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"
        if self.nearest:
            text += f' (did you mean "{self.nearest}"?)'
        return text + (f"\n    {self.line_text.strip()}" if self.line_text.strip() else "")

    def as_dict(self) -> dict[str, Any]:
        line, column = self.position or (None, None)
        return {
            "file": self.layer, "line": line, "column": column, "key": self.key,
            "message": self.message, "nearest": self.nearest,
        }  # fmt: skip


class BadConfig(Exception):
    """The configuration cannot be used; holds every problem."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(p) for p in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Config:
    """The validated configuration.

    Attributes:
        plugins: model instance by plugin id.
        enabled: plugin ids that `[plugins.<id>] enabled` switches on or off explicitly.
        layers: the sources, weakest first.
    """

    appliance: ApplianceConfig
    plugins: Mapping[str, BaseModel]
    enabled: Mapping[str, bool]
    layers: tuple[Layer, ...]

    def sources(self, path: KeyPath) -> list[tuple[str, Any, Position | None]]:
        """Every layer that sets `path`, weakest first, with its value and place."""
        found = []
        for layer in self.layers:
            value: Any = layer.values
            for part in path:
                if isinstance(value, Mapping) and part in value:
                    value = value[part]
                else:
                    break
            else:
                found.append((layer.name, value, locate(dict(layer.where), path)))
        return found


def read_file(path: Path) -> Layer:
    """Read one TOML file.

    Raises:
        BadConfig: it cannot be read or is not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadConfig([Problem(str(path), "", f"cannot be read: {reason}")]) from None
    return read_text(text, str(path))


def read_text(text: str, name: str) -> Layer:
    """Read TOML from a string.

    Raises:
        BadConfig: it is not TOML.
    """
    text = text.replace("\r\n", "\n")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        position = _syntax_position(str(error), text)
        line = text.split("\n")[position[0] - 1] if position else ""
        message = str(error).partition(" (at ")[0]
        raise BadConfig([Problem(name, "", f"not valid TOML: {message}", position, line)]) from None
    return Layer(name, values, positions(text), text)


def _syntax_position(message: str, text: str) -> Position | None:
    _, found, place = message.partition("(at line ")
    if found:
        line, _, column = place.rstrip(")").partition(", column ")
        return int(line), int(column)
    lines = text.split("\n")
    return len(lines), len(lines[-1]) + 1  # "at end of document"


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """TIMEBALL_PLUGINS__DNS__TTL=60 sets plugins.dns.ttl."""
    settings = [
        (name.removeprefix(ENV_PREFIX).lower().split("__"), text)
        for name, text in sorted(environ.items())
        if name.startswith((f"{ENV_PREFIX}APPLIANCE__", f"{ENV_PREFIX}PLUGINS__"))
    ]
    return _scalar_layer("environment", settings)


def override_layer(assignments: Iterable[str]) -> Layer:
    """`--set plugins.dns.ttl=60`.

    Raises:
        BadConfig: an assignment without "=".
    """
    settings = []
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals:
            raise BadConfig([Problem("--set", text, "expected KEY=VALUE, such as plugins.dns.ttl=60")])
        settings.append((key.strip().split("."), value.strip()))
    return _scalar_layer("--set", settings)


def _scalar_layer(name: str, settings: Iterable[tuple[list[str], str]]) -> Layer:
    values: dict[str, Any] = {}
    for path, text in settings:
        table = values
        for part in path[:-1]:
            table = table.setdefault(part, {})
        try:
            table[path[-1]] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            table[path[-1]] = text  # a bare word is a string: shells eat quotes
    return Layer(name, values)


def merge(layers: Iterable[Layer]) -> dict[str, Any]:
    """Later layers win; tables merge, everything else is replaced whole."""
    merged: dict[str, Any] = {}
    for layer in layers:
        _merge_into(merged, layer.values)
    return merged


def _merge_into(target: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping):
            below = target.get(key)
            if not isinstance(below, dict):
                below = target[key] = {}
            _merge_into(below, value)
        else:
            target[key] = value


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
            return model.model_validate(table)
        except ValidationError as invalid:
            for error in invalid.errors(include_url=False):
                inner = tuple(error["loc"])
                if error["type"] == "extra_forbidden":
                    self.unknown(path + inner, _known_keys(model, inner[:-1]))
                else:
                    self.add(path + _real_keys(table, inner), _message(error))
            return None

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
                value: Any = layer.values
                for part in path[:length]:
                    if (isinstance(value, Mapping) and part in value) or (
                        isinstance(value, list) and isinstance(part, int) and part < len(value)
                    ):
                        value = value[part]
                    else:
                        break
                else:
                    return layer
        return self._layers[0] if self._layers else None


def dotted(path: KeyPath) -> str:
    """("plugins", "members", "member", 0, "address") -> plugins.members.member[0].address."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text


def _real_keys(table: Any, inner: KeyPath) -> KeyPath:
    """Drop what pydantic adds to a location (union members, validators) and no key of the document is."""
    real: KeyPath = ()
    value = table
    for position, part in enumerate(inner):
        if isinstance(value, Mapping):
            if part not in value:
                return (*real, part) if position == len(inner) - 1 else real
            value = value[part]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            break
        real = (*real, part)
    return real


def _message(error: Mapping[str, Any]) -> str:
    if error["type"] == "missing":
        return "must be set"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"]) if "ctx" in error else str(error["msg"])
    text = str(error["msg"]).replace("Input should be", "expected").replace("Value should", "should")
    return f"{text}, got {error['input']!r}"


def _known_keys(model: type[BaseModel], inner: KeyPath) -> list[str]:
    """Field names of the model that stands at `inner` below `model`."""
    current: type[BaseModel] | None = model
    for part in inner:
        if current is None:
            return []
        if isinstance(part, int):
            continue
        found = current.model_fields.get(part)
        current = _inner_model(found.annotation) if found else None
    names = list(current.model_fields) if current else []
    return names if inner else [*names, "enabled"]


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    """The model inside list[Model], Model | None, dict[str, Model]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if isinstance(annotation, types.GenericAlias) or typing.get_origin(annotation) is not None:
        for argument in typing.get_args(annotation):
            inner = _inner_model(argument)
            if inner is not None:
                return inner
    return None
