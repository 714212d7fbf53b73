"""A POST that is sent twice is done once: answers are kept under the sender's Idempotency-Key for a day.

The header is that of draft-ietf-httpapi-idempotency-key-header. Kept are the last answers in the database, so that a
restart between the two is no difference; answers that say `no-store`, such as a new token, are never written down.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlite_utils

from appliance.api.errors import ApiError, Conflict
from appliance.api.services import Store
from appliance.core.routes import Reply

TABLE = "web__repeat"
KEPT_S = 86400.0
#: Answers kept in all, the largest that is kept, and the longest key.
KEPT = 2000
MOST_BYTES = 64 * 1024
LONGEST = 200
#: Whoever was turned away for a reason that passes asks again and means it.
_NOT_KEPT = frozenset({401, 403, 408, 421, 429})


class BadKey(ApiError):
    """The Idempotency-Key makes no sense."""

    code = "bad_idempotency_key"


class OtherRequest(ApiError):
    """The Idempotency-Key was used for another request."""

    status = 422
    code = "idempotency_key_reused"


class UnderWay(Conflict):
    """The first request with this Idempotency-Key is not finished."""

    code = "request_under_way"


@dataclass(frozen=True, slots=True)
class Ticket:
    """One request with a key: who, which key, and what it asked for."""

    owner: str
    key: str
    asked: str


class Repeats:
    """The kept answers."""

    def __init__(self, store: Store, now_s: Callable[[], float]) -> None:
        self._store = store
        self._now_s = now_s
        self._under_way: set[tuple[str, str]] = set()

    async def begin(self, owner: str, key: str, method: str, path: str, content: bytes) -> Ticket | Reply:
        """The answer of the first request with this key, or a ticket for the first one itself.

        Every ticket must be given back with `end`.

        Args:
            owner: who asks; keys of different senders have nothing to do with each other.
            key: the header.
            method: of the request.
            path: with the query.
            content: the body.

        Raises:
            BadKey, OtherRequest, UnderWay: it is not done.
        """
        if not 0 < len(key) <= LONGEST or not key.isprintable():
            raise BadKey(f"an Idempotency-Key has 1 to {LONGEST} printable characters")
        asked = hashlib.sha256(f"{method} {path}\n".encode() + content).hexdigest()
        ticket = Ticket(owner, hashlib.sha256(key.encode()).hexdigest(), asked)
        if (ticket.owner, ticket.key) in self._under_way:
            raise UnderWay("the first request with this Idempotency-Key is still being done; ask again later")
        self._under_way.add((ticket.owner, ticket.key))
        try:
            kept = await self._store.read(lambda db: _find(db, ticket, self._now_s() - KEPT_S))
        except BaseException:
            self._under_way.discard((ticket.owner, ticket.key))
            raise
        if kept is None:
            return ticket
        self._under_way.discard((ticket.owner, ticket.key))
        if kept["asked"] != asked:
            raise OtherRequest("this Idempotency-Key was used for another request; take a new key for each")
        if kept["content"] is None:
            raise Conflict("it was done already; its answer was a secret and is not kept")
        headers = {**json.loads(kept["headers"]), "Idempotency-Replayed": "true"}
        return Reply(kept["content"], kept["status"], headers, kept["content_type"])

    async def end(self, ticket: Ticket, answer: Reply | None) -> None:
        """Give a ticket back with what was answered; None: nothing that could be kept.

        Raises:
            StoreError: it cannot be kept.
        """
        try:
            if answer is not None and answer.status < 500 and answer.status not in _NOT_KEPT:
                await self._store.write(lambda db: _keep(db, ticket, answer, self._now_s()))
        finally:
            self._under_way.discard((ticket.owner, ticket.key))


def create(db: sqlite_utils.Database) -> None:
    """The table."""
    db.table(TABLE).create(
        {
            "owner": str, "key": str, "asked": str, "ts": float, "status": int, "headers": str,
            "content_type": str, "content": bytes,
        },
        pk=("owner", "key"),
    )  # fmt: skip
    db.table(TABLE).create_index(["ts"])


def _find(db: sqlite_utils.Database, ticket: Ticket, since: float) -> dict[str, Any] | None:
    rows = db.query(
        "select * from web__repeat where owner = ? and key = ? and ts >= ?", (ticket.owner, ticket.key, since)
    )
    return next(iter(rows), None)


def _keep(db: sqlite_utils.Database, ticket: Ticket, answer: Reply, now_s: float) -> None:
    content = answer.body()
    secret = "no-store" in answer.headers.get("Cache-Control", "") or len(content) > MOST_BYTES
    headers = {name: value for name, value in answer.headers.items() if name.lower() == "location"}
    db.table(TABLE).insert(
        {
            "owner": ticket.owner, "key": ticket.key, "asked": ticket.asked, "ts": now_s, "status": answer.status,
            "headers": json.dumps(headers), "content_type": answer.content_type,
            "content": None if secret else content,
        },
        replace=True,
    )  # fmt: skip
    db.execute("delete from web__repeat where ts < ?", (now_s - KEPT_S,))
    db.execute(
        "delete from web__repeat where ts < (select min(ts) from (select ts from web__repeat order by ts desc limit ?))",
        (KEPT,),
    )
