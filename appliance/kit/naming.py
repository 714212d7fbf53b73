"""What a new plugin may be called."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

MOST_LETTERS = 20


def refusal(name: str, taken: Iterable[str]) -> str:
    """Why `name` cannot be a plugin's, with what would be right; "" when it can."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        like = suggestion(name)
        why = f"{name!r} cannot name a plugin: lower-case letters, digits and _ only, beginning with a letter"
        return why + (f"; {like!r} would do" if like else "")
    if len(name) > MOST_LETTERS:
        return f"{name!r} is too long: a plugin's name stands in addresses and tables, {MOST_LETTERS} letters at most"
    if keyword.iskeyword(name):
        return f"{name!r} is a word of Python itself; '{name}_plugin' would do"
    if name.startswith("appliance_"):
        return f"the package will be called appliance_NAME by itself; {suggestion(name)!r} would do"
    if name in set(taken):
        return f"{name!r} is taken (a plugin or command of the appliance is called so); 'my_{name}' would do"
    return ""


def suggestion(name: str) -> str:
    """The nearest name that is one, or ""."""
    words = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    words = re.sub(r"^(appliance|timeball)_+", "", words).lstrip("0123456789_")
    return words[:MOST_LETTERS].rstrip("_")
