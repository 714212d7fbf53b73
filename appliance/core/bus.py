"""Facts between plugins: each subscriber has a bounded queue, and what it could not hold is counted, never silent."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Generic, Literal, TypeVar

E = TypeVar("E")
Overflow = Literal["drop_oldest", "drop_newest"]


class Subscription(Generic[E]):
    """One reader's queue; iterate over it with `async for`.

    Attributes:
        dropped: events lost because the reader was too slow.
    """

    def __init__(self, kind: type[E], owner: str, maxsize: int, overflow: Overflow) -> None:
        self.kind = kind
        self.owner = owner
        self.dropped = 0
        self._maxsize = maxsize
        self._overflow = overflow
        self._queue: deque[E] = deque()
        self._filled = asyncio.Event()

    def offer(self, event: E) -> None:
        if len(self._queue) >= self._maxsize:
            self.dropped += 1
            if self._overflow == "drop_newest":
                return
            self._queue.popleft()
        self._queue.append(event)
        self._filled.set()

    def __aiter__(self) -> AsyncIterator[E]:
        return self

    async def __anext__(self) -> E:
        while not self._queue:
            self._filled.clear()
            await self._filled.wait()
        return self._queue.popleft()


class Bus:
    """Publish and subscribe by event type. Publishing never waits and never fails."""

    def __init__(self) -> None:
        self._subscriptions: list[Subscription[Any]] = []
        self._bells: list[tuple[tuple[type, ...], asyncio.Event]] = []

    def publish(self, event: object) -> None:
        for kinds, bell in self._bells:
            if isinstance(event, kinds):
                bell.set()
        for subscription in self._subscriptions:
            if isinstance(event, subscription.kind):
                subscription.offer(event)

    @contextmanager
    def subscribe(
        self, kind: type[E], *, owner: str = "", maxsize: int = 256, overflow: Overflow = "drop_oldest"
    ) -> Iterator[Subscription[E]]:
        """Receive every event of `kind` from the moment of entry: nothing between entry and the loop is lost."""
        subscription = Subscription(kind, owner, maxsize, overflow)
        self._subscriptions.append(subscription)
        try:
            yield subscription
        finally:
            self.drop(subscription)

    @contextmanager
    def bell(self, *kinds: type) -> Iterator[asyncio.Event]:
        """Set by every event of these kinds: for who wants to know that something happened, and not what."""
        rung = (kinds, asyncio.Event())
        self._bells.append(rung)
        try:
            yield rung[1]
        finally:
            self._bells = [b for b in self._bells if b is not rung]

    def drop(self, subscription: Subscription[Any]) -> None:
        """End a subscription, whoever holds it still."""
        self._subscriptions = [s for s in self._subscriptions if s is not subscription]

    def dropped(self) -> dict[str, int]:
        """Lost events by subscriber, `owner/Event`."""
        return {f"{s.owner}/{s.kind.__name__}": s.dropped for s in self._subscriptions}
