"""What the kernel knows about the system clock: `adjtimex` with nothing to set, which needs no privilege."""

from __future__ import annotations

import ctypes
import functools
import os
from dataclasses import dataclass
from typing import ClassVar

STA_INS = 0x0010
STA_DEL = 0x0020
STA_UNSYNC = 0x0040
STA_NANO = 0x2000

#: Return values of adjtimex(2): the state of the clock.
TIME_INS = 1
TIME_DEL = 2
TIME_OOP = 3
TIME_ERROR = 5


class Timex(ctypes.Structure):
    """`struct timex` of the C library: `long` is what the architecture makes of it, so one layout fits 32 and 64 bits."""

    _fields_: ClassVar = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("time_s", ctypes.c_long),
        ("time_sub", ctypes.c_long),
        ("tick", ctypes.c_long),
        ("ppsfreq", ctypes.c_long),
        ("jitter", ctypes.c_long),
        ("shift", ctypes.c_int),
        ("stabil", ctypes.c_long),
        ("jitcnt", ctypes.c_long),
        ("calcnt", ctypes.c_long),
        ("errcnt", ctypes.c_long),
        ("stbcnt", ctypes.c_long),
        ("tai", ctypes.c_int),
        ("reserved", ctypes.c_int * 11),
    ]


@dataclass(frozen=True, slots=True)
class KernelReading:
    """The kernel's view of the system clock.

    Attributes:
        synchronised: somebody disciplines the clock and said so less than 16 s of error ago.
        state: return value of adjtimex, 0..5.
        leap: 0..3 as it would be served.
        offset_s: what is left to add to the clock by the kernel's own loop.
        frequency_ppm: correction of the frequency in force.
        max_error_s: the most that the clock may be wrong; grows by 500 ppm between updates.
        est_error_s: what it is likely wrong.
        tai_offset_s: TAI - UTC, 0 when nobody set it.
    """

    synchronised: bool
    state: int
    leap: int
    offset_s: float
    frequency_ppm: float
    max_error_s: float
    est_error_s: float
    tai_offset_s: int


def read_kernel() -> KernelReading:
    """Ask the kernel.

    Raises:
        OSError: the call is not allowed here (a strict container).
    """
    libc = _libc()
    timex = Timex(modes=0)
    state = libc.adjtimex(ctypes.byref(timex))
    if state < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return reading_from(timex, state)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def reading_from(timex: Timex, state: int) -> KernelReading:
    """Make sense of what adjtimex filled in and returned."""
    synchronised = state != TIME_ERROR and not timex.status & STA_UNSYNC
    if not synchronised or state == TIME_OOP:
        leap = 3
    elif timex.status & STA_INS or state == TIME_INS:
        leap = 1
    elif timex.status & STA_DEL or state == TIME_DEL:
        leap = 2
    else:
        leap = 0
    return KernelReading(
        synchronised=synchronised,
        state=state,
        leap=leap,
        offset_s=timex.offset * (1e-9 if timex.status & STA_NANO else 1e-6),
        frequency_ppm=timex.freq / 65536,
        max_error_s=max(0, timex.maxerror) / 1e6,
        est_error_s=max(0, timex.esterror) / 1e6,
        tai_offset_s=timex.tai,
    )
