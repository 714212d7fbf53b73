"""What somebody asks to be added: from the API, the command line, or a file of many."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from appliance.api.errors import Invalid
from appliance.api.foreign import is_formula
from appliance.api.model import Member
from appliance_members.addresses import DEFAULT_PORT, canonical_host, canonical_target, split_endpoint
from appliance_members.fields import checked_fields

#: Columns of a file of members, and keys of the same as JSON.
COLUMNS: Final = ("address", "port", "name", "netspeed", "zones", "tags", "operator", "note", "paused")
_LISTS: Final = ("zones", "tags")
_DETAILS: Final = ("netspeed", "zones", "tags", "operator", "note")
#: More faults than this are not worth listing one by one.
_FAULTS_SHOWN: Final = 50


@dataclass(frozen=True, slots=True)
class Order:
    """A member that somebody wants to add.

    Attributes:
        address: canonical, or "" when `name` is to be looked up.
        details: more fields of `registry.Entry`, checked.
    """

    address: str
    name: str
    port: int
    details: Mapping[str, Any]


def order_of(asked: Mapping[str, Any]) -> Order:
    """Check one order.

    Args:
        asked: some of `COLUMNS`. `address` may be an address or a host name, with a port behind it or not.

    Raises:
        Invalid: with one message per field.
    """
    errors: dict[str, str] = {}
    address = name = ""
    given: int | None = None
    try:
        host, given = split_endpoint(str(asked.get("address") or ""))
        if host:
            address, name = canonical_target(host)
    except ValueError as error:
        errors["address"] = str(error)
    try:
        if asked.get("name"):
            name = canonical_host(str(asked["name"]))
    except ValueError as error:
        errors["name"] = str(error)
    if not (address or name or errors):
        errors["address"] = "give an address or a host name"
    port = asked.get("port")
    if port is None:
        port = DEFAULT_PORT if given is None else given
    elif isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        errors["port"] = f"{port!r} is not a port (1 to 65535)"
    elif given is not None and port not in (DEFAULT_PORT, given):
        errors["port"] = f"the address says {given}, the port says {port}"
    details: dict[str, Any] = {}
    try:
        details = checked_fields({k: asked[k] for k in _DETAILS if asked.get(k) is not None})
    except Invalid as invalid:
        errors |= invalid.errors
    if errors:
        raise Invalid("this cannot be a member", errors=errors)
    return Order(address, name, given or int(port), {**details, "paused": asked.get("paused") is True})


def orders_of(rows: Iterable[Mapping[str, Any]]) -> list[Order]:
    """Check many orders; rows are counted from 1.

    Raises:
        Invalid: with every fault of every row.
    """
    orders, errors = [], {}
    for number, row in enumerate(rows, 1):
        unknown = [key for key in row if key not in COLUMNS]
        if unknown:
            errors[f"row {number}"] = f"unknown: {', '.join(unknown)}; known: {', '.join(COLUMNS)}"
            continue
        try:
            orders.append(order_of(row))
        except Invalid as invalid:
            errors |= {f"row {number}, {field}": why for field, why in invalid.errors.items()}
    if errors:
        shown = dict(list(errors.items())[:_FAULTS_SHOWN])
        raise Invalid(f"{len(errors)} faults; nothing was imported", errors=shown)
    return orders


def told(order: Order, member: str | None) -> dict[str, Any]:
    """An order as it was understood; `member` is the id of whoever holds that address already."""
    asked = {key: order.details.get(key) for key in (*_DETAILS, "paused")}
    return {"address": order.address, "name": order.name, "port": order.port, "member": member, **asked}


def rows_of_csv(text: str) -> list[dict[str, Any]]:
    """Read a CSV file with a line of column names; comma or semicolon; lists are separated by spaces.

    Raises:
        Invalid: it is not such a file.
    """
    lines = text.removeprefix("\ufeff").splitlines()
    if not lines:
        raise Invalid("the file is empty")
    delimiter = ";" if ";" in lines[0] and "," not in lines[0] else ","
    reader = csv.DictReader(io.StringIO("\n".join(lines)), delimiter=delimiter, strict=True)
    try:
        columns = [c.strip().lower() for c in reader.fieldnames or ()]
        unknown = [c for c in columns if c not in COLUMNS]
        if unknown or not {"address", "name"} & set(columns):
            raise Invalid(
                f"the first line names the columns, some of: {', '.join(COLUMNS)}; found {', '.join(columns) or 'nothing'}"
            )
        reader.fieldnames = columns
        return [_row_of_csv(row, reader.line_num) for row in reader]
    except csv.Error as error:
        raise Invalid(f"line {reader.line_num}: {error}") from None


def _row_of_csv(row: Mapping[Any, Any], line: int) -> dict[str, Any]:
    if None in row:
        raise Invalid(f"line {line} has more values than there are columns")
    values: dict[str, Any] = {k: _fused(v.strip()) for k, v in row.items() if v is not None and v.strip()}
    for key in _LISTS:
        if key in values:
            values[key] = values[key].split()
    for key in ("port", "netspeed"):
        text = values.get(key, "")
        if text.isascii() and text.isdigit() and len(text) < 12:
            values[key] = int(text)
    if "paused" in values:
        values["paused"] = values["paused"].lower() in {"yes", "true", "1"}
    return values


def _defused(text: str) -> str:
    """Text that no spreadsheet runs: an apostrophe goes in front of what looks like a formula, or like such an apostrophe."""
    return f"'{text}" if _gets_apostrophe(text) else text


def _fused(text: str) -> str:
    """The text as it was before `_defused`."""
    return text[1:] if text[:1] == "'" and _gets_apostrophe(text[1:]) else text


def _gets_apostrophe(text: str) -> bool:
    return is_formula(text) or text.startswith("'")


def exported(members: Iterable[Member]) -> list[dict[str, Any]]:
    """Members as rows that can be imported."""
    return [
        {
            "address": m.address, "port": m.port, "name": m.name, "netspeed": m.netspeed, "zones": list(m.zones),
            "tags": list(m.tags), "operator": m.operator, "note": m.note, "paused": m.state == "paused",
        }
        for m in members
    ]  # fmt: skip


def csv_of(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV, one line each, with a line of column names."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        lists = {key: " ".join(row[key]) for key in _LISTS}
        words = {**row, **lists, "paused": "yes" if row["paused"] else ""}
        writer.writerow({k: _defused(v) if isinstance(v, str) else v for k, v in words.items()})
    return out.getvalue()
