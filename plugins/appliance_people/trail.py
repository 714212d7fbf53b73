"""Writes the audit trail: the route table's witness."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from appliance.api.actor import NOBODY, Actor
from appliance.api.errors import StoreError
from appliance.api.services import Store
from appliance.core.clock import Clock
from appliance.core.plain_json import plain
from appliance.core.routes import Mounted, Request
from appliance.core.strict_json import read_json
from appliance_people import keeping
from appliance_people.audit import (
    BEGINNING,
    HIDDEN,
    Check,
    Finding,
    Head,
    Row,
    as_text,
    following,
    is_secret,
    masked,
    sealed,
)
from appliance_people.turned_away import MINUTE_S, Line, Refusal, Room, TurnedAway

#: Operations refused to who did not sign in: so many at once are rows of their own, then so many a minute; what is over is
#: only counted. A stranger must not be able to fill the disk.
STRANGERS_AT_ONCE, STRANGERS_A_MINUTE = 60, 2.0
#: Rows that wait while the database cannot be written; older ones are still in the system's journal.
_WAITING = 1000
#: The whole chain is verified by itself so often: a thousand rows take some hundredths of a second, in a thread.
_VERIFIED_EVERY_S = 86400.0
#: Rows that are verified together: some hundredths of a second.
_AT_ONCE = 2000

log = logging.getLogger("timeball.audit")


@dataclass(frozen=True, slots=True)
class Verified:
    """What the last look at the whole chain found.

    Attributes:
        at_s: epoch seconds.
        rows: how many there were.
        findings: everything that was wrong.
    """

    at_s: float
    rows: int
    findings: tuple[Finding, ...]


class Trail:
    """The one writer of the chain.

    Attributes:
        verified: the last look at the whole chain since the start, or None.
    """

    def __init__(self, store: Store, clock: Clock, folder: Path) -> None:
        self._store = store
        self._clock = clock
        self._head_file = folder / "audit-head.json"
        self._waiting: deque[Row] = deque(maxlen=_WAITING)
        self._lock = asyncio.Lock()
        self._head: Head | None = None
        self.verified: Verified | None = None
        self._verify_after_s = 0.0
        self._strangers = Room(STRANGERS_AT_ONCE, STRANGERS_A_MINUTE)
        self._unrecorded = 0
        self._turned_away = TurnedAway()

    def refused(
        self, reason: str, status: int, *, address: str, what: str, request: str = "", actor: Actor = NOBODY
    ) -> None:
        """See `appliance.api.services.AuditWitness`; `write_refusals` writes it down."""
        self._turned_away.refused(Refusal(reason, status, address, what, request, actor), self._now_s())

    async def write_refusals(self, *, end: bool = False) -> None:
        """Write what was refused at the door since the last time; `end`: also what is still being counted."""
        for line in self._turned_away.due(self._now_s(), end=end):
            await self._write_refusal(line)

    async def _write_refusal(self, line: Line) -> None:
        refusal = line.refusal
        if refusal is None:
            counted = {"count": sum(line.others.values()), "reasons": line.others, "within_s": MINUTE_S}
            await self.write(
                actor=NOBODY.name, kind=NOBODY.kind, action="refused at the door", after=as_text(counted), status=403
            )  # fmt: skip
            return
        many = {"count": line.more, "within_s": MINUTE_S} if line.more else None
        actor = refusal.actor
        await self.write(
            actor=actor.name, kind=actor.kind, account=actor.account, via=actor.via, address=refusal.address,
            action=f"refused {refusal.reason}", target=refusal.what, after=as_text(many), status=refusal.status,
            request="" if line.more else refusal.request,
        )  # fmt: skip

    async def saw(self, request: Request, mounted: Mounted, status: int) -> None:
        """Record one operation. Never raises: what was done is done."""
        actor = request.note.actor or request.actor
        if actor.kind == "nobody" and status >= 400 and not self._strangers.take(self._now_s()):
            self._unrecorded += 1
            return
        after: Any = request.note.after
        if after is None:
            # What a secret's operation did not come to may hold the secret in any place, so that its names say nothing.
            hidden = mounted.route.secret and status >= 400
            after = _only_names(request, mounted) if hidden else _body(request)
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
            ours, head = self._head, await asyncio.to_thread(self._read_head)
            newest = await self._store.read(keeping.newest_row)
        check, seq = Check(head, ours), 0
        while newest is not None and seq < newest.seq:
            rows = [
                r for r in await self._store.read(keeping.rows_after(seq, _AT_ONCE)) if r.seq <= newest.seq
            ]
            if not rows:
                break
            await asyncio.to_thread(_follow, check, rows)
            seq = rows[-1].seq
        self.verified = Verified(self._clock.wall_ns() / 1e9, check.rows, tuple(check.end()))
        self._verify_after_s = self._now_s() + _VERIFIED_EVERY_S
        return check.rows, list(self.verified.findings)

    async def verify_when_due(self) -> None:
        """Verify the chain if that was last done a day ago, or never since the start. What cannot be read now is tried again."""
        if self._now_s() < self._verify_after_s:
            return
        with contextlib.suppress(StoreError, sqlite3.Error):  # told by the store, as a problem of its own
            before = self.verified
            _, findings = await self.verify()
            if findings and (before is None or not before.findings):
                log.error("the audit trail is not whole: row %d: %s", findings[0].seq, findings[0].what)

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
            self._head = following(newest, await asyncio.to_thread(self._read_head))
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

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9


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
        return read_json(request.content)
    except ValueError:
        return {"bytes": len(request.content)}


def _only_names(request: Request, mounted: Mounted) -> Any:
    """Which fields of the operation were sent, without their values."""
    sent, model = _body(request), mounted.route.body
    if isinstance(sent, dict) and model is not None:
        known = {field.alias or name for name, field in model.model_fields.items()} | set(model.model_fields)
        return dict.fromkeys(sorted(known & set(sent)), HIDDEN)
    return {"bytes": len(request.content)} if request.content else None


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
