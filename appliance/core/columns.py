"""How many columns of a terminal a text takes: letters of East Asian scripts take two, marks over a letter take none."""

from __future__ import annotations

import unicodedata


def width(text: str) -> int:
    """Columns of a line without control characters (Unicode Standard Annex 11; ambiguous ones are narrow)."""
    return len(text) if text.isascii() else sum(map(_of, text))


def _of(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def left(text: str, columns: int) -> str:
    """The text with spaces after it, up to that many columns."""
    return text + " " * (columns - width(text))


def right(text: str, columns: int) -> str:
    """The text with spaces before it, up to that many columns."""
    return " " * (columns - width(text)) + text


def clipped(text: str, columns: int) -> str:
    """The text, or as much of it as fits with an ellipsis after it."""
    if width(text) <= columns:
        return text
    taken, room = "", columns - 1
    for character in text:
        room -= _of(character)
        if room < 0:
            break
        taken += character
    return f"{taken}…"
