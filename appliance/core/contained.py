"""What plugins' code may do to end the process for everybody, made an ordinary fault of theirs: exits, interrupts, hanging."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

log = logging.getLogger("timeball.host")

#: What begins once, at the start or after an edit, is told of when it takes so long, and ended when it takes far too long.
TELL_S: Final = 5.0
MOST_S: Final = 30.0
#: Code may catch what ends it, so it comes again.
_AGAIN_S: Final = 1.0


class Escaped(Exception):
    """Somebody's code raised what ends a program (`SystemExit`, `KeyboardInterrupt`, ...); `str` says what."""


class TookTooLong(Exception):
    """Somebody's code did not come to an end; `str` says where it was."""


@contextmanager
def contained(*, cancelling: bool = False) -> Iterator[None]:
    """Whatever is raised inside and is no `Exception` comes out as `Escaped`.

    Args:
        cancelling: cancellations and closed generators, too: what is awaited nowhere can be neither.

    Raises:
        Escaped: as told.
    """
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError | GeneratorExit) and not cancelling:
            raise
        raise Escaped(f"it wanted to end the process ({type(error).__name__}: {error})") from error


@contextmanager
def in_time(what: str, *, tell_s: float = TELL_S, most_s: float = MOST_S) -> Iterator[None]:
    """Tell the log when `what` ("the plugin x, while it is imported,") takes long, and end it when it takes far too long.

    For code that is called in the main thread and awaits nothing. A loop of Python or a sleep is ended; a call into a library
    that does not come back is not. Where a timer of the process is in use already (tests have one), nothing is limited.

    Raises:
        TookTooLong: inside, and inside again if it is caught there.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return
    began_s = time.monotonic()

    def ring(_number: int, frame: FrameType | None) -> None:
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "nowhere"
        took_s = time.monotonic() - began_s
        if took_s < most_s:
            log.warning("%s takes long: %.0f s so far, at %s", what, took_s, where)
            signal.setitimer(signal.ITIMER_REAL, most_s - took_s, _AGAIN_S)
        else:
            raise TookTooLong(f"it took more than {most_s:.0f} s, at {where}")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, tell_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
