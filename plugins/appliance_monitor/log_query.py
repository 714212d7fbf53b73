"""Which probes of the log are wanted, and the log as a file of any length: read in pages, written as they come."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web

from appliance.api.foreign import csv_cell, json_text
from appliance_monitor import classic

Row = Mapping[str, Any]
Show = Literal["", "lost", "cost", "below"]
Format = Literal["csv", "json", "ndjson", "ntppool"]

#: Rows read, held and written at a time: what an export of any length keeps in memory.
PAGE = 500
#: A reader that takes nothing for so long is left.
WRITE_S = 30.0
#: What a probe must be for `Show`: without a time; with a step below zero, or without a time; with less than the full step.
_SHOWN: Mapping[str, str] = {
    "lost": "offset_s IS NULL",
    "cost": "(step < 0 OR offset_s IS NULL)",
    "below": "(step < 1 OR offset_s IS NULL)",
}
COLUMNS = (
    "id",
    "ts",
    "member",
    "monitor",
    "offset_s",
    "rtt_s",
    "stratum",
    "leap",
    "step",
    "score",
    "error",
    "rule",
)
_TYPES: Mapping[str, str] = {
    "csv": "text/csv",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "ntppool": "text/csv",
}
_ENDINGS: Mapping[str, str] = {"csv": "csv", "json": "json", "ndjson": "ndjson", "ntppool": "ntppool.csv"}


@dataclass(frozen=True, slots=True)
class Filter:
    """Which probes.

    Attributes:
        member: id of one member, or None for all.
        rule: the rule that judged it, or "".
        show: "" for all, or one of `Show`.
        since, until: epoch seconds, or None.
        among: ids that any row is of, or None for all members.
    """

    member: str | None = None
    rule: str = ""
    show: str = ""
    since: float | None = None
    until: float | None = None
    among: tuple[str, ...] | None = None

    def conditions(self) -> tuple[list[str], list[Any]]:
        """SQL conditions and their values."""
        where, values = [], []
        for condition, value in (
            ("member = ?", self.member),
            ("rule = ?", self.rule or None),
            ("ts >= ?", self.since),
            ("ts < ?", self.until),
        ):
            if value is not None:
                where.append(condition)
                values.append(value)
        if self.among is not None:
            where.append(f"member IN ({', '.join('?' * len(self.among))})")
            values += self.among
        if self.show in _SHOWN:
            where.append(_SHOWN[self.show])
        return where, values


#: Reads the rows older than an id (None: the newest), newest first, at most so many.
Reader = Callable[[int | None, int], Awaitable[Sequence[Row]]]


async def pages(read: Reader) -> AsyncIterator[Sequence[Row]]:
    """All rows, newest first, a page at a time; rows that come meanwhile are newer and not in it."""
    before: int | None = None
    while rows := await read(before, PAGE):
        yield rows
        before = int(rows[-1]["id"])
        if len(rows) < PAGE:
            return


async def texts(read: Reader, format_: Format, names: Mapping[str, str]) -> AsyncIterator[str]:
    """The file, piece by piece.

    Args:
        read: reads rows.
        format_: "csv" with a header; "json", one list; "ndjson", one object a line; "ntppool", the columns of
            `/scores/<ip>/log` there, with the server's address before them.
        names: address of each member, for "ntppool".
    """
    if format_ == "csv":
        yield _csv_line(COLUMNS)
    elif format_ == "ntppool":
        yield f"server,{classic.HEADER}\n"
    elif format_ == "json":
        yield "["
    first = True
    async for rows in pages(read):
        if format_ == "csv":
            yield "".join(_csv_line([csv_cell(row[name]) for name in COLUMNS]) for row in rows)
        elif format_ == "ntppool":
            lines = classic.as_log(rows).rstrip("\n").split("\n")[1:]
            yield "".join(
                f"{names.get(row['member'], row['member'])},{line}\n"
                for row, line in zip(rows, lines, strict=True)
            )
        elif format_ == "ndjson":
            yield "".join(json_text(dict(row), None) + "\n" for row in rows)
        else:
            yield ("\n" if first else ",\n") + ",\n".join(json_text(dict(row), None) for row in rows)
        first = False
    if format_ == "json":
        yield "\n]\n"


async def send(raw: web.Request, pieces: AsyncIterator[str], format_: Format) -> web.StreamResponse:
    """Write the file to a reader as it is made; no faster than it is taken."""
    shown = "inline" if format_ in ("json", "ndjson") else "attachment"
    response = web.StreamResponse(
        headers={
            "Content-Type": f"{_TYPES[format_]}; charset=utf-8",
            "Content-Disposition": f'{shown}; filename="probes.{_ENDINGS[format_]}"',
            "Cache-Control": "no-store",
        }
    )
    await response.prepare(raw)
    if raw.method == "HEAD":
        return response
    with contextlib.suppress(ConnectionError, TimeoutError):
        async for piece in pieces:
            async with asyncio.timeout(WRITE_S):
                await response.write(piece.encode())
        await response.write_eof()
    return response


def _csv_line(cells: Sequence[Any]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()
