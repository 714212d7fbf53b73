"""The time in what receivers say: NMEA 0183 sentences into seconds. Pure, for hostile input: a serial line carries anything."""

from __future__ import annotations

import calendar
from dataclasses import dataclass

#: The standard says 82 characters; receivers with long talkers go beyond.
LONGEST = 200
_WEEKS_S = 1024 * 7 * 86400
_DAY_S = 86_400


class BadSentence(ValueError):
    """It is no sentence that was sent as it came."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence.

    Attributes:
        kind: without the talker, such as "RMC".
        talker: such as "GN".
        fields: as they came.
    """

    talker: str
    kind: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """What a receiver says about the time.

    Attributes:
        epoch_s: seconds since 1970 of the moment it speaks of.
        fraction_s: of that second; 0 in what a receiver says once a second.
        fix: whether it knows it from satellites; without that it is a clock that was set at the factory.
    """

    epoch_s: int
    fraction_s: float
    fix: bool


def parse(line: bytes) -> Sentence:
    """Read one line without its end.

    Raises:
        BadSentence: not NMEA, damaged, or without the checksum that tells.
    """
    if len(line) > LONGEST:
        raise BadSentence("too long")
    start = line.rfind(b"$")
    if start < 0:
        raise BadSentence("no sentence")
    body, star, checksum = line[start + 1 :].partition(b"*")
    if not star or len(checksum) != 2:
        raise BadSentence("no checksum")
    wanted = 0
    for byte in body:
        wanted ^= byte
    try:
        right = int(checksum.decode("ascii"), 16) == wanted
        head, *fields = body.decode("ascii").split(",")
    except (UnicodeDecodeError, ValueError):
        raise BadSentence("not text") from None
    if not right:
        raise BadSentence("damaged on the way")
    if len(head) != 5 or not head.isalnum():
        raise BadSentence("a maker's own sentence")
    return Sentence(head[:2], head[2:], tuple(fields))


def time_said(sentence: Sentence) -> Said | None:
    """The time in a RMC sentence, the only one with date, time and fix together; None in others and where fields are empty.

    Raises:
        BadSentence: the fields make no time.
    """
    fields = sentence.fields
    if sentence.kind == "RMC" and len(fields) >= 9:
        clock, status, date = fields[0], fields[1], fields[8]
        if not clock or not date:
            return None
        if len(date) != 6 or not _digits(date):
            raise BadSentence(f"{date!r} is no date")
        day, month, year = int(date[:2]), int(date[2:4]), 2000 + int(date[4:])
        return _said(year, month, day, clock, fix=status == "A")
    return None


def unrolled(epoch_s: int, floor_s: int) -> int:
    """`epoch_s`, moved on by as many times 1024 weeks as bring it past `floor_s`.

    GPS counts its weeks with ten bits. A receiver that is older than the last time they ran over tells a date 19.6 years in
    the past, with the right time of day.

    Args:
        epoch_s: as told.
        floor_s: a time that is past for certain, such as that of this software.
    """
    # A day of grace: the receiver is right, and it is our own floor that was made in another time zone's afternoon.
    behind_s = floor_s - _DAY_S - epoch_s
    return epoch_s if behind_s <= 0 else epoch_s + -(-behind_s // _WEEKS_S) * _WEEKS_S


def _said(year: int, month: int, day: int, clock: str, *, fix: bool) -> Said:
    whole, _, rest = clock.partition(".")
    if len(whole) != 6 or not _digits(whole) or (rest and not _digits(rest)) or len(rest) > 9:
        raise BadSentence(f"{clock!r} is no time of day")
    hour, minute, second = int(whole[:2]), int(whole[2:4]), int(whole[4:])
    # 60 is a leap second: the same moment as the next minute's first for everybody who counts seconds since 1970.
    if not (1980 <= year <= 2199 and 1 <= month <= 12 and hour <= 23 and minute <= 59 and second <= 60):
        raise BadSentence("no such time")
    if not 1 <= day <= calendar.monthrange(year, month)[1]:
        raise BadSentence("no such day")
    epoch_s = calendar.timegm((year, month, day, hour, minute, second))
    return Said(epoch_s, float(f"0.{rest}") if rest else 0.0, fix)


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()
