"""Figures as people read them."""

from __future__ import annotations

from collections.abc import Sequence


def seconds(value: float, *, sign: bool = True) -> str:
    """Write +12.3 ms, -1.25 s or +3 µs: the unit that fits, three figures or so."""
    size = abs(value)
    plus = "+" if sign else ""
    if size < 0.00095:
        return f"{value * 1e6:{plus}.0f} µs"
    if size < 0.95:
        return f"{value * 1e3:{plus}.3g} ms"
    return f"{value:{plus}.4g} s"


def count(number: int, noun: str) -> str:
    """Write 1 probe, or 3 probes."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(words: Sequence[str], *, most: int = 4) -> str:
    """Write a, b and c, cut after `most` with how many more there are."""
    shown = list(words[:most])
    if len(words) > most:
        shown.append(f"{len(words) - most} more")
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} and {shown[-1]}"
