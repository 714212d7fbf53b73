"""The receiver: a serial line that it speaks NMEA on, or gpsd, which speaks with it; told seconds come out, whatever happens to it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any

from appliance_gps.reading import gpsd, nmea
from appliance_gps.reading.clocks import Now
from appliance_gps.reading.completing import Told
from appliance_gps.reading.feed import Sample, full
from appliance_gps.reading.serial_port import Lines, NoReceiver, SerialPort

_SECOND_NS = 1_000_000_000
_AGAIN_NS = 2 * _SECOND_NS
#: What came made no sense for so long: another speed.
_NONSENSE_NS = 3 * _SECOND_NS
_SILENT_NS = 5 * _SECOND_NS
#: A pause like this separates the sentences of one second from those of the next.
_PAUSE_NS = 100_000_000


class Receiving:
    """Keeps the way to the receiver open and follows what it says.

    Attributes:
        forbidden: this process may not open the line, and will not be allowed to.
    """

    def __init__(
        self, receiver: str, *, speed: int, gpsd_port: int, floor_s: int,
        watch: Callable[[Any, Callable[[], None]], None], forget: Callable[[Any], None],
        told: Callable[[Told], Sample | None], lost: Callable[[], None],
        gps: Callable[[Sample], bool], pps: Callable[[Sample], bool], now: Callable[[], Now],
    ) -> None:  # fmt: skip
        self._receiver, self._speed, self._gpsd_port, self._floor_s = receiver, speed, gpsd_port, floor_s
        self._watch, self._forget, self._told, self._lost = watch, forget, told, lost
        self._gps, self._pps, self._now = gps, pps, now
        self._open: SerialPort | socket.socket | None = None
        self.forbidden = False
        self._lines = Lines()
        self._problem = ""
        self._again_ns = 0
        self._good = self._damaged = 0
        self._heard_ns: int | None = None  # any bytes
        self._sense_ns: int | None = None  # a good sentence, or the last change of speed
        self._burst = (0, 0)
        self._fix = False
        self._said_s: int | None = None
        self._said_ns: int | None = None
        self._rolled_over = False

    def tick(self, now: Now) -> None:
        """Once a second: open what is not open, listen at another speed when nothing makes sense."""
        if not self._receiver:
            return
        if self._open is None:
            if now.mono_ns >= self._again_ns:
                self._connect(now)
            return
        if (
            isinstance(self._open, SerialPort) and not self._speed and self._heard_ns is not None and self._sense_ns is not None
            and now.mono_ns - self._heard_ns < _SECOND_NS and now.mono_ns - self._sense_ns > _NONSENSE_NS
        ):  # fmt: skip
            with contextlib.suppress(OSError):
                self._open.try_next_speed()
            self._sense_ns = now.mono_ns
        if self._said_ns is not None and now.mono_ns - self._said_ns > _SILENT_NS and self._fix:
            self._no_fix()

    def state(self, now: Now) -> dict[str, Any]:
        """As JSON-able values. `standing` is "absent", "silent", "nonsense", "no fix" or "fix"."""
        heard = self._heard_ns is not None and now.mono_ns - self._heard_ns < _SILENT_NS
        sense = self._good > 0 and self._sense_ns is not None and now.mono_ns - self._sense_ns < _SILENT_NS
        if self._open is None:
            standing = "absent"
        elif not heard:
            standing = "silent"
        elif not sense:
            standing = "nonsense"
        else:
            standing = "fix" if self._fix else "no fix"
        return {
            "standing": standing, "problem": self._problem, "device": self._receiver,
            "speed": self._open.speed if isinstance(self._open, SerialPort) else None,
            "said_s": self._said_s, "age_s": None if self._said_ns is None else (now.mono_ns - self._said_ns) / 1e9,
            "rolled_over": self._rolled_over, "sentences": self._good, "damaged": self._damaged,
        }  # fmt: skip

    def close(self) -> None:
        if self._open is not None:
            self._forget(self._open)
            self._open.close()
            self._open = None

    # -- parts --------------------------------------------------------------------------------------------------------

    def _connect(self, now: Now) -> None:
        self._again_ns = now.mono_ns + _AGAIN_NS
        self._lines = Lines()
        try:
            if self._receiver == "gpsd":
                self._open = socket.create_connection(("127.0.0.1", self._gpsd_port), timeout=1.0)
                self._open.sendall(gpsd.WATCH)
                self._open.setblocking(False)  # noqa: FBT003 - that is its name
            else:
                self._open = SerialPort(self._receiver, self._speed)
        except NoReceiver as problem:
            self._problem = str(problem)
            self.forbidden = problem.forbidden
            return
        except OSError as error:
            self.close()
            self._problem = f"gpsd does not answer on port {self._gpsd_port}: {error.strerror or error}"
            return
        self._problem = ""
        self._heard_ns, self._sense_ns = None, now.mono_ns
        self._watch(self._open, self._read)

    def _read(self) -> None:
        assert self._open is not None
        try:
            if isinstance(self._open, SerialPort):
                content = self._open.read()
            else:
                content = self._open.recv(65536)
                if not content:
                    raise ConnectionResetError(0, "gpsd hung up")
        except BlockingIOError:
            return
        except OSError as error:
            self.close()
            self._no_fix()
            self._problem = f"{self._receiver} was lost ({error.strerror})"
            return
        now = self._now()
        if self._heard_ns is None or now.mono_ns - self._heard_ns > _PAUSE_NS:
            self._burst = (now.raw_ns, now.system_ns)
        self._heard_ns = now.mono_ns
        for line in self._lines.take(content):
            if self._receiver == "gpsd":
                self._gpsd_line(line, now)
            else:
                self._nmea_line(line, now)

    def _nmea_line(self, line: bytes, now: Now) -> None:
        try:
            sentence = nmea.parse(line)
            said = nmea.time_said(sentence)
        except nmea.BadSentence:
            self._damaged += 1
            return
        self._good += 1
        self._sense_ns = now.mono_ns
        if said is None:
            return
        if not said.fix:
            self._no_fix()
            return
        if said.fraction_s:
            return  # one of several in a second: only the first is the pulse's
        # Of the burst and not of this sentence: those before it in the same second take their time on the line. A line that never
        # pauses has no bursts.
        began = self._burst if now.raw_ns - self._burst[0] < _SECOND_NS else (now.raw_ns, now.system_ns)
        self._second(said.epoch_s, began, now)

    def _second(self, epoch_s: int, began: tuple[int, int], now: Now) -> None:
        true_s = nmea.unrolled(epoch_s, self._floor_s)
        self._rolled_over = true_s != epoch_s
        self._fix, self._said_s, self._said_ns = True, true_s, now.mono_ns
        sample = self._told(Told(true_s, *began))
        if sample is not None:
            self._gps(sample)

    def _gpsd_line(self, line: bytes, now: Now) -> None:
        heard = gpsd.heard(line)
        if heard is None:
            return
        self._good += 1
        self._sense_ns = now.mono_ns
        if isinstance(heard, gpsd.Fix):
            if heard.mode < 2:
                self._no_fix()
        elif heard.precise:
            self._pps(
                full(
                    heard.system_ns,
                    nmea.unrolled(heard.true_ns // _SECOND_NS, self._floor_s) * _SECOND_NS
                    + heard.true_ns % _SECOND_NS,
                )
            )
        elif heard.true_ns % _SECOND_NS == 0:
            ago_ns = now.system_ns - heard.system_ns
            if 0 <= ago_ns < _SILENT_NS:
                self._second(heard.true_ns // _SECOND_NS, (now.raw_ns - ago_ns, heard.system_ns), now)

    def _no_fix(self) -> None:
        self._fix = False
        self._lost()
