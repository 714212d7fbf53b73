"""Which files and variables make up one configuration, and which state folder they name: the same for every command."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from appliance.core.config import (
    ApplianceConfig,
    BadConfig,
    Layer,
    Problem,
    environment_layer,
    merge,
    override_layer,
    read_file,
)

#: In the state folder: what was changed where the file of --config could not be.
OVERRIDES = "overrides.toml"


def read_layers(config_file: Path, state: str | None = None, assignments: Sequence[str] = ()) -> list[Layer]:
    """All sources, weakest first: file, conf.d beside it, STATE_DIR/overrides.toml, environment, --set, --state-dir.

    Raises:
        BadConfig: some cannot be read, with the problems of all of them.
    """
    layers, strongest = _without_machine(config_file, state, assignments)
    machine = named_state_dir([*layers, *strongest]) / OVERRIDES
    try:
        there = machine.is_file()
    except OSError as error:
        raise BadConfig([_unreadable(machine, error)]) from None
    if there:
        layers.append(read_file(machine))
    return [*layers, *strongest]


def state_dir_of(config_file: Path) -> Path:
    """The state folder that a configuration names, for whoever need not be allowed to look into it.

    Raises:
        BadConfig: as `read_layers`.
    """
    layers, strongest = _without_machine(config_file, None, ())
    return named_state_dir([*layers, *strongest])


def _without_machine(
    config_file: Path, state: str | None, assignments: Sequence[str]
) -> tuple[list[Layer], list[Layer]]:
    """The layers that are weaker than the machine's own, and those that are stronger."""
    problems: list[Problem] = []
    layers = []
    drop_ins: list[Path] = []
    folder = config_file.parent / "conf.d"
    try:
        drop_ins = sorted(folder.glob("*.toml"))
    except OSError as error:
        problems.append(_unreadable(folder, error))
    for path in (config_file, *drop_ins):
        try:
            layers.append(read_file(path))
        except BadConfig as bad:
            problems += bad.problems
    strongest = []
    try:
        strongest.append(environment_layer(os.environ))
    except BadConfig as bad:
        problems += bad.problems
    try:
        strongest.append(override_layer(assignments))
    except BadConfig as bad:
        problems += bad.problems
    if problems:
        raise BadConfig(problems)
    if state:
        strongest.append(Layer("--state-dir", {"appliance": {"state_dir": state}}, stronger=True))
    return layers, strongest


def _unreadable(path: Path, error: OSError) -> Problem:
    hint = "; ask as root (sudo), or as the appliance's user" if isinstance(error, PermissionError) else ""
    return Problem(str(path), "", f"cannot be read ({error.strerror}){hint}")


def named_state_dir(layers: Sequence[Layer]) -> Path:
    """The state folder that the layers name, whatever else may be wrong with them; the default when they name none."""
    table = merge(layers).get("appliance", {})
    named = table.get("state_dir") if isinstance(table, dict) else None
    usable = isinstance(named, str) and named.strip() and "\0" not in named
    return Path(named) if isinstance(named, str) and usable else ApplianceConfig().state_dir
