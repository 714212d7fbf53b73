"""Wait for a condition, never for a length of time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

#: Long enough for a loaded two-core machine; a test that needs it all has failed anyway.
PATIENCE_S = 60.0


def wait_until(
    condition: Callable[[], T], what: str, timeout_s: float = PATIENCE_S, interval_s: float = 0.02
) -> T:
    """Call `condition` until it returns something true, and return that. Exceptions of `condition` go through.

    Raises:
        AssertionError: it did not happen in `timeout_s`; the message has `what` and the last value.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:g} s for: {what}; last seen: {value!r}")
        time.sleep(interval_s)  # noqa: TID251 - between two looks at the condition


async def wait_for(
    condition: Callable[[], T | Awaitable[T]],
    what: str,
    timeout_s: float = PATIENCE_S,
    interval_s: float = 0.02,
) -> T:
    """The same inside a coroutine; `condition` may be a plain function or a coroutine function.

    Raises:
        AssertionError: it did not happen in `timeout_s`; the message has `what` and the last value.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:g} s for: {what}; last seen: {value!r}")
        await asyncio.sleep(interval_s)
