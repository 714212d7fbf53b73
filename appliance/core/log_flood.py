"""Keeps one source from filling the log, and the disk below it: what is too much is counted, and told with the next line."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

#: Lines at once and lines a second, of plugins and of libraries; asyncio alone tells of descriptors that have run out 900 times a second.
OURS, LIBRARIES = (2000, 50.0), (50, 1.0)
#: Loggers that are remembered.
_MOST = 1000
#: What other programs count must be whole: fail2ban reads who failed to sign in.
_WHOLE = frozenset(("timeball.login", "timeball.people", "timeball.audit"))


class Flood(logging.Filter):
    """Lets the lines of a logger through until there are too many."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now_s = now_s
        self._known: dict[str, tuple[float, float, int]] = {}  # what it may, as of when, left out since

    def filter(self, record: logging.LogRecord) -> bool:
        name, now_s = record.name, self._now_s()
        if name in _WHOLE:
            return True
        most, per_s = OURS if name.startswith("timeball.") else LIBRARIES
        may, then_s, left_out = self._known.get(name, (float(most), now_s, 0))
        may = min(most, may + (now_s - then_s) * per_s)
        if may < 1:
            self._known[name] = may, now_s, left_out + 1
            return False
        if name not in self._known and len(self._known) >= _MOST:
            self._known.clear()
        self._known[name] = may - 1, now_s, 0
        if left_out:
            record.msg, record.args = f"{record.getMessage()} ({left_out:,} lines of it were left out)", None
        return True
