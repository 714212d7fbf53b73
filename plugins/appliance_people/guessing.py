"""How many guesses a password costs somebody who guesses like a person chooses: the cheapest way to write it down.

The password is cut into pieces, each of a kind that a guesser has a list for; the cut with the smallest sum counts.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections import Counter
from collections.abc import Collection

from appliance_people.words import KEYBOARDS, LOVED, NAMES, PRODUCT, WORDS

_LEET = str.maketrans("013457@$!|+", "oieastasilt")
_WORDS = frozenset(word for word in (*PRODUCT, *WORDS, *LOVED, *NAMES) if len(word) >= 3)
_WORD_BITS = math.log2(len(_WORDS))
_LETTER_BITS = math.log2(26)
_LONGEST_PIECE = 24
#: What follows after so many characters is not needed to be good enough, and cannot make it worse.
_LOOKED_AT = 96
_RUN_BITS = 6.0
_WALK_BITS = 7.0
_TURN_BITS = 2.0
_YEAR = re.compile(r"(?:19|20)\d\d")
_YEAR_BITS = 6.0
_DAY = re.compile(r"(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])(?:(?:19|20)?\d\d)?")
_DATE = re.compile(r"(?:19|20)?\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_DATE_BITS = 12.0


def guess_bits(password: str, about: Collection[str] = ()) -> float:
    """The number of guesses as a power of two.

    Args:
        password: the whole of it.
        about: words that are tried first, such as the account's name.
    """
    known = {word.lower() for word in about if len(word) >= 3}
    known |= {part for word in known for part in re.split(r"[^\w]+", word) if len(part) >= 3}
    text = password[:_LOOKED_AT]
    best = _cheapest(text, known)
    lower = text.lower()
    # A piece that stands there again and again costs its first writing and how often.
    for length in range(1, min(len(lower) // 2, _LONGEST_PIECE) + 1):
        block, times = lower[:length], len(lower) // length
        if lower.startswith(block * times) and block.startswith(lower[length * times :]):
            best = min(best, _cheapest(text[:length], known) + 1 + math.log2(times))
    return best


def _cheapest(text: str, known: Collection[str]) -> float:
    """The smallest sum over all cuts into pieces."""
    lower = text.lower()
    best = [0.0] + [math.inf] * len(text)
    for end in range(1, len(text) + 1):
        best[end] = best[end - 1] + _character(text[end - 1], text[end - 2 : end - 1])
        for start in range(max(0, end - _LONGEST_PIECE), end - 2):
            if (bits := _piece(text[start:end], lower[start:end], known)) is not None:
                best[end] = min(best[end], best[start] + bits)
    return best[-1]


def _character(character: str, before: str) -> float:
    """Bits of one character: fewer where words of ours write it after the one before, as in `th` and `er`."""
    if character.isdigit():
        return 3.3
    if not character.isalpha():
        return 5.0
    return _following().get((before.lower(), character.lower()), _LETTER_BITS)


@functools.cache
def _following() -> dict[tuple[str, str], float]:
    """Bits of a letter after another, learnt from the words: what can be pronounced is guessed before what cannot."""
    pairs = Counter(pair for word in _WORDS for pair in itertools.pairwise(word))
    firsts = Counter(a for a, _ in pairs.elements())
    return {
        (a, b): min(_LETTER_BITS, math.log2((firsts[a] + 13) / (count + 0.5)))
        for (a, b), count in pairs.items()
    }


def _piece(text: str, lower: str, known: Collection[str]) -> float | None:
    """Bits of three or more characters as one piece, or None when they are none."""
    plain = lower.translate(_LEET)
    for forms, bits in ((known, 1.0), (_WORDS, _WORD_BITS)):
        for form in (lower, plain):
            if form in forms or form[::-1] in forms:
                return (
                    bits
                    + (text != lower)
                    + (form != lower or form not in forms)
                    + (text[1:] != lower[1:] and text != text.upper())
                )
    found: list[float] = []
    if _is_run(lower):
        found.append(_RUN_BITS)
    if (turns := _walk(lower)) is not None:
        found.append(_WALK_BITS + _TURN_BITS * turns)
    if _YEAR.fullmatch(lower):
        found.append(_YEAR_BITS)
    if len(lower) >= 6 and (_DAY.fullmatch(lower) or _DATE.fullmatch(lower)):
        found.append(_DATE_BITS)
    return min(found, default=None)


def _is_run(text: str) -> bool:
    """aaaa, abcd, 4321, 2468: every step is the same."""
    steps = {ord(b) - ord(a) for a, b in itertools.pairwise(text)}
    return len(steps) == 1 and abs(steps.pop()) <= 2


@functools.cache
def _neighbours() -> dict[tuple[str, str], tuple[int, int]]:
    """The step on the keyboard from one key to one beside it."""
    steps: dict[tuple[str, str], tuple[int, int]] = {}
    for rows in KEYBOARDS:
        places = {key: (x, y) for y, row in enumerate(rows) for x, key in enumerate(row)}
        for a, (ax, ay) in places.items():
            for b, (bx, by) in places.items():
                if a != b and abs(ax - bx) <= 1 and abs(ay - by) <= 1:
                    steps.setdefault((a, b), (bx - ax, by - ay))
    return steps


def _walk(text: str) -> int | None:
    """How often a way over neighbouring keys turns, or None when it is no such way."""
    way = [_neighbours().get(pair) for pair in itertools.pairwise(text)]
    if None in way:
        return None
    return sum(a != b for a, b in itertools.pairwise(way))
