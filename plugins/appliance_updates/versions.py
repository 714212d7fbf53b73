"""Which of two versions is the newer one: numbers with dots, then a word for what comes before the release (PEP 440's order)."""

from __future__ import annotations

import re

_VERSION = re.compile(r"v?(\d+(?:\.\d+)*)(?:[.~-]?(dev|a|alpha|b|beta|rc)\.?(\d*))?(?:\+.*)?")
_BEFORE = {"dev": 0, "a": 1, "alpha": 1, "b": 2, "beta": 2, "rc": 3, None: 4}

Key = tuple[tuple[int, ...], int, int]


def key(version: str) -> Key:
    """What versions are compared by. What is no version is older than all."""
    found = _VERSION.fullmatch(version.strip().lower())
    if found is None:
        return (), 0, 0
    numbers = [int(part) for part in found[1].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers), _BEFORE[found[2]], int(found[3] or 0)
