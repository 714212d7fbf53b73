"""The API's document as a page: operations by part, with parameters, bodies and answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter, or one field of a body."""

    name: str
    where: str
    kind: str
    required: bool
    text: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    Attributes:
        anchor: its place on the page.
        confirm: what of it wants the password of the last minutes: "all" of it, the part in words, or "".
        fields: parameters, then fields of the body.
        answers: (status, what) pairs.
        shape: JSON Schema of the answer, or "".
    """

    anchor: str
    method: str
    path: str
    summary: str
    scope: str
    confirm: str
    fields: tuple[Field, ...]
    kinds: str
    answers: tuple[tuple[str, str], ...]
    shape: str


def parts(document: Mapping[str, Any]) -> dict[str, list[Operation]]:
    """Operations by the plugin that answers them."""
    found: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        for method, one in methods.items():
            found.setdefault(one["tags"][0], []).append(_operation(document, path, method.upper(), one))
    return dict(sorted(found.items()))


def _operation(document: Mapping[str, Any], path: str, method: str, one: Mapping[str, Any]) -> Operation:
    fields = [_parameter(_followed(document, parameter)) for parameter in one["parameters"]]
    body = one.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body is not None:
        schema = _followed(document, body)
        needed = schema.get("required", ())
        fields += [
            Field(name, "body", _kind(document, inner), name in needed, str(inner.get("description", "")))
            for name, inner in schema.get("properties", {}).items()
        ]
    done = next(status for status in one["responses"] if status.startswith("2"))
    content = _followed(document, one["responses"][done]).get("content", {})
    shape = next(
        (kind["schema"] for name, kind in content.items() if "json" in name and kind["schema"]), None
    )
    confirm = one.get("x-confirm", "")
    return Operation(
        one["operationId"], method, path, one["summary"], one["x-scope"], "all" if confirm is True else confirm, tuple(fields), ", ".join(content),
        tuple((status, _followed(document, reply)["description"]) for status, reply in one["responses"].items()),
        json.dumps(_followed(document, shape), indent=1) if shape else "",
    )  # fmt: skip


def _parameter(one: Mapping[str, Any]) -> Field:
    schema = one["schema"]
    kind = _kind({}, schema)
    if "default" in schema and schema["default"] not in ("", None):
        kind += f", else {schema['default']}"
    return Field(one["name"], one["in"], kind, one["required"], str(one.get("description", "")))


def _kind(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(document, inner) for inner in schema["anyOf"]))
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if schema.get("type") == "array":
        return f"list of {_kind(document, schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def _followed(document: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference refers to, or the value itself."""
    if "$ref" not in value:
        return value
    found: Any = document
    for part in str(value["$ref"]).removeprefix("#/").split("/"):
        found = found[part]
    return found if isinstance(found, Mapping) else {}
