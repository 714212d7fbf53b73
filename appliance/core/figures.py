"""How measured values read, in every text of the appliance: one place chooses the unit and the digits.

Everything here is ASCII but for the micro sign, so that logs, CSV files and programs get minus signs that they can read;
pages set `MINUS` in its place (`typeset`).
"""

from __future__ import annotations

import re

#: What a page shows for "-" before a number (U+2212): as wide as "+", and no place to break a line.
MINUS = "\N{MINUS SIGN}"
#: A minus and no hyphen: a number follows, and no word, number or other hyphen comes before it.
_BEFORE_NUMBER = re.compile(r"(?<![\w.:/\-])-(?=[0-9])")


def seconds(value_s: float, *, signed: bool = False) -> str:
    """A short finite time in the unit that suits it, three digits or so: "+0.41 ms", "12.0 µs", "-1.25 s"."""
    size = abs(value_s)
    if size >= 0.9995:
        scaled, unit = value_s, "s"
    elif size >= 0.9995e-3:
        scaled, unit = value_s * 1e3, "ms"
    elif size >= 0.5e-6:
        scaled, unit = value_s * 1e6, "µs"
    elif size >= 0.5e-9:
        scaled, unit = value_s * 1e9, "ns"
    else:
        return "0 ms"
    digits = 0 if abs(scaled) >= 99.95 else 1 if abs(scaled) >= 9.995 else 2
    return f"{scaled:+.{digits}f} {unit}" if signed else f"{scaled:.{digits}f} {unit}"


def percent(share: float) -> str:
    """0.0612 is "6.1 %"; anything that is not zero shows at least "<0.1 %"."""
    value = share * 100
    if 0 < value < 0.05:
        return "<0.1 %"
    return f"{value:.0f} %" if value >= 99.95 or value == 0 else f"{value:.1f} %"


def score(value: float) -> str:
    """A score with one decimal, as the NTP Pool shows it."""
    return f"{value:.1f}"


def step(value: float) -> str:
    """A score step with its sign and at most three decimals."""
    return f"{value:+.3f}".rstrip("0").rstrip(".")


def typeset(text: str) -> str:
    """A text as a page shows it: with `MINUS` before numbers."""
    return _BEFORE_NUMBER.sub(MINUS, text) if "-" in text else text
