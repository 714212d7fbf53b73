"""From JSON Schema (as pydantic writes it) to the fields of a form. What no field fits is edited as JSON, never left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["text", "number", "switch", "choice", "choices", "lines", "rows", "table", "secret", "json"]

#: Deeper tables are edited as JSON: a form in a form in a form helps nobody.
_DEEPEST = 3


@dataclass(frozen=True, slots=True)
class Field:
    """One key.

    Attributes:
        name: of the key.
        kind: how it is edited: "lines" is a list of scalars, one a line; "choices" a set of words; "rows" a list of tables.
        title: for the label, without the unit.
        help: from the schema's description.
        unit: such as "s".
        whole: a number without a fraction; of "lines", of its entries.
        numeric: the entries of "lines" are numbers.
        words: what "lines" may be in place of a list, such as "auto".
        low, high: bounds as words, "" for none.
        options: of "choice" and "choices".
        required: it has no default.
        nullable: it may be nothing.
        default: JSON value.
        most: characters or entries at most.
        example: what a value looks like.
        advanced: behind a disclosure.
        inner: fields of a table, or of one row.
    """

    name: str
    kind: Kind
    title: str
    help: str = ""
    unit: str = ""
    whole: bool = False
    numeric: bool = False
    words: tuple[str, ...] = ()
    low: str = ""
    high: str = ""
    options: tuple[Any, ...] = ()
    required: bool = False
    nullable: bool = False
    default: Any = None
    most: int | None = None
    example: str = ""
    advanced: bool = False
    inner: tuple[Field, ...] = ()


def fields(schema: Mapping[str, Any]) -> tuple[Field, ...]:
    """The fields of an object's schema, in its order."""
    return tuple(_of_object(schema, schema.get("$defs", {}), 0))


def _of_object(schema: Mapping[str, Any], defs: Mapping[str, Any], depth: int) -> Iterator[Field]:
    required = set(schema.get("required", ()))
    for name, found in schema.get("properties", {}).items():
        yield _field(name, found, defs, depth, required=name in required)


def _field(
    name: str, schema: Mapping[str, Any], defs: Mapping[str, Any], depth: int, *, required: bool
) -> Field:
    outer = schema
    schema, alternatives = _list_or_word(schema)
    schema, nullable = _plain(schema, defs)
    marks = {**schema, **outer}  # what stands beside a reference is about this key, not about the type
    shared: dict[str, Any] = {
        "title": _own_title(name, outer) or _title(name, str(marks.get("x-unit", ""))),
        "help": " ".join(str(outer.get("description", "")).split()),
        "unit": str(marks.get("x-unit", "")),
        "required": required,
        "nullable": nullable,
        "default": outer.get("default"),
        "advanced": bool(marks.get("x-advanced")),
        "example": _example(outer),
    }
    kind, details = _kind(schema, defs, depth, secret=bool(marks.get("x-secret")))
    if alternatives and kind != "lines":
        kind, details, alternatives = "json", {}, ()
    return Field(name, kind, **shared, **details, words=alternatives)


def _list_or_word(schema: Mapping[str, Any]) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """The list in "a list, or a word such as auto", and the words; else what came."""
    others = schema.get("anyOf", ())
    lists = [s for s in others if s.get("type") == "array"]
    words = [_options(s) for s in others if s.get("type") != "array"]
    if len(lists) == 1 and words and all(words):
        return {**lists[0], **{k: v for k, v in schema.items() if k != "anyOf"}}, tuple(
            str(word) for options in words for word in options
        )
    return schema, ()


def _kind(
    schema: Mapping[str, Any], defs: Mapping[str, Any], depth: int, *, secret: bool
) -> tuple[Kind, dict[str, Any]]:
    kind = schema.get("type")
    if secret or schema.get("format") == "password":
        return ("secret", {"most": schema.get("maxLength")}) if kind == "string" else ("json", {})
    options = _options(schema)
    if options:
        return "choice", {"options": options}
    if kind == "boolean":
        return "switch", {}
    if kind in ("integer", "number"):
        low, high = _bounds(schema)
        return "number", {"whole": kind == "integer", "low": low, "high": high}
    if kind == "string":
        return "text", {"most": schema.get("maxLength")}
    if kind == "array" and isinstance(schema.get("items"), Mapping) and "prefixItems" not in schema:
        return _list_kind(schema, defs, depth)
    if kind == "object" and schema.get("properties") and depth < _DEEPEST:
        return "table", {"inner": tuple(_of_object(schema, defs, depth + 1))}
    return "json", {}


