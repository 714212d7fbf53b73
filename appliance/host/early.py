"""Signals that come before the event loop is there to take them: a request to read the configuration again ends nothing."""

from __future__ import annotations

import signal


class EarlySignals:
    """From the first line of a start until its loop takes over.

    SIGHUP, which would end the process, is remembered. SIGINT ends it as SIGTERM does, at once and without a traceback:
    nothing runs yet that had to be stopped.
    """

    def __init__(self) -> None:
        self.hung_up = False
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, self._note)

    def _note(self, *_: object) -> None:
        self.hung_up = True
