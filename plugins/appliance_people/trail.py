"""Writes the audit trail: the route table's witness."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from appliance.api.errors import StoreError
from appliance.api.services import Store
from appliance.core.clock import Clock
from appliance.core.plain_json import plain
from appliance.core.routes import Mounted, Request
from appliance_people import keeping
from appliance_people.audit import (
    BEGINNING,
    HIDDEN,
    Check,
    Finding,
    Head,
    Row,
    as_text,
    is_secret,
    masked,
    sealed,
)

#: Refusals of who did not sign in: so many a minute are rows of their own; what is over is only counted. A stranger must
#: not be able to fill the disk.
STRANGERS_A_MINUTE = 60
#: Rows that wait while the database cannot be written; older ones are still in the system's journal.
_WAITING = 1000
#: Rows that are verified together: some hundredths of a second.
_AT_ONCE = 2000

log = logging.getLogger("timeball.audit")


class Trail:
    """The one writer of the chain."""

    def __init__(self, store: Store, clock: Clock, folder: Path) -> None:
        self._store = store
        self._clock = clock
        self._head_file = folder / "audit-head.json"
        self._waiting: deque[Row] = deque(maxlen=_WAITING)
        self._lock = asyncio.Lock()
        self._head: Head | None = None
        self._strangers: deque[float] = deque(maxlen=STRANGERS_A_MINUTE)
        self._unrecorded = 0

    async def saw(self, request: Request, mounted: Mounted, status: int) -> None:
        """Record one operation. Never raises: what was done is done."""
        actor = request.note.actor or request.actor
        if actor.kind == "nobody" and status >= 400 and not self._room_for_stranger():
            self._unrecorded += 1
            return
        after: Any = request.note.after if request.note.after is not None else _body(request)
        if any(is_secret(value) for value in request.params.values()):
            after = HIDDEN if after else None  # it is the value of something that is called a secret
        if self._unrecorded:
            after, self._unrecorded = (
                {"body": after, "refusals_of_strangers_only_counted_before_this": self._unrecorded},
                0,
            )
        await self.write(
            actor=actor.name,
            kind=actor.kind,
            account=actor.account,
            via=actor.via,
            address=request.remote,
            action=mounted.id,
            target=request.note.target or " ".join(request.params.values()),
            before=as_text(_plain(request.note.before)),
            after=as_text(_plain(after)),
            status=status,
            request=request.id,
        )

    async def write(self, *, actor: str, action: str, kind: str = "local", account: str = "", via: str = "", address: str = "", target: str = "",
                    before: str = "", after: str = "", status: int = 200, request: str = "") -> None:  # fmt: skip
        """Add one row, to the system's journal at once and to the chain as soon as the database takes it."""
        row = Row(
            0, round(self._clock.wall_ns() / 1e9, 6), _short(actor), kind, account, via, address, action,
            _short(target), _storable(before), _storable(after), status, request,
        )  # fmt: skip
        async with self._lock:
            self._waiting.append(row)
            await self._try()
            if self._waiting:
                log.error("%s (not in the database yet)", _line(row))

    async def flush(self) -> None:
        """Write what waits, if the database takes it now."""
        async with self._lock:
            await self._try()

    async def verify(self) -> tuple[int, list[Finding]]:
        """How many rows there are, and everything that is wrong with the chain."""
        async with self._lock:  # between a row and its note
            head = await asyncio.to_thread(self._read_head)
            newest = await self._store.read(keeping.newest_row)
        check, seq = Check(head), 0
        while newest is not None and seq < newest.seq:
            rows = [
                r for r in await self._store.read(keeping.rows_after(seq, _AT_ONCE)) if r.seq <= newest.seq
            ]
            if not rows:
                break
            await asyncio.to_thread(_follow, check, rows)
            seq = rows[-1].seq
        return check.rows, check.end()

    async def _try(self) -> None:
        """Write what waits; what cannot be written now waits on, and what was done stays done."""
        try:
            await self._write_waiting()
        except StoreError:
            pass  # told by the store, as a problem of its own
        except sqlite3.Error as error:
            log.debug("the audit trail has no table yet: %s", error)

    async def _write_waiting(self) -> None:
        if not self._waiting:
            return
        if self._head is None:
            newest = await self._store.read(keeping.newest_row)
            self._head = Head(newest.seq, newest.hash) if newest else Head()
        head, rows = self._head, []
        for row in self._waiting:
            made = sealed(replace(row, seq=head.seq + 1), head.hash)
            rows.append(made)
            head = Head(made.seq, made.hash)
        try:
            await self._store.write(keeping.add_rows(rows))
        except BaseException:
            self._head = None  # whether it was written is not known: look again
            raise
        self._head = head
        self._waiting.clear()
        for row in rows:
            log.info("%s", _line(row))
        try:
            await asyncio.to_thread(self._note_head, head)
        except OSError as error:
            log.warning(
                "the newest row of the audit trail cannot be noted in %s: %s", self._head_file, error.strerror
            )

    def _note_head(self, head: Head) -> None:
        part = self._head_file.with_suffix(".part")
        part.write_text(json.dumps({"seq": head.seq, "hash": head.hash}) + "\n", encoding="utf-8")
        part.chmod(0o600)
        part.replace(self._head_file)

    def _read_head(self) -> Head | None:
        try:
            value = json.loads(self._head_file.read_text(encoding="utf-8"))
            return Head(int(value["seq"]), str(value["hash"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            return Head(0, BEGINNING)

    def _room_for_stranger(self) -> bool:
        now_s = self._clock.monotonic_ns() / 1e9
        if len(self._strangers) == STRANGERS_A_MINUTE and now_s - self._strangers[0] < 60:
            return False
        self._strangers.append(now_s)
        return True


def _follow(check: Check, rows: list[Row]) -> None:
    for row in rows:
        check.take(row)


def _body(request: Request) -> Any:
    """What was sent, as far as it can be told; secrets are hidden later."""
    if not request.content:
        return None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "application/x-www-form-urlencoded":
            fields = parse_qs(request.content.decode(), keep_blank_values=True, max_num_fields=100)
            return {name: values[-1] for name, values in fields.items()}
        return json.loads(request.content)
    except (ValueError, RecursionError):
        return {"bytes": len(request.content)}


def _plain(value: Any) -> Any:
    return None if value is None else masked(plain(value))


def _short(text: str) -> str:
    return _storable(text if len(text) <= 300 else text[:300] + "...")


def _storable(text: str) -> str:
    """Without the halves of characters that JSON can spell and no database takes."""
    return text.encode("utf-8", "replace").decode()


def _line(row: Row) -> str:
    """One line for the journal, safe whatever somebody is called: everything that came from outside is JSON."""
    outside = json.dumps([row.actor, row.target])
    return (
        f"audit seq={row.seq} action={json.dumps(row.action)} status={row.status} kind={row.kind} via={row.via or '-'} "
        f"address={row.address or '-'} request={row.request or '-'} hash={row.hash[:16] or '-'} who_and_what={outside}"
    )
