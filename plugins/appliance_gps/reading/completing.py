"""Gives each pulse its second: a pulse says exactly when a second began, the receiver's sentence says, late, which one. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from appliance_gps.reading.feed import Sample, bare_pulse, full

_SECOND_NS = 1_000_000_000
#: The receiver has to count on like this before it is believed: some tell a wrong second or date while they wake up.
_AGREE = 3
#: After so long without a sentence with a fix, pulses have no seconds any more.
_SILENT_NS = 5 * _SECOND_NS
#: A sentence belongs to the pulse before it, if it comes within the same second.
_LATEST_NS = 950_000_000


@dataclass(frozen=True, slots=True)
class Pulse:
    """A good pulse.

    Attributes:
        raw_ns: on CLOCK_MONOTONIC_RAW.
        system_ns: on the system clock.
    """

    raw_ns: int
    system_ns: int


@dataclass(frozen=True, slots=True)
class Told:
    """The receiver's word: `epoch_s` began some time before `raw_ns` / `system_ns`, when its first byte came."""

    epoch_s: int
    raw_ns: int
    system_ns: int


class Completing:
    """Makes samples from pulses and sentences.

    Attributes:
        agreed: sentences in a row that counted on as they should.
        sentence_late_s: how long after its pulse the latest sentence came; None without pulses.
    """

    def __init__(self, *, receiver: bool, pulse_delay_s: float = 0.0, sentence_delay_s: float = 0.0) -> None:
        """Start with nothing known.

        Args:
            receiver: whether one tells the seconds; without, pulses are handed on bare.
            pulse_delay_s: how late a pulse is: cable (5 ns a metre) and receiver.
            sentence_delay_s: how late a sentence begins after its second.
        """
        self._receiver = receiver
        self._pulse_delay_ns = round(pulse_delay_s * 1e9)
        self._sentence_delay_ns = round(sentence_delay_s * 1e9)
        self._told: Told | None = None
        self._anchor: tuple[int, int] | None = None  # raw_ns of a pulse, its second
        self._pulse: Pulse | None = None
        self.agreed = 0
        self.sentence_late_s: float | None = None

    def told(self, told: Told) -> Sample | None:
        """Take a sentence; the sample that it makes by itself, if it is believed."""
        before, self._told = self._told, told
        if before is not None:
            passed = round((told.raw_ns - before.raw_ns) / _SECOND_NS)
            if told.epoch_s == before.epoch_s:
                self._told = before  # the second sentence of the same burst
                return None
            self.agreed = self.agreed + 1 if told.epoch_s - before.epoch_s == passed else 0
        if self.agreed < _AGREE:
            self._anchor = None
            return None
        pulse = self._pulse
        if pulse is not None and 0 < told.raw_ns - pulse.raw_ns < _LATEST_NS:
            self._anchor = (pulse.raw_ns, told.epoch_s)
            self.sentence_late_s = (told.raw_ns - pulse.raw_ns) / 1e9
        return full(told.system_ns, told.epoch_s * _SECOND_NS + self._sentence_delay_ns)

    def lost(self) -> None:
        """The receiver says that it has no fix: what it said before counts no more."""
        self._told = self._anchor = None
        self.agreed = 0

    def pulse(self, pulse: Pulse) -> Sample | None:
        """Take a good pulse; the sample that it makes, or None when nobody knows its second."""
        self._pulse = pulse
        at_ns = pulse.system_ns - self._pulse_delay_ns
        if not self._receiver:
            return bare_pulse(at_ns)
        if self._anchor is None or self._told is None or pulse.raw_ns - self._told.raw_ns > _SILENT_NS:
            return None
        anchored_ns, epoch_s = self._anchor
        seconds = round((pulse.raw_ns - anchored_ns) / _SECOND_NS)
        return full(at_ns, (epoch_s + seconds) * _SECOND_NS)
