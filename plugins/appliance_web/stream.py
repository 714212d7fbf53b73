"""What happens, as it happens: the hub behind /api/v1/events numbers each event, keeps the last ones and feeds the streams."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

#: Events kept for those who come back, and events that may wait for one slow reader.
KEPT = 512
WAITING = 64
HEARTBEAT = b": still here\n\n"


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the stream.

    Attributes:
        number: counts up from 1 within `Hub.epoch`.
        kind: event name, such as "verdict".
        data: JSON text.
        about: ids of the members that it tells of, or None when it tells of the whole box.
    """

    number: int
    kind: str
    data: str
    about: tuple[str, ...] | None = None


class TooManyStreams(Exception):
    """All places are taken."""


class Stream:
    """One listener's queue of ready lines. It ends when the hub closes.

    Attributes:
        only: tells the members that the listener may hear of; None: of all, and of the box.
    """

    def __init__(self, only: Callable[[str], bool] | None = None) -> None:
        self.only = only
        self._queue: deque[bytes] = deque()
        self._filled = asyncio.Event()
        self._closed = False

    def offer(self, line: bytes, instead: bytes) -> None:
        """Queue `line`; a reader too slow to follow gets `instead` of everything that waits."""
        if len(self._queue) >= WAITING:
            self._queue.clear()
            line = instead
        self._queue.append(line)
        self._filled.set()

    def close(self) -> None:
        self._closed = True
        self._filled.set()

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> bytes:
        while not self._queue:
            if self._closed:
                raise StopAsyncIteration
            self._filled.clear()
            await self._filled.wait()
        return self._queue.popleft()


class Hub:
    """Publishes events to streams, and replays what a stream missed while it was away.

    Attributes:
        epoch: names this run of the process, so that an id of an earlier one is recognised.
        most: streams at once.
    """

    def __init__(self, epoch: str, *, most: int = 64) -> None:
        self.epoch = epoch
        self.most = most
        self._number = 0
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._streams: set[Stream] = set()
        self._of_each: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._streams)

    def publish(self, kind: str, data: Any, about: Iterable[str] | None = None) -> None:
        """Number it, keep it, hand it to everybody who listens and may hear of it. Never waits.

        Args:
            kind: event name.
            data: JSON-able.
            about: members that it tells of, or None for the box. Who may hear of his own members alone hears that
                something happened with one of them, and no data: they may tell of others too.
        """
        self._number += 1
        text = json.dumps(data, separators=(",", ":"), allow_nan=False, default=str)
        event = Event(self._number, kind, text, None if about is None else tuple(about))
        self._kept.append(event)
        line = self._encode(event)
        for stream in self._streams:
            if stream.only is None:
                stream.offer(line, self._reset())
            elif own := self._own(event, stream.only):
                stream.offer(own, self._reset())

    def _own(self, event: Event, only: Callable[[str], bool]) -> bytes:
        """The event for who may hear of some members alone; nothing when it tells of none of them."""
        if event.about is None or not any(only(key) for key in event.about):
            return b""
        return self._encode(replace(event, data="{}"))

    def beat(self) -> None:
        """Write a comment into each stream: a connection that died shows itself at the next write."""
        for stream in self._streams:
            stream.offer(HEARTBEAT, self._reset())

    def close(self) -> None:
        """End all streams; later ones may open again."""
        for stream in self._streams:
            stream.close()

    @contextmanager
    def listen(
        self, last_id: str = "", only: Callable[[str], bool] | None = None, who: str = ""
    ) -> Iterator[Stream]:
        """A place in the audience, with what came after `last_id` already in the queue.

        Args:
            last_id: of the last event that the listener had, or "".
            only: see `Stream.only`.
            who: listens. Nobody has more than half of the places, so that others find one.

        Raises:
            TooManyStreams: `most` listen already, or half of them are this one's.
        """
        if len(self._streams) >= self.most or (who and self._of_each[who] >= max(self.most // 2, 1)):
            raise TooManyStreams
        stream = Stream(only)
        stream.offer(b"retry: 3000\n\n", b"")
        for line in self._missed(last_id, only):
            stream.offer(line, self._reset())
        self._streams.add(stream)
        self._of_each[who] += 1
        try:
            yield stream
        finally:
            self._streams.discard(stream)
            self._of_each[who] -= 1
            if not self._of_each[who]:
                del self._of_each[who]

    def _missed(self, last_id: str, only: Callable[[str], bool] | None) -> list[bytes]:
        """What came after `last_id`, or a single "reset" when that can no longer be told."""
        if not last_id:
            return []
        epoch, _, number = last_id.rpartition(".")
        if epoch != self.epoch or not (number.isascii() and number.isdigit() and len(number) < 16):
            return [self._reset()]
        seen = int(number)
        missed = [event for event in self._kept if event.number > seen]
        if seen > self._number or len(missed) != self._number - seen or len(missed) >= WAITING - 1:
            return [self._reset()]
        if only is not None:
            return [line for event in missed if (line := self._own(event, only))]
        return [self._encode(event) for event in missed]

    def _encode(self, event: Event) -> bytes:
        """As server-sent event; JSON text holds no line break, so one data line is enough."""
        return f"id: {self.epoch}.{event.number}\nevent: {event.kind}\ndata: {event.data}\n\n".encode()

    def _reset(self) -> bytes:
        """Tells the reader that it missed something: load afresh, go on from here."""
        return f"id: {self.epoch}.{self._number}\nevent: reset\ndata: {{}}\n\n".encode()
