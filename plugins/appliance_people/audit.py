"""The audit trail's chain: every row carries the hash of the one before it, so that a change anywhere shows.

What it cannot find: who may write both the database and the state folder can make the whole chain anew. Against that
stands the copy of every hash in the system's journal (`timeball.audit`), and whatever collects that elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

#: What the first row names as its predecessor.
BEGINNING = "0" * 64
HIDDEN = "(hidden)"
#: Parts of names whose values are nobody's business.
_SECRET_NAMES = (
    "password",
    "passphrase",
    "secret",
    "token",
    "code",
    "credential",
    "cookie",
    "private",
    "hash",
)
_LONGEST = 2000
#: A chain that is broken everywhere need not be told row by row.
MOST_FINDINGS = 100


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was done, or refused.

    Attributes:
        seq: 1, 2, 3 ... without a gap.
        ts: epoch seconds.
        actor: name of who did it, at that time.
        kind: how it came in: "local", "session", "token", "nobody".
        account, via: id of the user, and of the session or token.
        address: it came from; "" on the admin socket.
        action: method and path of the route.
        target: what it was done to.
        before, after: JSON text with secrets hidden, or "".
        status: HTTP status of the answer.
        request: id of the request, as in the answer and the log.
        previous: hash of the row before.
        hash: of everything above.
    """

    seq: int
    ts: float
    actor: str
    kind: str
    account: str
    via: str
    address: str
    action: str
    target: str
    before: str
    after: str
    status: int
    request: str
    previous: str = BEGINNING
    hash: str = ""


def sealed(row: Row, previous: str) -> Row:
    """The row with its place in the chain."""
    row = replace(row, previous=previous, hash="")
    return replace(row, hash=_digest(row))


@dataclass(frozen=True, slots=True)
class Head:
    """The newest row that was written: where the chain must not end before."""

    seq: int = 0
    hash: str = BEGINNING


def following(newest: Row | None, noted: Head | None) -> Head:
    """What the next row follows, found at a start: the newest row, unless the note knows a later one or another one.

    Then the chain goes on behind the note, and the place where something is missing or was replaced shows for ever: to go on
    from what is left would close the gap.
    """
    kept = Head(newest.seq, newest.hash) if newest else Head()
    return noted if noted is not None and noted.seq and noted.seq >= kept.seq else kept


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where the chain is broken: at row `seq`, and what is wrong there."""

    seq: int
    what: str


class Check:
    """Follows the chain row by row, in the order of `seq`, and keeps what is wrong with it.

    Args:
        head: what was noted outside the database as the newest row, or None when that note is missing.
        newest: what the one writer wrote last, where it has written since the start. The note may be behind the chain, after
            a power cut; this is not.
    """

    def __init__(self, head: Head | None, newest: Head | None = None) -> None:
        self._newest = newest
        self.findings: list[Finding] = []
        self.rows = 0
        self._head = head
        self._expected, self._previous = 1, BEGINNING
        self._at_head = ""

    def take(self, row: Row) -> None:
        """The next row."""
        self.rows += 1
        if row.seq != self._expected:
            one = row.seq == self._expected + 1
            gap = f"row {self._expected}" if one else f"rows {self._expected} to {row.seq - 1}"
            self._find(row.seq, f"{gap} missing before it")
        if _digest(replace(row, hash="")) != row.hash:
            self._find(row.seq, "its content is not what was written")
        if row.previous != self._previous and row.seq == self._expected:
            self._find(row.seq, "it does not follow the row before it")
        self._expected, self._previous = row.seq + 1, row.hash
        if self._head is not None and row.seq == self._head.seq:
            self._at_head = row.hash

    def end(self) -> list[Finding]:
        """There are no more rows: everything that is wrong, oldest first; empty when the chain is whole."""
        head = self._head
        if head is None:
            if self.rows:
                self._find(
                    self._expected - 1,
                    "the note of the newest row is missing: rows may be missing at the end",
                )
        elif head.seq >= self._expected:
            self._find(
                head.seq, f"rows {self._expected} to {head.seq} were written and are missing at the end"
            )
        elif head.seq and self._at_head != head.hash:
            self._find(head.seq, "it is not the row that was noted when it was written")
        if self._newest is not None and self._newest.seq < self._expected - 1:
            self._find(self._newest.seq + 1, "somebody else has written it, and what follows it")
        return self.findings

    def _find(self, seq: int, what: str) -> None:
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(Finding(seq, what))


def verify(rows: Iterable[Row], head: Head | None) -> list[Finding]:
    """Everything that is wrong with a chain, as `Check` finds it."""
    check = Check(head)
    for row in rows:
        check.take(row)
    return check.end()


def masked(value: Any) -> Any:
    """JSON-able `value` with everything hidden whose name says that it is a secret."""
    if isinstance(value, Mapping):
        return {
            str(key): HIDDEN if is_secret(str(key)) and item not in (None, "") else masked(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [masked(item) for item in value]
    return value


def as_text(value: Any) -> str:
    """JSON with secrets hidden and of bearable length; "" for nothing."""
    if value is None:
        return ""
    text = json.dumps(masked(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"


def is_secret(name: str) -> bool:
    """Whether something of this name is nobody's business."""
    lower = name.lower()
    return (
        lower == "key" or lower.endswith(("_key", "apikey")) or any(part in lower for part in _SECRET_NAMES)
    )


def _digest(row: Row) -> str:
    """SHA-256 over the canonical JSON of all fields but the hash itself; the hash of the row before is among them."""
    fields = asdict(row)
    del fields["hash"]
    text = json.dumps(fields, ensure_ascii=True, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
