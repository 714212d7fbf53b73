"""The C library's heap: kept small where that library lets us, because a small board has no memory to leave lying about."""

from __future__ import annotations

import contextlib
import ctypes
import re
from typing import Final

#: Parameters of mallopt(3), as glibc numbers them.
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
#: Larger blocks are given back as soon as they are free. Left to itself glibc raises this to what it saw last, a page's text for instance.
_LARGE_BYTES: Final = 128 * 1024
#: One heap for the event loop and one for threads that meet it busy. Left to itself glibc makes eight for each processor, and the threads
#: that serve packets take no memory while they do.
_ARENAS: Final = 2


def keep_small() -> None:
    """Call before there are threads; without glibc nothing happens."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        for parameter, value in (
            (_ARENA_MAX, _ARENAS),
            (_MMAP_THRESHOLD, _LARGE_BYTES),
            (_TRIM_THRESHOLD, _LARGE_BYTES),
        ):
            library.mallopt(parameter, value)


def give_back() -> None:
    """What reading and building left free goes back to the system."""
    re.purge()  # patterns that were needed once; those that are kept stand in their modules
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
