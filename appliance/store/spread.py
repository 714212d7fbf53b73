"""How values are spread: the median and the range of the middle eight tenths, of rows and of what roll-ups keep of them.

**Which quantile.** Of n sorted values the one at place (n - 1) * q, counted from 0, in a straight line between the two
neighbours: `statistics.quantiles(values, n=10, method="inclusive")`. Of one value all quantiles are that value.

**What a roll-up keeps.** Quantiles of parts do not add up to the quantile of the whole, counts do. So a bucket keeps counts of
its values in classes whose ends grow by a fixed factor: a value is known to within 1 %, whatever was merged in which order, and
2 bytes are enough for each class that something fell into. Each is a little-endian 16-bit word: the upper 12 bits are the class,
in the order of the values; the lower four say how many, as a power of two (288 values in one class are two words: 256 and 32).
Words side by side, in any order, are counts added: blobs are merged by putting one behind the other, and tidied when that gets long.
"""

from __future__ import annotations

import math
import sqlite3
import struct
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple

#: A value is told to within this share of itself.
ERROR: Final = 0.01
#: What is smaller than this, positive or negative, counts as 0. For seconds: a hundredth of a microsecond.
SMALLEST: Final = 1e-8
_FACTOR: Final = (1 + ERROR) / (1 - ERROR)
_LOG_FACTOR: Final = math.log(_FACTOR)
_ZERO: Final = 1 << 11
#: Classes on either side; the outermost begins at 6e9 (190 years in seconds) and takes in all that lies beyond.
_MOST: Final = _ZERO - 1
_TENTHS: Final = (1, 5, 9)
#: How many values a word counts, by its first byte; 0 where that is more than a byte can say.
_COUNTS: Final = bytes(1 << (byte & 15) if byte & 15 < 8 else 0 for byte in range(256))
#: So many values are written one by one, and blobs of so many words are not tidied when they are merged: that costs more than it saves.
_FEW: Final = 24


class Quantiles(NamedTuple):
    """Of some values: one tenth lies below `p10`, one half below `median`, one tenth above `p90`."""

    p10: float
    median: float
    p90: float


def exact(ordered: Sequence[float]) -> Quantiles | None:
    """Of values in rising order; None of none."""
    if not ordered:
        return None
    found = []
    for tenth in _TENTHS:
        at, part = divmod(tenth * (len(ordered) - 1), 10)
        found.append(_between(ordered[at], ordered[at + 1], part) if part else ordered[at])
    return Quantiles(*found)


def of_summary(n: int, low: float | None, high: float | None) -> Quantiles | None:
    """Of one or two values, which their minimum and maximum tell exactly; None of none, and of more."""
    if n not in (1, 2) or low is None or high is None:
        return None
    return exact((low, high)) if n == 2 else Quantiles(low, low, low)


def of_words(words: Sequence[int], n: int, low: float, high: float) -> Quantiles | None:
    """Out of what roll-ups kept, each quantile to within `ERROR` of the values beside it.

    Args:
        words: of all blobs, in any order.
        n: how many values there were.
        low: the smallest.
        high: the largest.

    Returns:
        None when the words do not count all `n`: a part was summarised before this was kept.
    """
    ordered = sorted(words)
    # Each word counts one value at least: as many words as values, and the n-th word is the n-th value.
    single = len(ordered) == n
    ends = [] if single else _ends(ordered)
    if not single and (not ends or ends[-1] != n):
        return None
    found = []
    for tenth in _TENTHS:
        at, part = divmod(tenth * (n - 1), 10)
        word = at if single else bisect_right(ends, at)
        value = _VALUES[ordered[word] >> 4]
        if part:
            other = _VALUES[ordered[word + (single or ends[word] == at + 1)] >> 4]
            if other != value:
                value = _between(value, other, part)
        found.append(low if value < low else min(value, high))
    return Quantiles._make(found)


def _ends(ordered: Sequence[int]) -> list[int]:
    """How many values there are up to the end of each word."""
    counts = struct.pack(f"<{len(ordered)}H", *ordered)[::2].translate(_COUNTS)
    return list(accumulate(counts if 0 not in counts else [1 << (word & 15) for word in ordered]))


def pack(values: Iterable[float]) -> bytes:
    """What a roll-up keeps of some values; NaN has no place and is left out."""
    classes = [_class(value) for value in values if not math.isnan(value)]
    if len(classes) > _FEW:
        return _packed(Counter(classes))
    return struct.pack(f"<{len(classes)}H", *[of_class << 4 for of_class in classes])


def merged(one: bytes | None, other: bytes | None) -> bytes | None:
    """What a roll-up keeps of both."""
    if not one or not other:
        return one or other
    if len(one) + len(other) <= 2 * _FEW:
        return one + other
    counts: Counter[int] = Counter()
    for word in words_of(one + other):
        counts[word >> 4] += 1 << (word & 15)
    return _packed(counts)


def words_of(blob: bytes) -> tuple[int, ...]:
    """The words of one blob, or of several put one behind the other; a torn last byte is left out."""
    return struct.unpack_from(f"<{len(blob) // 2}H", blob)


def install(conn: sqlite3.Connection) -> None:
    """Give the writing connection the SQL functions `spread(value)`, an aggregate, and `spread_sum(blob, blob)`."""
    conn.create_aggregate("spread", 1, _Collected)
    conn.create_function("spread_sum", 2, merged, deterministic=True)


class _Collected:
    """The aggregate `spread(value)`: nulls, and what is no number, do not count; NULL of none."""

    def __init__(self) -> None:
        self._values: list[float] = []

    def step(self, value: object) -> None:
        if isinstance(value, int | float):
            self._values.append(value)

    def finalize(self) -> Any:  # the stub knows integers alone
        return pack(self._values) if self._values else None


def _between(low: float, high: float, tenths: int) -> float:
    """So many tenths of the way from one to the other, and never beyond either, whatever is rounded."""
    return min(max((low * (10 - tenths) + high * tenths) / 10, low), high)


def _class(value: float) -> int:
    size = abs(value)
    if size < SMALLEST:
        return _ZERO
    steps = min(int(math.log(size / SMALLEST) / _LOG_FACTOR), _MOST - 1) if size < math.inf else _MOST - 1
    return _ZERO + 1 + steps if value > 0 else _ZERO - 1 - steps


def _value(of_class: int) -> float:
    """The value that no value of the class is farther away from than `ERROR`."""
    steps = abs(of_class - _ZERO) - 1
    if steps < 0:
        return 0.0
    size = SMALLEST * _FACTOR**steps * (1 + ERROR)
    return size if of_class > _ZERO else -size


#: The same of all classes: a chart of a year asks a thousand times.
_VALUES: Final = [_value(of_class) for of_class in range(2 * _ZERO)]


def _packed(counts: Counter[int]) -> bytes:
    words = []
    for of_class, count in sorted(counts.items()):
        words += [of_class << 4 | bit for bit in range(15) if count >> bit & 1]
        words += [of_class << 4 | 15] * (count >> 15)
    return struct.pack(f"<{len(words)}H", *words)
