"""JSON Schemas in few words, for `Route.returns`: what an operation answers, which the document shows and the tests hold it to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "number"}
INTEGER: Final[Schema] = {"type": "integer"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
FLAG: Final[Schema] = {"type": "boolean"}
#: Anything at all, such as a value of the configuration.
ANY: Final[Schema] = {}


def obj(required: Mapping[str, Schema], sometimes: Mapping[str, Schema] | None = None) -> Schema:
    """An object with exactly these members; those in `sometimes` may be absent."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(sometimes or {})},
        "additionalProperties": False,
    }


def list_of(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def map_of(values: Schema) -> Schema:
    """An object whose names are data."""
    return {"type": "object", "additionalProperties": values}


def maybe(schema: Schema) -> Schema:
    """That, or null."""
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def one_of(*words: str) -> Schema:
    return {"enum": list(words)}


def said(schema: Schema, description: str) -> Schema:
    """The same, with a word for people."""
    return {**schema, "description": description}


TEXTS: Final = list_of(TEXT)
