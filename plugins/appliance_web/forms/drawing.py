"""A form as a template draws it: every field with its words, marks, limits and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appliance_web.forms.fields import Field
from appliance_web.forms.reading import COVERED, Form, is_apart, row_count

#: What a change of a key costs, as a mark beside it; a live key has none.
COSTS = {"plugin": "restarts this part", "process": "restarts the appliance"}


@dataclass(frozen=True, slots=True)
class Row:
    """One entry of a list of tables."""

    number: int
    name: str
    label: str
    was: str
    error: str
    inner: tuple[Drawn, ...]
    last: bool


@dataclass(frozen=True, slots=True)
class Drawn:
    """One field.

    Attributes:
        field: what it is.
        name: of the input.
        id: of the element.
        value: text in it; for "choices" unused.
        options: (value, word, chosen).
        on: of a switch; of a secret: whether one is set.
        error: what is wrong, "" when nothing is.
        limits: "From 1 to 20 s." and the like.
        default: as words, "" when there is none to tell.
        marks: (class, words).
        locked: what decides the key, "" when the form may.
        reset: None, or whether the box that takes it back to the default is ticked.
        inner: of a table.
        rows: of a list of tables; None when it is edited as JSON.
        troubled: something in it is wrong or is not as it came.
        apart: entries of a list that has pages of its own, None for everything else.
    """

    field: Field
    name: str
    id: str
    value: str = ""
    options: tuple[tuple[str, str, bool], ...] = ()
    on: bool = False
    error: str = ""
    limits: str = ""
    default: str = ""
    marks: tuple[tuple[str, str], ...] = ()
    locked: str = ""
    reset: bool | None = None
    inner: tuple[Drawn, ...] = ()
    rows: tuple[Row, ...] | None = None
    troubled: bool = False
    apart: int | None = None

    @property
    def kind(self) -> str:
        if self.apart is not None:
            return "apart"
        return "json" if self.field.kind == "rows" and self.rows is None else self.field.kind


class Drawing:
    """Draws the fields of one table."""

    def __init__(
        self,
        form: Form,
        errors: Mapping[str, str],
        keys: Mapping[str, Mapping[str, Any]],
        values: Mapping[str, Any] | None = None,
    ) -> None:
        self._form = form
        self._errors = dict(errors)
        self._keys = keys
        self._values = values or {}
        self._told: set[str] = set()

    def draw(self, fields: Sequence[Field], above: str = "v") -> tuple[Drawn, ...]:
        return tuple(self._one(field, f"{above}.{field.name}") for field in fields)

    def rest(self) -> dict[str, str]:
        """Errors that belong to no field that was drawn."""
        return {path: text for path, text in self._errors.items() if path not in self._told}

    def _one(self, field: Field, name: str) -> Drawn:
        path = name.removeprefix("v.")
        about = self._keys.get(path, {})
        shared: dict[str, Any] = {
            "field": field, "name": name, "id": "f-" + re.sub(r"\W", "-", path), "locked": str(about.get("locked") or ""),
            "marks": _marks(about), "limits": _limits(field), "default": _default(field, about),
        }  # fmt: skip
        if about.get("set") and not shared["locked"] and not field.required and field.kind != "secret":
            shared["reset"] = path in self._form.get("reset", ())
        if field.kind == "table":
            inner = self.draw(field.inner, name)
            error = self._error(path)
            return Drawn(
                **shared, inner=inner, error=error, troubled=bool(error) or any(d.troubled for d in inner)
            )
        if field.kind == "rows" and f"{name}.rows" in self._form:
            count = row_count(self._form, name)
            rows = tuple(self._row(field, name, number, count) for number in range(count))
            error = self._error(path)
            bad = bool(error) or any(r.error or any(d.troubled for d in r.inner) for r in rows)
            return Drawn(**shared, rows=rows, error=error, troubled=bad or bool(about.get("changed")))
        if field.kind == "rows" and name not in self._form:
            error, value = self._error(path, deep=True), _at(self._values, path)
            if is_apart(field, value, name.rpartition(".")[0]):
                return Drawn(**shared | {"reset": None}, error=error, troubled=bool(error), apart=len(value))
        error = self._error(path, deep=True)
        texts = self._form.get(name, ())
        value = texts[-1] if texts else ""
        return Drawn(
            **shared,
            value="" if field.kind == "secret" else value,
            options=_options(field, texts),
            on=self._is_on(field, name, texts),
            error=error,
            troubled=bool(error) or bool(about.get("changed")),
        )

    def _is_on(self, field: Field, name: str, texts: Sequence[str]) -> bool:
        if field.kind == "secret":
            return COVERED in texts or bool(self._form.get(f"{name}.set"))
        return field.kind == "switch" and bool(texts)

    def _row(self, field: Field, name: str, number: int, count: int) -> Row:
        here = f"{name}.{number}"
        inner = self.draw(field.inner, here)
        label = next((d.value for d in inner if d.kind == "text" and d.value), "")
        was = next(iter(self._form.get(f"{here}.was", ())), "")
        return Row(number, here, label, was, self._error(here.removeprefix("v.")), inner, number == count - 1)

    def _error(self, path: str, *, deep: bool = False) -> str:
        """What is wrong at `path`, and, for a field without fields in it, anywhere below it."""
        found = []
        for wrong, text in self._errors.items():
            if wrong == path:
                found.append(text)
            elif deep and wrong.startswith(f"{path}."):
                place = wrong.removeprefix(f"{path}.")
                found.append(f"entry {int(place) + 1}: {text}" if place.isdigit() else f"{place}: {text}")
            else:
                continue
            self._told.add(wrong)
        return "; ".join(found)


def _at(values: Any, path: str) -> Any:
    for part in path.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def summary(drawn: Sequence[Drawn]) -> list[tuple[str, str, str]]:
    """(id, label, error) of everything that is wrong, in the order of the page."""
    found = []
    for one in drawn:
        if one.error:
            found.append((one.id, one.field.title, one.error))
        found += summary(one.inner)
        for row in one.rows or ():
            if row.error:
                found.append((f"{one.id}-{row.number}", f"{one.field.title} {row.number + 1}", row.error))
            found += [(i, f"{one.field.title} {row.number + 1}, {t}", e) for i, t, e in summary(row.inner)]
    return found


def error_path(key: str, table: str) -> str:
    """`plugins.dns.ns[0].name` in the table `plugins.dns` is the path `ns.0.name`."""
    return re.sub(r"\[(\d+)\]", r".\1", key.removeprefix(f"{table}."))


def _marks(about: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    marks = []
    if about.get("locked"):
        marks.append(("locked", "locked"))
    if about.get("changed"):
        marks.append(("changed", "changed"))
    if cost := COSTS.get(str(about.get("change"))):
        marks.append(("cost", cost))
    if about.get("locks_out"):
        marks.append(("risk", "has to be confirmed"))
    return tuple(marks)


def _options(field: Field, texts: Sequence[str]) -> tuple[tuple[str, str, bool], ...]:
    chosen = texts if field.kind == "choices" else texts[-1:]
    found = [(str(o), str(o), str(o) in chosen) for o in field.options]
    if field.kind == "choice" and field.nullable:
        found.insert(0, ("", "nothing", not chosen or chosen[-1] == ""))
    return tuple(found)


def _limits(field: Field) -> str:
    unit = f" {field.unit}" if field.unit else ""
    if field.kind == "number" or (field.kind == "lines" and (field.low or field.high)):
        word = "A whole number" if field.whole else "A number"
        if field.low and field.high:
            between = (
                f" {field.low} to {field.high}"
                if not field.low[0].isalpha()
                else f", {field.low}, at most {field.high}"
            )
            return f"{word}{between}{unit}."
        if field.low:
            return f"{word}, {field.low if field.low[0].isalpha() else 'at least ' + field.low}{unit}."
        if field.high:
            return f"{word}, {field.high if field.high[0].isalpha() else 'at most ' + field.high}{unit}."
        return f"{word}{unit and ' in' + unit}."
    if field.kind in ("lines", "rows") and field.most:
        return f"At most {field.most}."
    if field.kind == "text" and field.most:
        return f"At most {field.most} characters."
    return ""


def _default(field: Field, about: Mapping[str, Any]) -> str:
    if field.required or field.kind in ("secret", "table", "rows"):
        return ""
    value = about.get("default", field.default)
    if value is None:
        return "nothing" if field.nullable else ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value)
    return f"{text} {field.unit}".strip() if text else "empty"
