"""Which file a change goes into: where the key stands, else the file of --config, else the appliance's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.api.errors import Conflict, NotFound
from appliance.core.config import ENV_PREFIX, MISSING, Layer, dotted, look_up
from appliance.core.toml_positions import Path as KeyPath
from appliance.settings.document import UNSET

Change = tuple[KeyPath, Any]


class Locked(Conflict):
    """A key is set by something stronger than any file."""

    code = "locked"


@dataclass(frozen=True, slots=True)
class Placed:
    """Changes by file, and what a person should know about the choice."""

    changes: Mapping[Path, tuple[Change, ...]]
    notes: tuple[str, ...]


def lock(layers: Sequence[Layer], path: KeyPath) -> str:
    """What sets `path` and is stronger than every file, with its remedy; "" when a file decides."""
    named = _named(path)
    for layer in reversed(layers):
        if not layer.stronger:
            return ""
        if look_up(layer.values, named) is MISSING and not _covered(layer.values, named):
            continue
        if layer.name == "environment":
            return f"the environment variable {ENV_PREFIX}{'__'.join(str(p) for p in named).upper()}"
        return f"{layer.name} on the command line" if layer.name.startswith("--") else layer.name
    return ""


def place(
    layers: Sequence[Layer],
    changes: Sequence[Change],
    *,
    own: Path,
    main: Path | None,
    obstacle: Callable[[Path], str],
    default: Callable[[KeyPath], Any],
) -> Placed:
    """Decide for each change.

    Args:
        layers: weakest first.
        changes: what shall be.
        own: the appliance's own file, stronger than the others.
        main: the file of --config, None when it must not be touched.
        obstacle: why a file cannot be written, "" when it can.
        default: a key's default, MISSING when it has none that can be written.

    Raises:
        Locked: the environment or the command line decides the key.
        NotFound: an entry of a list that is not there.
        Conflict: a key cannot be taken back, because the file that sets it cannot be written and it has no default.
    """
    found: dict[Path, list[Change]] = {}
    notes: list[str] = []
    for path, value in changes:
        if holder := lock(layers, path):
            raise Locked(
                f"{dotted(path)} is set by {holder}, which is stronger than any file; change it there",
                errors={dotted(path): f"locked by {holder}"},
            )
        setting = [layer.file for layer in layers if layer.file and _sets(layer.values, path)]
        if value is UNSET:
            _place_unset(path, setting, found, notes, own, obstacle, default)
            continue
        target = setting[-1] if setting else main
        if target is not None and target != own and (why := obstacle(target)):
            notes.append(
                f"{target} cannot be written ({why}), so {dotted(path)} goes into {own}, which is stronger"
            )
            target = own
        target = target or own
        found.setdefault(target, []).append(_whole(layers, path, value, target))
    return Placed({file: tuple(entries) for file, entries in found.items()}, tuple(dict.fromkeys(notes)))


def _place_unset(path: KeyPath, setting: Sequence[Path], found: dict[Path, list[Change]], notes: list[str], own: Path,
                 obstacle: Callable[[Path], str], default: Callable[[KeyPath], Any]) -> None:  # fmt: skip
    fixed = [file for file in setting if file != own and obstacle(file)]
    for file in setting:
        if file not in fixed and not (fixed and file == own):
            found.setdefault(file, []).append((path, UNSET))
    if not fixed:
        return
    value = default(path)
    if value is MISSING:
        raise Conflict(
            f"{dotted(path)} stands in {fixed[-1]}, which cannot be written ({obstacle(fixed[-1])})"
        )
    notes.append(
        f"{fixed[-1]} cannot be written ({obstacle(fixed[-1])}), so {own} sets {dotted(path)} to its default"
    )
    found.setdefault(own, []).append((path, value))


def _whole(layers: Sequence[Layer], path: KeyPath, value: Any, target: Path) -> Change:
    """An entry of a list is changed where the list stands; in another file the list has to be whole."""
    named = _named(path)
    if named == path:
        return path, value
    holder = next((layer for layer in reversed(layers) if look_up(layer.values, named) is not MISSING), None)
    if holder is None:
        raise NotFound(f"there is no list {dotted(named)} to change an entry of")
    if holder.file == target:
        return path, value
    from appliance.settings.document import changed

    inner = path[len(named) :]
    return named, changed({"": look_up(holder.values, named)}, ("", *inner), value)[""]


def _named(path: KeyPath) -> KeyPath:
    """Up to the first index: lists are replaced whole by a stronger layer."""
    for length, part in enumerate(path):
        if isinstance(part, int):
            return path[:length]
    return path


def _sets(values: Any, path: KeyPath) -> bool:
    named = _named(path)
    return look_up(values, named) is not MISSING or _covered(values, named)


def _covered(values: Any, path: KeyPath) -> bool:
    """Whether something that is no table stands on the way to `path`."""
    here = values
    for part in path[:-1]:
        if not isinstance(here, Mapping) or part not in here:
            return False
        here = here[part]
    return not isinstance(here, Mapping)
