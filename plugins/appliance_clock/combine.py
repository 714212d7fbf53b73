"""What a source says, turned into the `ClockState` that is served. Pure: every moment is an argument.

The system clock is served, not chronyd's corrected idea of it, so what chronyd has still to correct is either so small that
it counts as error, or is added by the data plane, or is so large that we say "unsynchronised" until it shrinks.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from appliance.api.model import ClockState
from appliance.core.figures import seconds
from appliance_clock.chrony import Tracking
from appliance_clock.config import ClockConfig
from appliance_clock.kernel import KernelReading
from appliance_clock.leap import LeapWatch

#: Up to here a pending correction counts as error; past it, it is applied.
CORRECTION_IGNORED_S = 100e-6
#: Past this the correction changes faster than we could follow it.
CORRECTION_REFUSED_S = 10e-3
#: chronyd slews by at most this much by default (`maxslewrate`), seconds per second.
MAX_SLEW_RATE = 83_333e-6
#: Our own timestamps: scheduling and the two readings of the clock.
TIMESTAMP_ERROR_S = 5e-6
#: The most that chrony takes an undisciplined clock to drift beyond what was measured (`maxclockerror`).
CLOCK_ERROR_PPM = 1.0
#: RFC 5905's PHI: what an unattended clock may drift.
UNATTENDED_PPM = 15.0
#: The kernel lets its own bound grow by this much (500 ppm, MAXFREQ).
KERNEL_RATE = 500e-6
#: systemd-timesyncd tells the kernel an error of 0. Nobody is that good over a network with a few samples.
KERNEL_ERROR_FLOOR_S = 0.01
#: "The local clock", as chrony and ntpd write it; and our own mark for "the kernel says so".
LOCAL_REFID = bytes((127, 127, 1, 1))
KERNEL_REFID = bytes((127, 127, 1, 2))


class Moment(NamedTuple):
    """The same instant on both clocks."""

    mono_ns: int
    wall_ns: int


class TrackingRecord:
    """What successive tracking replies of chronyd add up to.

    Attributes:
        tracking: the last reply.
        heard: when it came, or None.
        slewing: a correction is being applied: ask ten times a second.
    """

    def __init__(self, config: ClockConfig, precision: int) -> None:
        self.config = config
        self.tracking: Tracking | None = None
        self.heard: Moment | None = None
        self.slewing = False
        self._precision = precision
        self._leap = LeapWatch()
        self._state: ClockState | None = None
        self._aged = False
        self._distrusted_ns: int | None = None

    def take(self, tracking: Tracking, at: Moment) -> ClockState:
        """The state that follows from a reply that came at `at`."""
        rate = self._correction_rate(tracking, at)
        self.tracking, self.heard, self._aged = tracking, at, False
        self.slewing = CORRECTION_IGNORED_S <= abs(tracking.correction_s) <= CORRECTION_REFUSED_S
        self._leap.note(tracking.leap, at.wall_ns)
        if self._distrusted_ns is not None and tracking.reference_ns != self._distrusted_ns:
            self._distrusted_ns = None
        why_not = self._why_not(tracking, at)
        if why_not:
            self._state = self._unsynchronised(why_not, at)
        else:
            self._state = self._synchronised(tracking, at, rate)
        return self._state

    def miss(self, at: Moment, why: str) -> ClockState | None:
        """The state that follows from a question that nobody answered; None while the last one still stands.

        Args:
            at: when we gave up waiting.
            why: what was tried, in words.
        """
        self.slewing = False
        if self.heard is None or self._state is None:
            return self._unsynchronised(f"{why}: start chronyd, or choose another source", at)
        silent_s = (at.mono_ns - self.heard.mono_ns) / 1e9
        if silent_s < self.config.stale_after_s:
            return None
        if not self._state.synchronised(at.mono_ns):
            self._aged = False
            return self._unsynchronised(f"{why}; the last answer came {silent_s:.0f} s ago", at)
        return self.unattended(
            at, f"{why}; the clock runs unattended since {_clock_time(self.heard.wall_ns)}"
        )

    def given_up(self, at: Moment) -> bool:
        """Whether chronyd was silent for so long (or always) that another source may be asked."""
        return self.heard is None or (at.mono_ns - self.heard.mono_ns) / 1e9 >= self.config.give_up_after_s

    def unattended(self, at: Moment, why: str = "") -> ClockState | None:
        """The last state as it ages from now on, if it is still worth something; None when that is said already.

        Nobody watches the clock: it runs away at what crystals do, beyond what was uncertain already.
        """
        state, tracking = self._state, self.tracking
        if self._aged or state is None or tracking is None or not state.synchronised(at.mono_ns):
            return None
        self._aged = True
        slewing = state.dispersion_rate if state.correction_s else 0.0
        self._state = replace(
            state,
            root_dispersion_s=state.dispersion_s(at.mono_ns),
            dispersion_rate=max(slewing, (UNATTENDED_PPM + abs(tracking.skew_ppm)) * 1e-6),
            as_of_mono_ns=at.mono_ns,
            as_of_wall_ns=_moved(state, at),
            why=why or state.why,
        )
        return self._state

    @property
    def is_unattended(self) -> bool:
        """Whether the last state ages without anybody looking at the clock."""
        return self._aged

    def stepped(self, step_s: float, at: Moment) -> None:
        """Somebody set the clock: what chronyd measured before says nothing about it now.

        chronyd's own steps come with an update, so the next reply is believed; for anybody else's we wait until chronyd
        has measured anew. The kernel's leap second is a step too, and the only one that nobody need measure again.
        """
        if self._leap.open(at.wall_ns) and abs(abs(step_s) - 1.0) < 0.1:
            return
        if self.tracking is not None:
            self._distrusted_ns = self.tracking.reference_ns
        self.heard, self._state, self._aged = None, None, False

    def _why_not(self, tracking: Tracking, at: Moment) -> str | None:
        if self._leap.open(at.wall_ns):
            return "a leap second is passing: no time is better than a doubtful one for these four seconds"
        if tracking.leap == 3 or not 1 <= tracking.stratum <= 15:
            return "chronyd is not synchronised: it has no source that it trusts yet"
        if self._distrusted_ns is not None:
            return "the system clock was set by somebody else; waiting for chronyd's next measurement"
        if abs(tracking.correction_s) > CORRECTION_REFUSED_S:
            return f"chronyd is still correcting the clock by {seconds(tracking.correction_s, signed=True)}"
        return None

    def _synchronised(self, tracking: Tracking, at: Moment, correction_rate: float) -> ClockState:
        dispersion_s = max(0.0, tracking.root_dispersion_s) + TIMESTAMP_ERROR_S
        rate = (abs(tracking.skew_ppm) + abs(tracking.residual_ppm) + CLOCK_ERROR_PPM) * 1e-6
        correction_s = 0.0
        if self.slewing:
            correction_s = tracking.correction_s
            rate += correction_rate
        else:
            dispersion_s += abs(tracking.correction_s)
        state = ClockState(
            leap=tracking.leap,
            stratum=tracking.stratum,
            refid=tracking.refid,
            reference_ns=max(0, min(tracking.reference_ns, at.wall_ns)),
            root_delay_s=max(0.0, tracking.root_delay_s),
            root_dispersion_s=dispersion_s,
            dispersion_rate=rate,
            as_of_mono_ns=at.mono_ns,
            as_of_wall_ns=at.wall_ns,
            correction_s=correction_s,
            precision=self._precision,
            max_distance_s=self.config.max_distance_s,
            expires_mono_ns=_expiry(at, self._leap, self.config),
            source="chrony",
            why=f"chronyd follows {tracking.source or _name(tracking.refid)}",
        )
        return bounded(state, at)

    def _unsynchronised(self, why: str, at: Moment) -> ClockState:
        return ClockState.unsynchronised(why, source="chrony", mono_ns=at.mono_ns, precision=self._precision)

    def _correction_rate(self, tracking: Tracking, at: Moment) -> float:
        """How fast the pending correction changes, in seconds per second; the most that it can when we cannot tell.

        We cannot on the first reply of a slew: what came before it belongs to an earlier measurement.
        """
        if (
            self.tracking is None
            or self.heard is None
            or not self.slewing
            or at.mono_ns <= self.heard.mono_ns
        ):
            return MAX_SLEW_RATE
        elapsed_s = (at.mono_ns - self.heard.mono_ns) / 1e9
        return abs(tracking.correction_s - self.tracking.correction_s) / elapsed_s


def kernel_state(
    reading: KernelReading, at: Moment, leap: LeapWatch, precision: int, config: ClockConfig
) -> ClockState:
    """The state when only the kernel knows: one bound on the error, and a stratum that somebody has to say."""
    leap.note(reading.leap, at.wall_ns)
    why_not = None
    if not reading.synchronised:
        why_not = "the kernel says that nobody disciplines the clock: run a clock daemon such as chronyd"
    elif leap.open(at.wall_ns) or reading.leap == 3:
        why_not = "a leap second is passing: no time is better than a doubtful one for these four seconds"
    elif abs(reading.offset_s) > CORRECTION_REFUSED_S:
        why_not = f"the kernel is still correcting the clock by {seconds(reading.offset_s, signed=True)}"
    if why_not:
        return ClockState.unsynchronised(why_not, source="kernel", mono_ns=at.mono_ns, precision=precision)
    error_s = max(reading.max_error_s, reading.est_error_s, KERNEL_ERROR_FLOOR_S) + TIMESTAMP_ERROR_S
    # The kernel's bound grew from the last update on, so it cannot be longer ago than this.
    age_ns = int(reading.max_error_s / KERNEL_RATE * 1e9)
    state = ClockState(
        leap=reading.leap,
        stratum=config.kernel_stratum,
        refid=KERNEL_REFID,
        reference_ns=max(0, at.wall_ns - age_ns),
        root_delay_s=0.0,
        root_dispersion_s=error_s + abs(reading.offset_s),
        dispersion_rate=KERNEL_RATE,
        as_of_mono_ns=at.mono_ns,
        as_of_wall_ns=at.wall_ns,
        precision=precision,
        max_distance_s=config.max_distance_s,
        expires_mono_ns=_expiry(at, leap, config),
        source="kernel",
        why="the kernel says that the clock is disciplined, but not by whom",
    )
    return bounded(state, at)


def local_state(at: Moment, precision: int, config: ClockConfig) -> ClockState:
    """The state when the system clock is the truth by decree: its own reading error, and nothing else to say."""
    return ClockState(
        leap=0,
        stratum=config.local_stratum,
        refid=LOCAL_REFID,
        reference_ns=at.wall_ns // 1_000_000_000 * 1_000_000_000,
        root_delay_s=0.0,
        root_dispersion_s=TIMESTAMP_ERROR_S + 2.0**precision,
        dispersion_rate=UNATTENDED_PPM * 1e-6,
        as_of_mono_ns=at.mono_ns,
        precision=precision,
        max_distance_s=config.max_distance_s,
        expires_mono_ns=at.mono_ns + int(config.give_up_after_s * 1e9),
        source="local",
        why='the system clock is served as it is (source = "local"); nobody compares it with anything',
    )


def bounded(state: ClockState, at: Moment) -> ClockState:
    """`state`, or unsynchronised with the reason when its root distance passes the limit already."""
    distance_s = state.distance_s(at.mono_ns)
    if distance_s <= state.max_distance_s:
        return state
    return ClockState.unsynchronised(
        f"the clock may be wrong by {distance_s:.3g} s, more than the limit of {state.max_distance_s:g} s",
        source=state.source,
        mono_ns=at.mono_ns,
        precision=state.precision,
    )


def _moved(state: ClockState, at: Moment) -> int | None:
    """What the system clock says at `at` if nobody has set it since `state`: a step that was not noticed yet must not be forgotten."""
    return None if state.as_of_wall_ns is None else state.as_of_wall_ns + at.mono_ns - state.as_of_mono_ns


def _expiry(at: Moment, leap: LeapWatch, config: ClockConfig) -> int:
    """When readers stop to believe the state by themselves: a dead source, or the window around a leap second."""
    expires_ns = at.mono_ns + int(config.give_up_after_s * 1e9)
    opens_in_ns = leap.opens_in_ns(at.wall_ns)
    return expires_ns if opens_in_ns is None else min(expires_ns, at.mono_ns + opens_in_ns)


def _clock_time(wall_ns: int) -> str:
    return datetime.fromtimestamp(wall_ns / 1e9, UTC).strftime("%H:%M:%S UTC")


def _name(refid: bytes) -> str:
    """A reference clock's tag, or dotted numbers."""
    tag = refid.rstrip(b"\0")
    if tag and all(0x20 < byte < 0x7F for byte in tag):
        return tag.decode("ascii")
    return "its own clock" if refid == LOCAL_REFID else ".".join(str(byte) for byte in refid)
