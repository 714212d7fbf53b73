"""The first lines of a start: how signals are taken before the event loop is there, and how often garbage is looked for.

A request to read the configuration again ends nothing, however early it comes.
"""

from __future__ import annotations

import gc
import signal

#: New objects before a look for circles among them, and looks before a wider one. Python's own 700 brings a look at everything,
#: 10 ms long, with every twentieth page of 500 members, and it finds next to nothing: what pages make does not form circles.
#: Nearly everything that a start makes stays, and would be looked at again and again.
COLLECT_AFTER = (10_000, 10, 10)


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


def collect_seldom() -> None:
    """Look for garbage in circles as seldom as a process does that serves for months."""
    gc.set_threshold(*COLLECT_AFTER)
