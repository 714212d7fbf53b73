"""What is worked out of facts that are replaced and never changed: a row of a table, out of a member and its verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

#: More things than a box looks after; past it all are forgotten, those of things that are gone too.
MOST = 12_000


class Derived(Generic[T]):
    """Keeps the last value of each key as long as it would be made of the same facts.

    A page over 500 members asks for 500 rows, of which some changed since the last page. The facts must be values that
    nobody changes in place: they are compared, at no cost while they are the same objects.
    """

    def __init__(self, make: Callable[..., T], most: int = MOST) -> None:
        self._make = make
        self._most = most
        self._kept: dict[str, tuple[tuple[Any, ...], T]] = {}

    def of(self, key: str, *facts: Any) -> T:
        """What `make(*facts)` says, made anew when the facts of this key are others than last time."""
        kept = self._kept.get(key)
        if kept is not None and kept[0] == facts:
            return kept[1]
        value = self._make(*facts)
        if kept is None and len(self._kept) >= self._most:
            self._kept.clear()
        self._kept[key] = (facts, value)
        return value
