"""The slow way out of the packet path: what the workers do not answer waits here, for a moment and with others, for Python.

Workers never wait: they put a query into a queue that has an end, and refuse it when the queue is full. One thread empties
it. What waited too long is dropped, as the client has asked again by then.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from appliance.core.clock import Clock
from appliance.dataplane.dns_decide import refuse
from appliance.dataplane.dns_reply import Arrival, Decision
from appliance.dataplane.dns_snapshot import AnswerSnapshot

log = logging.getLogger("dns.plane")

#: Outcomes: refused because the queue was full, dropped because it waited too long, an error of ours.
QUEUE_FULL, TOO_LATE, BUG, SEND_FAILED = -8, -9, -3, -2
#: Queries that may wait; more of them are refused.
MOST_WAITING = 256
#: Clients ask again after some seconds: nobody waits for an answer that is older.
LATE_NS = 1_500_000_000

#: Answers from memory what was handed up; it must not wait for anything, as everybody behind it does. It may be called from
#: several threads at once.
Responder: TypeAlias = Callable[[bytes, Arrival, AnswerSnapshot], Decision]


def nobody(query: bytes, arrival: Arrival, snapshot: AnswerSnapshot) -> Decision:
    """Refuses: for snapshots that hand up nothing."""
    return refuse(query, arrival, snapshot)


class Handed(Protocol):
    """A query in the queue, and the way back to who asked it."""

    @property
    def query(self) -> bytes: ...

    @property
    def source(self) -> str: ...

    def age_ns(self) -> int: ...

    def reply(self, message: bytes) -> bool:
        """Send it from the address that was asked; False when it could not be sent."""
        ...


@dataclass(frozen=True, slots=True)
class Waiting:
    """A query that a thread of the Python plane received."""

    query: bytes
    source: str
    taken_ns: int
    clock: Clock
    send: Callable[[bytes], object]

    def age_ns(self) -> int:
        return self.clock.monotonic_ns() - self.taken_ns

    def reply(self, message: bytes) -> bool:
        try:
            self.send(message)
        except OSError:
            return False
        return True


class HandUpQueue:
    """The queue of the Python plane."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Handed | None] = queue.Queue(MOST_WAITING)
        self._closing = False

    def put(self, handed: Handed) -> bool:
        """False when it is full."""
        try:
            self._queue.put_nowait(handed)
        except queue.Full:
            return False
        return True

    def take(self) -> Handed | None:
        """Wait for the next one; None when it is closed."""
        return None if self._closing else self._queue.get()

    def close(self) -> None:
        """Let nobody wait any more."""
        self._closing = True
        # When it is full, whoever takes has something to wake up from.
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)


class HandUpWorker(threading.Thread):
    """Answers what was handed up until `take` returns None.

    Attributes:
        snapshot: what the workers answer from now.
        counts: queries by type and outcome.
    """

    def __init__(
        self,
        take: Callable[[], Handed | None],
        responder: Responder,
        snapshot: AnswerSnapshot,
        clock: Clock,
    ) -> None:
        super().__init__(name="dns-handed-up", daemon=True)
        self.snapshot = snapshot
        self.counts: dict[tuple[int, int], int] = {}
        self.failure: BaseException | None = None
        self._take = take
        self._responder = responder
        self._clock = clock
        self._sequence = 0

    def run(self) -> None:
        try:
            while (handed := self._take()) is not None:
                self._answer(handed)
        except BaseException as error:  # noqa: BLE001 - the owner reads it from `failure`
            self.failure = error

    def _answer(self, handed: Handed) -> None:
        if handed.age_ns() > LATE_NS:
            self._count(0, TOO_LATE)
            return
        self._sequence += 1
        clock = self._clock
        arrival = Arrival(handed.source, "udp", clock.wall_ns(), self._sequence, clock.monotonic_ns())
        try:
            reply, outcome, qtype, _mark = self._responder(handed.query, arrival, self.snapshot)
        except Exception:
            if not self._count(0, BUG):
                log.exception(
                    "a query that was handed up could not be answered; more of them are only counted"
                )
            return
        if reply is not None and not handed.reply(reply):
            outcome = SEND_FAILED
        self._count(qtype, outcome)

    def _count(self, qtype: int, outcome: int) -> int:
        """Count one query; returns how many of its kind were counted before."""
        before = self.counts.get((qtype, outcome), 0)
        self.counts[qtype, outcome] = before + 1
        return before
