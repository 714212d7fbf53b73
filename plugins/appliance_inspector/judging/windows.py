# SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
"""How much of something there was lately, for many somebodies, in bounded memory: the quietest one makes room."""

from __future__ import annotations

from collections import OrderedDict

#: Different values that a window keeps, if its rule does not ask for more.
FEW_VALUES = 256


class Window:
    """What one somebody did in the current window.

    Attributes:
        since_ns: when the window began.
        packets: what was seen, each sample counted for the packets that it stands for.
        samples: what was seen, each sample counted as one.
        squares: the sum of the squares of the packets that each sample stands for.
        different: different values that were seen, up to a bound.
    """

    __slots__ = ("different", "packets", "samples", "since_ns", "squares", "told_ns")

    def __init__(self, since_ns: int) -> None:
        self.since_ns = since_ns
        self.packets = self.samples = self.squares = 0
        self.different: set[str] = set()
        self.told_ns = 0


class Windows:
    """Windows of `seconds` by key, `room` at most; who was quiet the longest is forgotten first.

    Of different values up to `values` are kept for each, and the fewer windows for it.
    """

    def __init__(self, seconds: float, room: int = 4096, values: int = FEW_VALUES) -> None:
        self._span_ns, self._values = int(seconds * 1e9), values
        self._room = room if values <= FEW_VALUES else max(1, room * FEW_VALUES // values)
        self._windows: OrderedDict[str, Window] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def add(self, key: str, now_ns: int, packets: int, value: str | None = None) -> Window:
        """Count for `key`; its window, which begins anew when it is over."""
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= self._room:
                self._windows.popitem(last=False)
            window = self._windows[key] = Window(now_ns)
        elif not 0 <= now_ns - window.since_ns <= self._span_ns:
            told_ns = window.told_ns
            window = self._windows[key] = Window(now_ns)
            window.told_ns = told_ns
        self._windows.move_to_end(key)
        window.packets += packets
        window.samples += 1
        window.squares += packets * packets
        if value is not None and len(window.different) < self._values:
            window.different.add(value)
        return window
