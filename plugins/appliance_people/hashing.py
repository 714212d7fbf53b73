"""Argon2id off the loop: in threads, few at a time, and no long queue of strangers in front of the owner."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from appliance.api.errors import ApiError
from appliance_people import passwords

T = TypeVar("T")

#: Waiting for one of the two threads; more are sent away. At a fifth of a second each the last one waits some seconds.
MOST_WAITING = 16

#: Runs a function that blocks in a thread: the plugin's `to_thread`, which lets two run at a time.
InThread = Callable[..., Awaitable[T]]


class Busy(ApiError):
    """Too many passwords are being looked at."""

    status = 503
    code = "busy"

    def __init__(self) -> None:
        super().__init__("too many people are signing in at this moment; try again in some seconds")
        self.headers = {"Retry-After": "5"}


class Hashing:
    """Hashes and compares passwords.

    Attributes:
        words: what must not make up a password besides the usual: names of this box and its pool.
        done: comparisons that were made, for tests of what costs the same work.
    """

    def __init__(self, words: Sequence[str] = ()) -> None:
        self.words = tuple(words)
        self.done = 0
        self._waiting = 0
        self.in_thread: InThread[object] | None = None

    async def hashed(self, password: str) -> str:
        return await self._run(passwords.hashed, password)

    async def matches(self, password: str, kept: str | None) -> bool:
        """As `passwords.matches`: the same work when `kept` is None."""
        self.done += 1
        return await self._run(passwords.matches, password, kept)

    async def _run(self, fn: Callable[..., T], *arguments: object) -> T:
        if self.in_thread is None:
            raise Busy
        if self._waiting >= MOST_WAITING:
            raise Busy
        self._waiting += 1
        try:
            return await self.in_thread(fn, *arguments)  # type: ignore[return-value]
        finally:
            self._waiting -= 1
