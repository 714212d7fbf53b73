"""Configuration in layers: defaults < file < conf.d < machine-written overrides < environment < --set.

Every problem is found at once and told with file, line, key, what was expected and the nearest valid key.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, field_validator

from appliance.api.config import PluginConfig, setting
from appliance.core.toml_positions import Path as KeyPath
from appliance.core.toml_positions import Position, locate, positions

ENV_PREFIX = "TIMEBALL_"
#: No plugin's table is nested anywhere near as deep; a file that is was not written by a person.
DEEPEST = 32


class ApplianceConfig(PluginConfig):
    """The table `[appliance]`."""

    state_dir: Path = setting(
        Path("/var/lib/timeball"), help="Folder for the database, keys, the admin socket."
    )
    dataplane: Literal["auto", "python", "native", "xdp"] = setting(
        "auto", help="Which implementation moves packets."
    )
    user: str = setting(
        "",
        help="Started as root, become this user at once and keep only the right to bind ports below 1024; empty: stay who it is.",
        examples=["timeball"],
    )
    sandbox: bool = setting(
        default=True,
        help="Threads of the native plane give up all privileges and all system calls but those that packets need.",
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

    @field_validator("state_dir", mode="before")
    @classmethod
    def _is_a_path(cls, value: Any) -> Any:
        if isinstance(value, str) and (not value.strip() or "\0" in value):
            raise ValueError(f'expected the path of a folder such as "/var/lib/timeball", got {value!r}')
        return value


@dataclass(frozen=True, slots=True)
class Layer:
    """One source of values.

    Attributes:
        name: for people: a path, "environment", "--set".
        text: the document, for showing the offending line; "" where there is none.
        file: where it was read from; None for what is no file.
        stronger: than every file: the environment, the command line.
    """

    name: str
    values: Mapping[str, Any]
    where: Mapping[KeyPath, Position] = field(default_factory=dict)
    text: str = ""
    file: Path | None = None
    stronger: bool = False


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
        line = self.line_text.strip().expandtabs()
        return text + (f"\n    {line}" if line else "")

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
            value = look_up(layer.values, path)
            if value is not MISSING:
                found.append((layer.name, value, locate(dict(layer.where), path)))
        return found


def read_file(path: Path) -> Layer:
    """Read one TOML file.

    Raises:
        BadConfig: it cannot be read or is not TOML.
    """
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        reason = getattr(error, "strerror", None) or str(error)
        raise BadConfig([Problem(str(path), "", f"cannot be read: {reason}")]) from None
    try:
        text = content.decode("utf-8-sig")  # some editors begin every file with a byte order mark
    except UnicodeDecodeError as error:
        before = content[: error.start]
        position = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        message = f"cannot be read: byte 0x{content[error.start]:02x} is not UTF-8, which TOML is written in"
        raise BadConfig([Problem(str(path), "", message, position)]) from None
    return replace(read_text(text, str(path)), file=path)


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
    except ValueError:  # Python reads no whole number past 4300 digits
        line_number = max(enumerate(text.split("\n"), 1), key=lambda line: len(line[1]))[0]
        raise BadConfig([Problem(name, "", "a number has too many digits", (line_number, 1))]) from None
    except RecursionError:
        raise BadConfig([Problem(name, "", "tables or arrays are nested too deeply")]) from None
    where = positions(text)
    deepest = max(where, key=len, default=())
    if len(deepest) > DEEPEST:
        problem = Problem(name, "", f"tables are nested more than {DEEPEST} deep", where[deepest])
        raise BadConfig([problem])
    return Layer(name, values, where, text)


def _syntax_position(message: str, text: str) -> Position | None:
    _, found, place = message.partition("(at line ")
    if found:
        line, _, column = place.rstrip(")").partition(", column ")
        return int(line), int(column)
    lines = text.split("\n")
    return len(lines), len(lines[-1]) + 1  # "at end of document"


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """TIMEBALL_PLUGINS__DNS__TTL=60 sets plugins.dns.ttl.

    Raises:
        BadConfig: a name without a key, or two that contradict each other.
    """
    settings = [
        (name.removeprefix(ENV_PREFIX).lower().split("__"), text)
        for name, text in sorted(environ.items())
        if name.startswith((f"{ENV_PREFIX}APPLIANCE__", f"{ENV_PREFIX}PLUGINS__"))
    ]
    return _scalar_layer("environment", settings)


def override_layer(assignments: Iterable[str]) -> Layer:
    """`--set plugins.dns.ttl=60`.

    Raises:
        BadConfig: an assignment without "=" or without a key, or two that contradict each other.
    """
    settings = []
    wrong = []
    for text in assignments:
        key, equals, value = text.partition("=")
        if equals:
            settings.append((key.strip().split("."), value.strip()))
        else:
            wrong.append(Problem("--set", text, "expected KEY=VALUE, such as plugins.dns.ttl=60"))
    if wrong:
        raise BadConfig(wrong)
    return _scalar_layer("--set", settings)


def _scalar_layer(name: str, settings: Iterable[tuple[list[str], str]]) -> Layer:
    values: dict[str, Any] = {}
    wrong = []
    for path, text in settings:
        table: Any = values
        for part in path[:-1]:
            table = table.setdefault(part, {}) if isinstance(table, dict) else None
        if not all(path) or len(path) > DEEPEST:
            wrong.append(Problem(name, ".".join(path)[:80], "is no key, such as plugins.dns.ttl"))
        elif not isinstance(table, dict) or isinstance(table.get(path[-1]), dict):
            wrong.append(Problem(name, ".".join(path), "is set both to a value and as a table"))
        else:
            table[path[-1]] = _scalar(text)
    if wrong:
        raise BadConfig(wrong)
    return Layer(name, values, stronger=True)


def _scalar(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text  # a bare word is a string: shells eat quotes


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


#: What `look_up` returns for a path that is not there.
MISSING: Any = object()


def look_up(values: Any, path: KeyPath) -> Any:
    """The value at `path` in nested tables and arrays, or MISSING."""
    for part in path:
        if isinstance(part, str):
            found = isinstance(values, Mapping) and part in values
        else:
            found = isinstance(values, list) and part < len(values)
        if not found:
            return MISSING
        values = values[part]
    return values


def dotted(path: KeyPath) -> str:
    """("plugins", "members", "member", 0, "address") -> plugins.members.member[0].address."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text
