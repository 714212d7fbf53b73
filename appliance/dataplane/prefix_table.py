"""Prefix rules by longest match, for one address family: one binary search, however many lengths there are."""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections.abc import Iterable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class PrefixTable(Generic[Value]):
    """Where along the addresses the longest match changes, and to what.

    Prefixes are nested or apart, so n of them cut the addresses into at most 2 n + 1 ranges.

    Args:
        rules: prefixes of one family with their values; of equal ones the last counts.
        other: the value of addresses in none of them.
    """

    __slots__ = ("_starts", "_values")

    def __init__(
        self, rules: Iterable[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, Value]], other: Value
    ) -> None:
        starts: list[int] = []
        self._values: list[Value] = []
        length = 4

        def change(start: int, value: Value) -> None:
            if starts and starts[-1] == start:
                self._values[-1] = value
            else:
                starts.append(start)
                self._values.append(value)

        def leave(until: int | None) -> None:
            while around and (until is None or around[-1][0] < until):
                last, _ = around.pop()
                change(last + 1, around[-1][1] if around else other)

        change(0, other)
        around: list[tuple[int, Value]] = []
        # Outer prefixes before inner ones; the sort keeps the order of equal ones, so the last of them ends up inside.
        for network, value in sorted(
            rules, key=lambda rule: (int(rule[0].network_address), rule[0].prefixlen)
        ):
            length = len(network.network_address.packed)
            first = int(network.network_address)
            leave(first)
            change(first, value)
            around.append((int(network.broadcast_address), value))
        leave(None)
        # Bytes in network order compare like the numbers they stand for, and packets hold them already.
        self._starts = [start.to_bytes(length) for start in starts if start < 1 << 8 * length]

    def find(self, address: bytes) -> Value:
        """The value for an address in network order."""
        return self._values[bisect_right(self._starts, address) - 1]
