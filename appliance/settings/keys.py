"""Dotted keys as people write them, and their paths: `plugins.dns.ns[0].name`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from appliance.api.errors import Invalid
from appliance.core.toml_positions import Path

_PART = re.compile(r"([A-Za-z0-9_-]+)((?:\[\d{1,6}\])*)")
_DEEPEST = 16


def parse_key(text: str) -> Path:
    """The path of a dotted key; "dns.ttl" is short for "plugins.dns.ttl".

    Raises:
        Invalid: it is no key.
    """
    path: list[str | int] = []
    for part in text.strip().split("."):
        found = _PART.fullmatch(part)
        if found is None:
            raise Invalid(f"{text[:80]!r} is no key: expected one such as plugins.dns.ttl")
        path.append(found[1])
        path += [int(number) for number in re.findall(r"\d+", found[2])]
    if len(path) > _DEEPEST:
        raise Invalid(f"{text[:80]!r} is no key: it has too many parts")
    if path[0] not in ("appliance", "plugins"):
        path.insert(0, "plugins")
    if len(path) < (2 if path[0] == "appliance" else 3):
        raise Invalid(f"{text[:80]!r} is a whole table; name one key of it, such as plugins.dns.ttl")
    return tuple(path)


def flat(values: Mapping[str, Any], above: Path = ()) -> dict[Path, Any]:
    """Every value by its path; tables are gone into, lists are values."""
    found: dict[Path, Any] = {}
    for key, value in values.items():
        path = (*above, key)
        if isinstance(value, Mapping):
            found |= flat(value, path)
        else:
            found[path] = value
    return found
