"""What somebody asked for, as text or JSON, turned into changes: keys to paths, and covered secrets to what is there."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import SecretBytes, SecretStr

from appliance.api.errors import Invalid
from appliance.core.config import Config, dotted, merge
from appliance.core.toml_positions import Path
from appliance.settings.document import UNSET
from appliance.settings.keys import parse_key
from appliance.settings.masking import SET, Pattern, is_secret, masked
from appliance.settings.placing import Change


def changes(
    wanted: Mapping[str, Any], unwanted: Sequence[str], config: Config, secrets: frozenset[Pattern]
) -> list[Change]:
    """Changes for JSON values by dotted key; null takes a key back.

    Args:
        wanted: value by key.
        unwanted: keys to take back.
        config: as it is, for secrets that were covered when they were read.
        secrets: which keys are.

    Raises:
        Invalid: something is no key, stands there twice, or a secret cannot be told from the others.
    """
    found: dict[Path, Any] = {}
    now = merge(config.layers)
    for key, value in wanted.items():
        path = parse_key(key)
        if path in found:
            raise Invalid(f"{dotted(path)} is set twice")
        if value is None:
            found[path] = UNSET
        else:
            uncovered = _uncovered(value, path, _at(now, path), secrets)
            if uncovered is not UNSET:
                found[path] = uncovered
    for key in unwanted:
        path = parse_key(key)
        if path in found:
            raise Invalid(f"{dotted(path)} is both set and taken back")
        found[path] = UNSET
    return list(found.items())


def value_of(text: str) -> Any:
    """A value as somebody types it behind KEY=: TOML, or else a word."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _uncovered(value: Any, path: Path, now: Any, secrets: frozenset[Pattern]) -> Any:
    """`value` with every covered secret replaced by the one that is there; UNSET when there is nothing to change."""
    if is_secret(path, secrets):
        return (UNSET if now is None else now) if value == SET else value
    if isinstance(value, Mapping):
        inner = now if isinstance(now, Mapping) else {}
        pairs = ((k, _uncovered(v, (*path, str(k)), inner.get(k), secrets)) for k, v in value.items())
        return {k: v for k, v in pairs if v is not None and v is not UNSET}
    if isinstance(value, (list, tuple)):
        return _uncovered_list(value, path, now if isinstance(now, list) else [], secrets)
    return value


def _uncovered_list(
    value: Sequence[Any], path: Path, now: Sequence[Any], secrets: frozenset[Pattern]
) -> list[Any]:
    """Entries may have moved: the one that looked the same is meant, or the one at the same place of a list as long."""
    looks = [masked(entry, (*path, i), secrets) for i, entry in enumerate(now)]
    found = []
    for i, entry in enumerate(value):
        if not _covered(entry):
            found.append(_uncovered(entry, (*path, i), None, secrets))
            continue
        if entry in looks:
            found.append(_uncovered(entry, (*path, i), now[looks.index(entry)], secrets))
        elif len(now) == len(value):
            found.append(_uncovered(entry, (*path, i), now[i], secrets))
        else:
            raise Invalid(
                "a secret in a list that changed its length cannot be told from the others",
                errors={dotted((*path, i)): "give its secret again"},
            )
    return found


def _covered(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_covered(inner) for inner in value.values())
    if isinstance(value, (list, tuple)):
        return any(_covered(inner) for inner in value)
    return bool(value == SET)


def _at(values: Any, path: Path) -> Any:
    from appliance.core.config import MISSING, look_up

    found = look_up(values, path)
    if isinstance(found, (SecretStr, SecretBytes)):
        return found.get_secret_value()
    return None if found is MISSING else found