def _list_kind(schema: Mapping[str, Any], defs: Mapping[str, Any], depth: int) -> tuple[Kind, dict[str, Any]]:
    entry, nullable = _plain(schema["items"], defs)
    most = schema.get("maxItems")
    options = _options(entry)
    if options and not nullable:
        return "choices", {"options": options}
    kind = entry.get("type")
    if kind in ("string", "integer", "number") and not nullable:
        low, high = _bounds(entry)
        numeric = kind != "string"
        return "lines", {
            "numeric": numeric,
            "whole": kind == "integer",
            "most": most,
            "low": low,
            "high": high,
        }
    if kind == "object" and entry.get("properties") and depth < _DEEPEST - 1:
        return "rows", {"inner": tuple(_of_object(entry, defs, depth + 2)), "most": most}
    return "json", {}


def _plain(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """Without references and without "or null"; whether it may be null."""
    nullable = False
    for _ in range(8):
        if "$ref" in schema:
            target = defs.get(str(schema["$ref"]).rpartition("/")[2], {})
            schema = {**target, **{k: v for k, v in schema.items() if k != "$ref"}}
        elif len(schema.get("allOf", ())) == 1:
            schema = {**schema["allOf"][0], **{k: v for k, v in schema.items() if k != "allOf"}}
        elif "anyOf" in schema:
            others = [s for s in schema["anyOf"] if s.get("type") != "null"]
            nullable = nullable or len(others) < len(schema["anyOf"])
            if len(others) != 1:
                return {}, nullable
            schema = {**others[0], **{k: v for k, v in schema.items() if k != "anyOf"}}
        else:
            break
    return schema, nullable


def _options(schema: Mapping[str, Any]) -> tuple[Any, ...]:
    if "const" in schema:
        return (schema["const"],)
    found = schema.get("enum", ())
    return tuple(found) if all(isinstance(o, (str, int, float)) for o in found) else ()


def _bounds(schema: Mapping[str, Any]) -> tuple[str, str]:
    low = high = ""
    if "minimum" in schema:
        low = f"{schema['minimum']:g}"
    elif "exclusiveMinimum" in schema:
        low = f"more than {schema['exclusiveMinimum']:g}"
    if "maximum" in schema:
        high = f"{schema['maximum']:.15g}"
    elif "exclusiveMaximum" in schema:
        high = f"less than {schema['exclusiveMaximum']:g}"
    return low, high


#: Words that people write in capitals.
_SPELT = {
    word.lower(): word
    for word in [
        "ACME",
        "CA",
        "CAA",
        "DNS",
        "DNSSEC",
        "HSTS",
        "HTTP",
        "HTTPS",
        "ID",
        "IP",
        "IPv4",
        "IPv6",
        "JSON",
        "MAC",
        "MQTT",
        "MX",
        "NS",
        "NSID",
        "NTP",
        "NTS",
        "RTT",
        "SMTP",
        "SOA",
        "TCP",
        "TLS",
        "TSIG",
        "TTL",
        "TXT",
        "UDP",
        "URL",
        "UTC",
    ]
}


def _own_title(name: str, schema: Mapping[str, Any]) -> str:
    """The title that the author gave it; pydantic makes one of the name for all others."""
    found = str(schema.get("title", "")) if "x-live" in schema else ""
    return "" if found.casefold() == name.replace("_", " ").casefold() else found


def _title(name: str, unit: str) -> str:
    """`poll_interval_s` with the unit "s" is "Poll interval"."""
    words = name.split("_")
    if unit and len(words) > 1 and words[-1] in (unit, {"d": "days", "h": "hours", "days": "days"}.get(unit)):
        words.pop()
    text = " ".join(_SPELT.get(word, word) for word in words)
    return text[:1].upper() + text[1:]


def _example(schema: Mapping[str, Any]) -> str:
    found: Sequence[Any] = schema.get("examples") or ()
    first = found[0] if found else ""
    return "\n".join(map(str, first)) if isinstance(first, list) else str(first)
