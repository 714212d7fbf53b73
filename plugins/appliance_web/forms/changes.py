"""What a form changes: only keys that differ from what it showed, and rows as they were written before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from appliance_web.forms.fields import Field
from appliance_web.forms.reading import COVERED, Form, row_count


def changes(
    fields: Sequence[Field],
    was: Mapping[str, Any],
    now: Mapping[str, Any],
    form: Form,
    table: Mapping[str, Any],
) -> dict[str, Any]:
    """Value by key below the table; None takes a key back.

    Args:
        fields: of the form.
        was: values when the form was drawn.
        now: values that were read from it.
        form: as it was sent.
        table: the API's description: which keys are locked, and lists of tables as they stand in the file.
    """
    found: dict[str, Any] = {}
    written = table.get("written", {})
    reset = set(form.get("reset", ()))
    for key, field, before, after in _pairs(fields, was, now):
        about = table["keys"].get(key, {})
        if about.get("locked"):
            continue
        if key in reset and about.get("set"):
            found[key] = None
        elif field.kind == "rows" and f"v.{key}.rows" in form:
            base = written.get(key, before) or []
            rows = _rows(field, before or [], after, form, f"v.{key}", base)
            if rows != base:
                found[key] = rows
        elif after != before and not (field.kind == "secret" and after == COVERED):
            found[key] = after
    return found


def _pairs(
    fields: Sequence[Field], was: Mapping[str, Any], now: Mapping[str, Any], above: str = ""
) -> Iterator[tuple[str, Field, Any, Any]]:
    for field in fields:
        before, after = was.get(field.name), now.get(field.name, was.get(field.name))
        if field.kind == "table":
            yield from _pairs(field.inner, before or {}, after or {}, f"{above}{field.name}.")
        else:
            yield f"{above}{field.name}", field, before, after


def _rows(field: Field, before: Sequence[Any], after: Sequence[Any], form: Form, name: str,
          written: Sequence[Any]) -> list[dict[str, Any]]:  # fmt: skip
    """Rows for the file: what a row did not say before and is only its default now stays unsaid."""
    rows = []
    for number in range(row_count(form, name)):
        text = next(iter(form.get(f"{name}.{number}.was", ())), "")
        old = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else -1
        known = 0 <= old < min(len(before), len(written))
        rows.append(_row(field, after[number], before[old] if known else {}, written[old] if known else {}))
    return rows


def entry(
    field: Field, now: Mapping[str, Any], was: Mapping[str, Any], written: Mapping[str, Any]
) -> dict[str, Any]:
    """One entry of a list for the file, as `changes` makes it: what was only its default stays unsaid."""
    return _row(field, now, was, written)


def _row(
    field: Field, now: Mapping[str, Any], was: Mapping[str, Any], written: Mapping[str, Any]
) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for inner in field.inner:
        name, value = inner.name, now.get(inner.name, was.get(inner.name))
        if inner.name in was and value == was[name]:
            if name in written:
                row[name] = written[name]
        elif inner.kind == "table":
            table = _row(inner, value or {}, was.get(name) or {}, written.get(name) or {})
            if table:
                row[name] = table
        elif value is not None and (inner.required or value != _default(inner)):
            row[name] = value
    return row


def _default(field: Field) -> Any:
    if field.default is None:
        return {"lines": [], "choices": [], "rows": [], "text": "", "secret": ""}.get(field.kind)
    return field.default
