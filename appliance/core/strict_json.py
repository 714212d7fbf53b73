"""JSON as RFC 8259 has it, and no more: what Python's reader also takes would go on into databases, files and other programs.

Refused are NaN and infinities, halves of characters (lone surrogates, which no database and no file takes), the same name twice
in one object (of two readers each would see another one), other encodings than UTF-8, and nesting without end.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

#: Deeper than anything that an operation takes, and far from where recursion ends.
DEEPEST = 50
_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def read_json(content: bytes | str) -> Any:
    """The value.

    Raises:
        ValueError: it is no such JSON; says why.
    """
    text = content if isinstance(content, str) else content.decode("utf-8-sig")
    try:
        value = json.loads(text, parse_constant=_no_number, object_pairs_hook=_names_once)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels") from None
    _check_depth(value)
    if _ESCAPED_HALF.search(text):
        _check_characters(value)
    return value


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _names_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"{json.dumps(twice[:100])} stands there twice")
    return found


def _check_depth(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(DEEPEST + 1):
        level = [
            item
            for one in level
            if isinstance(one, (dict, list))
            for item in (one.values() if isinstance(one, dict) else one)
            if isinstance(item, (dict, list))
        ]
        if not level:
            return
    raise ValueError(f"it is nested deeper than {DEEPEST} levels")


def _check_characters(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("it holds half a character (a lone surrogate)") from None
