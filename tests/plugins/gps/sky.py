"""A receiver in software: a pulse on a simulated pin and sentences on a pseudo terminal, each second of the system clock, as long as it is switched on."""

from __future__ import annotations

import os
import threading
import tty

from appliance.core.clock import SystemClock
from tests.plugins.gps.chips import FakeChips
from tests.plugins.gps.test_gps_nmea import rmc, sentence

S = 1_000_000_000
_now_ns = SystemClock().wall_ns


class Sky:
    """Runs in a thread of its own.

    Attributes:
        ahead_s: how far the system clock is ahead of the true time that this receiver knows.
        device: path of the serial line.
        status: "A" with a fix, "V" without.
        weeks: how far the receiver's date is behind.
        pulses, speaks: whether it does.
    """

    def __init__(self, chips: FakeChips | None = None, *, ahead_s: float = 0.0) -> None:
        self.chips = chips
        self.ahead_s = ahead_s
        self.status = "A"
        self.weeks = 0
        self.pulses = self.speaks = True
        self._ours, theirs = os.openpty()
        tty.setraw(theirs)
        self._theirs = theirs  # kept open: who opens and closes the line must not end it
        self.device = os.ttyname(theirs)
        self._off = threading.Event()
        self._thread = threading.Thread(target=self._shine, name="sky")

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._off.set()
        self._thread.join()
        os.close(self._ours)
        os.close(self._theirs)

    def _shine(self) -> None:
        ahead_ns = round(self.ahead_s * S)
        true_s = (_now_ns() - ahead_ns) // S + 1
        while not self._off.is_set():
            begins_ns = true_s * S + ahead_ns  # on the system clock
            if not self._until(begins_ns):
                return
            if self.pulses and self.chips is not None:
                # Dated as the kernel does, in its interrupt: exactly, although we are late.
                self.chips.edge("rising", begins_ns)
            if not self._until(begins_ns + S // 10):
                return
            if self.pulses and self.chips is not None:
                self.chips.edge("falling", begins_ns + S // 10)
            if self.speaks and self._until(begins_ns + S // 5):
                said = rmc(true_s - self.weeks * 7 * 86400, status=self.status)
                os.write(self._ours, sentence("GNGGA,1,2") + b"\r\n" + said + b"\r\n")
            true_s = max(true_s + 1, (_now_ns() - ahead_ns) // S)

    def _until(self, system_ns: int) -> bool:
        wait_s = (system_ns - _now_ns()) / S
        return not self._off.wait(max(0.0, wait_s))
