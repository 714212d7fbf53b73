"""What stands in a form: filled in from values, and read back into values with what is wrong beside each field.

A form is a mapping of names to lists of texts, as a browser sends it. Names are "v." and the path of a key with dots,
rows carry their number: `v.ns.0.addresses`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from appliance_web.forms.fields import Field

Form = Mapping[str, Sequence[str]]

#: Stands for a secret that is set: what the API shows in its place, and takes for "leave it".
COVERED = "(secret)"
#: What a browser does not send when nothing in it is ticked.
_MAY_BE_ABSENT = ("switch", "choices")
#: A table with more rows is no form any more.
MOST_ROWS = 100
#: A list that is longer when the page is opened stands apart: each of its entries has a page of its own.
ROWS_IN_FORM = 8


def fill(fields: Sequence[Field], values: Mapping[str, Any], above: str = "v") -> dict[str, list[str]]:
    """The form for these values."""
    form: dict[str, list[str]] = {}
    for field in fields:
        name, value = f"{above}.{field.name}", values.get(field.name, field.default)
        if field.kind == "table":
            form |= fill(field.inner, value if isinstance(value, Mapping) else {}, name)
        elif is_apart(field, value, above):
            continue
        elif is_rows(field, value):
            form[f"{name}.rows"] = [str(len(value or ()))]
            for number, row in enumerate(value or ()):
                form[f"{name}.{number}.was"] = [str(number)]
                form |= fill(field.inner, row, f"{name}.{number}")
        else:
            form[name] = _texts(field, value)
    return form


def is_apart(field: Field, value: Any, above: str = "v") -> bool:
    """Whether a list of tables is so long that it is no part of the form; lists within an entry never are."""
    in_entry = any(part.isdigit() for part in above.split("."))
    return (
        field.kind == "rows"
        and not in_entry
        and isinstance(value, (list, tuple))
        and len(value) > ROWS_IN_FORM
    )


def together(fields: Sequence[Field], values: Mapping[str, Any], above: str = "v") -> dict[str, Any]:
    """The values that the form holds: without lists that stand apart."""
    found = dict(values)
    for field in fields:
        value = values.get(field.name)
        if is_apart(field, value, above):
            del found[field.name]
        elif field.kind == "table" and isinstance(value, Mapping):
            found[field.name] = together(field.inner, value, f"{above}.{field.name}")
    return found


def is_rows(field: Field, value: Any) -> bool:
    """Whether a list of tables is short enough to be rows; else it is JSON."""
    return field.kind == "rows" and (
        value is None or (isinstance(value, (list, tuple)) and len(value) <= MOST_ROWS)
    )


def _texts(field: Field, value: Any) -> list[str]:
    if value is None:
        return [""]
    if field.kind == "switch":
        return ["yes"] if value else []
    if field.kind == "secret":
        return [COVERED if value == COVERED else ""]
    if field.kind == "choices":
        return [str(entry) for entry in value]
    if field.kind == "lines":
        value = [value] if isinstance(value, str) else value
        return ["\n".join(str(entry) for entry in value)]
    if field.kind in ("json", "rows"):
        return [json.dumps(value, indent=2, ensure_ascii=False)]
    return [_number(value) if isinstance(value, float) else str(value)]


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def read(fields: Sequence[Field], form: Form, above: str = "v") -> tuple[dict[str, Any], dict[str, str]]:
    """Values and, by path without "v.", what cannot even be read. Limits and sense are judged by the plugin's model.

    A field that the form does not hold (a browser sends none that is disabled) has no value: it stays as it was.
    """
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for field in fields:
        name = f"{above}.{field.name}"
        try:
            if field.kind == "table":
                values[field.name], wrong = read(field.inner, form, name)
                errors |= wrong
            elif field.kind == "rows" and f"{name}.rows" in form:
                values[field.name] = []
                for number in range(row_count(form, name)):
                    row, wrong = read(field.inner, form, f"{name}.{number}")
                    errors |= wrong
                    values[field.name].append(row)
            elif name in form or field.kind in _MAY_BE_ABSENT:
                values[field.name] = _value(field, form, name)
        except ValueError as error:
            errors[name.removeprefix("v.")] = str(error)
    return values, errors


def row_count(form: Form, name: str) -> int:
    """Rows that a form says it has."""
    text = next(iter(form.get(f"{name}.rows", ())), "0")
    return min(int(text), MOST_ROWS + 1) if text.isascii() and text.isdigit() and len(text) < 6 else 0


def _value(field: Field, form: Form, name: str) -> Any:
    """Raises ValueError with what would be right."""
    texts = form.get(name, ())
    text = texts[-1].strip() if texts else ""
    if field.kind == "switch":
        return bool(texts)
    if field.kind == "secret":
        if form.get(f"{name}.clear"):
            return ""
        return text or (COVERED if form.get(f"{name}.set") else "")
    if field.kind == "choices":
        return [option for option in field.options if str(option) in texts]
    if field.kind == "lines":
        lines = [line.strip() for line in text.splitlines()]
        if len(lines) == 1 and lines[0] in field.words:
            return lines[0]
        return [_scalar(field, line, number) for number, line in enumerate(lines, 1) if line]
    if field.kind in ("json", "rows"):
        return _json(field, text)
    if not text and field.nullable:
        return None
    if field.kind == "choice":
        for option in field.options:
            if str(option) == text:
                return option
        raise ValueError(f"choose one of {', '.join(map(str, field.options))}")
    if field.kind == "number" and not text and not field.required and field.default is not None:
        return field.default
    if field.kind == "number":
        return _read_number(text, whole=field.whole)
    return text


def _scalar(field: Field, line: str, number: int) -> Any:
    if not field.numeric:
        return line
    try:
        return _read_number(line, whole=field.whole)
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from None


def _read_number(text: str, *, whole: bool) -> float:
    expected = "expected a whole number such as 60" if whole else "expected a number such as 0.5"
    try:
        if len(text) > 40:
            raise ValueError
        number = float(text) if not whole or "e" in text.lower() else int(text)
        if whole or float(number).is_integer():
            return int(number)
    except (ValueError, OverflowError):
        raise ValueError(f'{expected}, got "{text[:40]}"' if text else expected) from None
    if number != number or number in (float("inf"), float("-inf")):  # noqa: PLR0124 - the test for NaN
        raise ValueError(expected)
    return number


def _json(field: Field, text: str) -> Any:
    if not text:
        return None if field.nullable else field.default
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"expected JSON: {error}") from None


# -- rows without scripts -------------------------------------------------------------------------------------------------


def rearranged(fields: Sequence[Field], form: Form, operation: str) -> dict[str, list[str]]:
    """The form after a button: "add:v.ns", "remove:v.ns:2" or "up:v.ns:2". What was typed stays, a new row has defaults."""
    copied = {name: list(texts) for name, texts in form.items()}
    verb, _, rest = operation.partition(":")
    name, _, place = rest.partition(":")
    count = row_count(form, name)
    if verb == "add":
        field = _named(fields, name.split(".")[1:])
        if field is not None and field.kind == "rows" and count < MOST_ROWS:
            copied |= fill(field.inner, {}, f"{name}.{count}") | {f"{name}.rows": [str(count + 1)]}
        return copied
    if not (place.isascii() and place.isdigit() and len(place) < 6 and int(place) < count):
        return copied
    order = list(range(count))
    if verb == "remove":
        order.pop(int(place))
    elif verb == "up" and int(place) > 0:
        order[int(place) - 1], order[int(place)] = order[int(place)], order[int(place) - 1]
    kept = {n: t for n, t in copied.items() if not n.startswith(f"{name}.")}
    for new, old in enumerate(order):
        begin = f"{name}.{old}."
        kept |= {f"{name}.{new}.{n.removeprefix(begin)}": t for n, t in copied.items() if n.startswith(begin)}
    kept[f"{name}.rows"] = [str(len(order))]
    return kept


def _named(fields: Sequence[Field], path: Sequence[str]) -> Field | None:
    """The field at a path; numbers of rows are passed over."""
    found = None
    for part in path:
        if part.isdigit():
            continue
        found = next((field for field in fields if field.name == part), None)
        if found is None:
            return None
        fields = found.inner
    return found
