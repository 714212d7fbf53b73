"""Keeps secrets out of diffs, answers and pages: their place shows that one is set, and whether it changes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr

from appliance.core.config import MISSING, look_up, read_text
from appliance.core.config_check import inner_model
from appliance.core.toml_positions import Path, outline

SET = "(secret)"
ANOTHER = "(another secret)"
#: Keys that hold secrets by their name, whatever their model says: other people's plugins forget to mark them.
_NAMES = re.compile(r"(^|_)(password|passphrase|passwd|token|api_?key|private_key|secret_key)$")

#: Values that hold no others.
PLAIN = frozenset({bool, int, float, str})

Pattern = tuple[str, ...]  # "*" stands for an index


def secret_keys(models: Mapping[str, type[BaseModel] | None]) -> frozenset[Pattern]:
    """Patterns of every key that is marked as secret, from the root."""
    found: set[Pattern] = set()
    for plugin_id, model in models.items():
        if model is not None:
            found |= set(_marked(model, ("plugins", plugin_id)))
    return frozenset(found)


def _marked(model: type[BaseModel], above: Pattern, depth: int = 0) -> Iterable[Pattern]:
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        inner = inner_model(field.annotation)
        if extra.get("x-secret") or _holds_secret(field.annotation):
            yield (*above, name)
        elif inner is not None and depth < 8:
            for here in ((*above, name), (*above, name, "*")):  # one table, or a list of them
                yield from _marked(inner, here, depth + 1)


def _holds_secret(annotation: Any) -> bool:
    if annotation in (SecretStr, SecretBytes):
        return True
    return any(_holds_secret(argument) for argument in getattr(annotation, "__args__", ()))


def is_secret(path: Path, secrets: Iterable[Pattern]) -> bool:
    """Whether the value at `path` must not be shown."""
    return _covered(_pattern(path), frozenset(secrets))


def masked(value: Any, path: Path, secrets: Iterable[Pattern]) -> Any:
    """`value` without what is secret in it."""
    return _masked(value, _pattern(path), frozenset(secrets))


def _pattern(path: Path) -> Pattern:
    return tuple("*" if isinstance(part, int) else part for part in path)


@lru_cache(4096)  # a list of 500 tables asks the same for each
def _covered(pattern: Pattern, secrets: frozenset[Pattern]) -> bool:
    named = [part for part in pattern if part != "*"]
    return pattern in secrets or bool(named and _NAMES.search(named[-1]))


def _masked(value: Any, pattern: Pattern, secrets: frozenset[Pattern]) -> Any:
    if _covered(pattern, secrets):
        return SET if value not in (None, "", (), []) else value
    if value is None or type(value) in PLAIN:
        return value
    if isinstance(value, (SecretStr, SecretBytes)):
        return SET if value else ""
    if isinstance(value, BaseModel):
        value = dict(value)
    if isinstance(value, Mapping):
        return {key: _masked(inner, (*pattern, str(key)), secrets) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked(inner, (*pattern, "*"), secrets) for inner in value]
    return value


def secret_values(value: Any, covered: Any) -> set[str]:
    """Every text that `masked` covered: where `value` and what it made of it differ."""
    if isinstance(value, BaseModel):
        value = dict(value)
    if isinstance(value, Mapping) and isinstance(covered, Mapping):
        return {text for key, inner in value.items() for text in secret_values(inner, covered.get(str(key)))}
    if isinstance(value, (list, tuple)) and isinstance(covered, (list, tuple)) and len(value) == len(covered):
        return {text for a, b in zip(value, covered, strict=True) for text in secret_values(a, b)}
    return set(_texts(value)) if value != covered else set()


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, (SecretStr, SecretBytes)):
        value = value.get_secret_value()
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        yield value
    elif isinstance(value, BaseModel):
        yield from _texts(dict(value))
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)


def masked_text(text: str, secrets: Iterable[Pattern], before: Mapping[str, Any] | None = None) -> str:
    """A TOML document with its secrets covered; those that differ from `before` are marked as another.

    Comments stay as they are: whoever writes a secret into a comment is not helped.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    values = read_text(text, "").values
    for statement in reversed(outline(text).statements):
        if statement.kind != "pair":
            continue
        value = look_up(values, statement.path)
        if masked(value, statement.path, secrets) == value:
            continue
        old = MISSING if before is None else look_up(before, statement.path)
        word = ANOTHER if before is not None and old != value else SET
        begin, end = statement.value
        text = f'{text[:begin]}"{word}"{text[end:]}'
    return text


def diff(name: str, before: bytes | None, after: bytes | None, secrets: Iterable[Pattern]) -> str:
    """What changes in one file, in the form of `diff -u`, without secrets."""
    old = (before or b"").decode("utf-8-sig", "replace")
    new = (after or b"").decode("utf-8-sig", "replace")
    values = read_text(old, "").values
    a = masked_text(old, secrets).splitlines()
    b = masked_text(new, secrets, values).splitlines()
    lines = difflib.unified_diff(
        a,
        b,
        name if before is not None else "/dev/null",
        name if after is not None else "/dev/null",
        lineterm="",
        n=2,
    )
    return "\n".join(lines)
