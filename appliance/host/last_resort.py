"""An end that always comes: a thread that leaves the process when nothing else manages to after SIGTERM."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterable


class LastResort:
    """Leaves hard `after_s` after the first of some signals, whatever the event loop or a thread hangs in.

    The handler only writes a byte: it may interrupt code that holds any lock.

    Args:
        signals: to be installed after the loop's own handlers, which go on working beside it.
    """

    def __init__(self, signals: Iterable[signal.Signals], *, after_s: float) -> None:
        self._after_s = after_s
        self._signalled = False
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._thread = threading.Thread(target=self._wait, name="last-resort", daemon=True)
        self._thread.start()
        for number in signals:
            signal.signal(number, self._on_signal)

    def _on_signal(self, *_: object) -> None:
        self._signalled = True
        with contextlib.suppress(OSError):  # told often enough already, or closed
            os.write(self._write, b"!")

    def close(self) -> None:
        """Stand down, unless a signal came: then it stays on watch until the process has really ended."""
        if not self._signalled:
            os.close(self._write)
            self._thread.join()
            os.close(self._read)

    def _wait(self) -> None:
        if not os.read(self._read, 1):
            return
        threading.Event().wait(self._after_s)
        sys.stderr.write("something does not let go: leaving without it\n")
        sys.stderr.flush()
        os._exit(0)
