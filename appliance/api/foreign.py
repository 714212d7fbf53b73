"""Text that a stranger wrote, made inert for the place where it is shown.

Reference identifiers, kiss codes, names of hosts, TXT records, errors of others, names that somebody tried to sign in with:
none of it may move a cursor, turn the direction of writing, forge a line, hide, or become a formula. HTML has its own
escaping, in the templates; what is here comes before that, or instead of it where nobody reads HTML.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

#: Letters, marks and symbols that draw nothing, though Unicode does not call them format characters: a name made of these
#: looks like no name (Unicode, DerivedCoreProperties, Default_Ignorable_Code_Point; and the empty Braille cell).
_DRAWS_NOTHING: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\U000e0100-\U000e01ef]"
)
#: What a spreadsheet takes for the beginning of a formula, and the same signs in the wide forms of Chinese and Japanese.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
#: Further lines of one text stand a little to the right: none can pass for a line of ours.
_FURTHER: Final = "\n    "


def is_plain(text: str) -> bool:
    """Whether every character can be seen, and none does anything but stand there."""
    return text.isprintable() and (text.isascii() or not _DRAWS_NOTHING.search(text))


def replaced(text: str, instead: Callable[[str], str], keep: str = "") -> str:
    """The text with `instead(character)` for every character that is not plain, except those in `keep`."""
    if is_plain(text):
        return text
    return "".join(c if c in keep or is_plain(c) else instead(c) for c in text)


def printable(text: object, keep: str = "\n") -> str:
    """For a terminal: a replacement character for what it would obey, or what would not be seen."""
    return replaced(str(text), lambda _: "\N{REPLACEMENT CHARACTER}", keep)


def visible(text: object, keep: str = "") -> str:
    r"""For a page or a file: what is not plain as its number, such as \x1b."""
    return replaced(str(text), lambda c: f"\\x{ord(c):02x}", keep)


def inert(value: Any, several_lines: Collection[str] = ()) -> Any:
    """A decoded JSON value with every text in it as `printable`, for a command that prints parts of it.

    Args:
        value: it is not changed.
        several_lines: keys whose texts are lines of our own making, such as a difference of two files. In all others the
            second line and those after it stand a little to the right.
    """
    if isinstance(value, str):
        return printable(value).replace("\n", _FURTHER)
    if isinstance(value, Mapping):
        return {
            printable(key, ""): printable(item)
            if key in several_lines and isinstance(item, str)
            else inert(item, several_lines)
            for key, item in value.items()
        }
    return [inert(item, several_lines) for item in value] if isinstance(value, (list, tuple)) else value


def json_text(value: Any, indent: int | None = 2) -> str:
    """JSON that a terminal can show: what is not plain is escaped, nothing is lost."""
    return replaced(json.dumps(value, indent=indent, ensure_ascii=False), escaped, keep="\n")


def escaped(character: str) -> str:
    """One character in a JSON text by its number (RFC 8259 section 7): beyond the basic plane as two halves."""
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


def quoted(text: object) -> str:
    """One word of a command line that people copy into a shell (POSIX XCU 2.2), whatever stands in it."""
    return shlex.quote(printable(text, keep=""))


def csv_cell(value: Any) -> Any:
    """A value for a cell of a CSV file; of a text no formula is left, no line break, and nothing that a terminal obeys."""
    return defused(visible(value)) if isinstance(value, str) else value


def defused(text: str) -> str:
    """The text with an apostrophe before it when a spreadsheet would take it for a formula."""
    return f"'{text}" if is_formula(text) else text


def is_formula(text: str) -> bool:
    """Whether a spreadsheet may take it for a formula. Some cut the spaces off first: what stands behind them counts."""
    return text.startswith(_FORMULA) or text.lstrip().startswith(_FORMULA)
