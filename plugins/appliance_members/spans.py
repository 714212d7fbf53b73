"""Dates and spans of time as people type them."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

_UNITS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")


def parse_span(text: str) -> float:
    """Seconds from "90m", "2h", "1d12h".

    Raises:
        ValueError: it is not a span of time.
    """
    stripped = text.strip().lower()
    parts = _SPAN.findall(stripped)
    if not parts or _SPAN.sub("", stripped).strip() or any(unit not in _UNITS for _, unit in parts):
        raise ValueError(f"{text!r} is not a span of time such as 90m, 2h or 3d")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def parse_date(text: str) -> float:
    """Epoch seconds from "2027-01-31" or "2027-01-31T18:00" (UTC unless an offset is given).

    Raises:
        ValueError: it is not a date.
    """
    try:
        moment = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is not a date such as 2027-01-31 or 2027-01-31T18:00") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()
