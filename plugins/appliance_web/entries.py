"""Long lists of settings: each entry has a row in a list and a form of its own, so that no page holds all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from appliance.api.errors import Invalid, NotFound
from appliance.core.routes import Reply, Request
from appliance_web.forms import reading
from appliance_web.forms.changes import entry
from appliance_web.forms.drawing import Drawing, error_path, summary
from appliance_web.forms.fields import Field, fields
from appliance_web.settings import Proposal, Settings, read_form

#: Entries on one page of a list.
PAGE = 50
#: The address of the entry that is not there yet.
NEW = "new"


@dataclass(frozen=True, slots=True)
class List:
    """A list of tables in a table of the configuration.

    Attributes:
        about: the API's description of the table.
        key: of the list, below the table.
        field: what its entries look like.
        values: the entries with their defaults.
        written: the entries as the file says them.
    """

    about: Mapping[str, Any]
    key: str
    field: Field
    values: Sequence[Mapping[str, Any]]
    written: Sequence[Mapping[str, Any]]

    @property
    def path(self) -> str:
        """The address of its page."""
        table = str(self.about["table"]).removeprefix("plugins.")
        return f"/settings/{quote(table, safe='')}/list/{quote(self.key, safe='')}"

    @property
    def locked(self) -> str:
        """Why the pages may not change it, "" when they may."""
        if len(self.values) != len(self.written):
            return "several files or by what no file says"
        return str((self.about["keys"].get(self.key) or {}).get("locked") or "")

    def label(self, number: int) -> str:
        """What an entry is called: its first text."""
        texts = (self.values[number].get(f.name) for f in self.field.inner if f.kind == "text")
        return next((str(text) for text in texts if text), f"entry {number + 1}")

    def said(self, number: int) -> str:
        """The rest of what the file says of an entry, in short."""
        written, label = self.written[number] if not self.locked else self.values[number], self.label(number)
        secret = {f.name for f in self.field.inner if f.kind == "secret"}
        return ", ".join(
            f"{key} {_short(value)}"
            for key, value in written.items()
            if key not in secret and value != label and value not in ("", [], None)
        )


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


class Entries:
    """Handlers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def index(self, request: Request) -> Reply:
        """The list, a page of it."""
        found = await self._list(request)
        q, page = request.query.get("q", "").strip()[:200], request.query.get("page", "1")
        numbers = [
            n for n in range(len(found.values)) if q.lower() in f"{found.label(n)} {found.said(n)}".lower()
        ]
        pages = max(1, -(-len(numbers) // PAGE))
        at = min(pages, max(1, int(page) if page.isascii() and page.isdigit() and len(page) < 7 else 1))
        name, table = found.path.split("/")[2], found.about["table"]
        return await self._settings.site.page(
            request, "settings_entries.html", found.field.title, here="/settings", topic="configuration",
            same=[("CLI", f"timeball config explain {table}.{found.key}"), ("API", f"GET /api/v1/config/tables/{name}")],
            about=found.about,
            found=found,
            name=name,
            rows=[(n, found.label(n), found.said(n)) for n in numbers[(at - 1) * PAGE : at * PAGE]],
            q=q,
            matching=len(numbers),
            total=len(found.values),
            at=at,
            pages=pages,
            links={n: "?" + urlencode({"q": q, "page": n}) for n in (at - 1, at + 1)},
        )  # fmt: skip

    async def one(self, request: Request) -> Reply:
        """The form of one entry, or of a new one."""
        found = await self._list(request)
        number = self._number(request, found)
        above = f"v.{found.key}.{number}"
        values = found.values[number] if number < len(found.values) else {}
        return await self._form_page(request, found, number, reading.fill(found.field.inner, values, above))

    async def submit(self, request: Request) -> Reply:
        """The form came back: show what it would do, or what taking the entry away would."""
        form = read_form(request)
        found = await self._list(request)
        if found.locked:
            raise Invalid(f"[{found.about['table']}] {found.key} is set by {found.locked}; change it there")
        number = self._number(request, found)
        before = found.values[number] if number < len(found.values) else {}
        operation = next(iter(form.get("op", ())), "review")
        if operation.startswith("add:") or (operation.count(":") == 2 and operation[:3] in ("rem", "up:")):
            form = reading.rearranged(fields(found.about["schema"]), form, operation)
            return await self._form_page(request, found, number, form)
        if next(iter(form.get("was", ())), "") != _was(before):
            why = "Somebody else changed this list meanwhile; below is what it says now. Look again, and decide again."
            above = f"v.{found.key}.{number}"
            filled = reading.fill(found.field.inner, before, above)
            return await self._form_page(request, found, number, filled, why=why, status=412)
        rows: list[Mapping[str, Any]] = list(found.written)
        if operation == "remove" and before:
            del rows[number]
        elif operation == "up" and before and number:
            rows[number - 1], rows[number] = rows[number], rows[number - 1]
        else:
            above = f"v.{found.key}.{number}"
            now, errors = reading.read(found.field.inner, form, above)
            if errors:
                return await self._form_page(request, found, number, form, errors, status=422)
            row = entry(found.field, now, before, found.written[number] if before else {})
            rows[number : number + 1] = [row]
        if rows == list(found.written):
            return await self._form_page(
                request, found, number, form, why="Nothing is different from what is set."
            )
        table = found.about["table"]
        body = {"set": {f"{table}.{found.key}": rows}, "unset": [], "revision": found.about["revision"]}
        return await self._preview(request, found, number, Proposal(request.params["table"], body), form)

    # -- parts ------------------------------------------------------------------------------------------------------

    async def _preview(
        self, request: Request, found: List, number: int, proposal: Proposal, form: reading.Form
    ) -> Reply:
        why, errors, shown = await self._settings.proposed(
            request, proposal, f"Change {found.about['title']}"
        )
        if shown is not None:
            return shown
        marks = {error_path(key, found.about["table"]): text for key, text in errors.items()}
        status = 422 if marks or why else 200
        return await self._form_page(request, found, number, form, marks, why=why, status=status)

    async def _form_page(
        self, request: Request, found: List, number: int, form: reading.Form,
        errors: Mapping[str, str] | None = None, *, why: str = "", status: int = 200,
    ) -> Reply:  # fmt: skip
        drawing = Drawing(form, errors or {}, {})
        drawn = drawing.draw(found.field.inner, f"v.{found.key}.{number}")
        if found.locked:
            drawn = tuple(replace(one, locked=found.locked) for one in drawn)
        there = number < len(found.values)
        title = found.label(number) if there else f"New: {found.field.title}"
        name, table = found.path.split("/")[2], found.about["table"]
        return await self._settings.site.page(
            request, "settings_entry.html", title, here="/settings", topic="configuration", status=status,
            same=[("CLI", f"timeball config explain {table}.{found.key}"), ("API", f"GET /api/v1/config/tables/{name}"),
                  ("API", "PATCH /api/v1/config")],
            about=found.about,
            found=found,
            name=name,
            called=title,
            number=number,
            there=there,
            action=f"{found.path}/{number if there else NEW}",
            drawn=drawn,
            wrong=summary(drawn),
            general=drawing.rest(),
            why=why,
            was=_was(found.values[number] if there else {}),
        )  # fmt: skip

    async def _list(self, request: Request) -> List:
        """The list that the address names.

        Raises:
            NotFound: there is none.
        """
        about = await self._settings.about(request, request.params["table"])
        key = request.params["key"]
        inner, values, written = fields(about["schema"]), about["values"], about.get("written", {}).get(key)
        field: Field | None = None
        for part in key.split("."):
            field = next((f for f in inner if f.name == part), None)
            if field is None or not isinstance(values, Mapping):
                break
            inner, values = field.inner, values.get(part)
        if field is None or field.kind != "rows" or not isinstance(values, (list, tuple, type(None))):
            raise NotFound(f"[{about['table']}] has no list of entries {key}")
        values = values or []
        return List(about, key, field, values, values if written is None else written)

    @staticmethod
    def _number(request: Request, found: List) -> int:
        text = request.params["number"]
        if text == NEW:
            return len(found.values)
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 7 else len(found.values)
        if number >= len(found.values):
            raise NotFound(f"{found.key} has {len(found.values)} entries: it was perhaps removed meanwhile")
        return number


def _was(values: Mapping[str, Any]) -> str:
    """What the form was made of, to tell whether it is still so."""
    return json.dumps(values, sort_keys=True)
