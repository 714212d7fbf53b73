"""Takes secrets out of a file that was read: their place says so, and stays valid when somebody edits the file later."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import tomlkit
import tomlkit.exceptions
import yaml  # type: ignore[import-untyped]

#: Stands where a secret was. A file that still has it means the secret that the box kept.
TAKEN: Final = "(taken over)"
SECRETS: Final = frozenset(
    {"password", "password_hash", "plain_text_passwd", "passwd", "hashed_passwd", "token"}
)


def without_secrets(name: str, content: bytes) -> bytes:
    """The file without its secrets, all else as it was written; the same bytes when there is none.

    Raises:
        ValueError: it cannot be understood, so that nobody knows what is secret in it.
    """
    text = content.decode("utf-8-sig")
    fresh = _toml(text) if name.endswith(".toml") else _yaml(text)
    return content if fresh == text else fresh.encode()


def _toml(text: str) -> str:
    try:
        document = tomlkit.parse(text)
    except tomlkit.exceptions.TOMLKitError as error:
        raise ValueError(str(error)) from None
    changed = sum(_cover(table) for table in _tables(document))
    return tomlkit.dumps(document) if changed else text


def _tables(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _tables(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _tables(inner)


def _cover(table: Any) -> int:
    found = [k for k, v in table.items() if k in SECRETS and isinstance(v, str) and v not in ("", TAKEN)]
    for key in found:
        table[key] = TAKEN
    return len(found)


def _yaml(text: str) -> str:
    try:
        top = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from None
    places = sorted(set(_places(top)), reverse=True)
    for begin, end in places:
        # A block of text ends with its line.
        text = f'{text[:begin]}"{TAKEN}"{chr(10) if text[begin:end].endswith(chr(10)) else ""}{text[end:]}'
    return text


def _places(node: Any) -> Iterator[tuple[int, int]]:
    """Where the values of secret keys stand."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(value, yaml.ScalarNode) and key.value in SECRETS and value.value not in ("", TAKEN):
                yield value.start_mark.index, value.end_mark.index
            else:
                yield from _places(value)
    elif isinstance(node, yaml.SequenceNode):
        for inner in node.value:
            yield from _places(inner)
