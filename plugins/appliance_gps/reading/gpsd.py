"""What gpsd tells over its socket: the time in sentences (TOFF) and of pulses (PPS). Pure, for hostile input."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

#: Asks for everything about time.
WATCH = b'?WATCH={"enable":true,"json":true,"pps":true,"timing":true};\n'
LONGEST = 16_384


@dataclass(frozen=True, slots=True)
class Compared:
    """True time beside system time, ns since 1970; `precise` for a pulse."""

    true_ns: int
    system_ns: int
    precise: bool


@dataclass(frozen=True, slots=True)
class Fix:
    """What it knows from satellites: 0 or 1 nothing, 2 the place, 3 the height too."""

    mode: int


def heard(line: bytes) -> Compared | Fix | None:
    """What one line says; None when it says nothing about time, or nonsense."""
    if len(line) > LONGEST:
        return None
    try:
        said: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    kind = said.get("class")
    if kind in ("TOFF", "PPS"):
        true_ns, system_ns = _ns(said, "real"), _ns(said, "clock")
        if true_ns is None or system_ns is None:
            return None
        return Compared(true_ns, system_ns, kind == "PPS")
    if kind == "TPV":
        mode = _number(said, "mode", 9)
        return None if mode is None else Fix(mode)
    return None


def _ns(said: dict[str, Any], which: Literal["real", "clock"]) -> int | None:
    seconds, rest = _number(said, f"{which}_sec", 1 << 33), _number(said, f"{which}_nsec", 999_999_999)
    return None if seconds is None or rest is None else seconds * 1_000_000_000 + rest


def _number(said: dict[str, Any], key: str, most: int) -> int | None:
    value = said.get(key)
    return value if type(value) is int and 0 <= value <= most else None
