"""What the reader tells once a second, checked, and what it means in words. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from appliance.core import figures


class _Told(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)


class PulseTold(_Told):
    """See `reading.pulses.PulseState`; `problem` says why the pin cannot be read."""

    standing: Literal["silent", "searching", "locked"]
    leading: Literal["rising", "falling"] | None
    width_s: float | None
    good: int
    missed: int
    glitches: int
    jitter_s: float | None
    rate_ppm: float | None
    edges_per_s: float
    age_s: float | None
    advice: str
    problem: str
    chip: str
    line: int
    lost_edges: int


class ReceiverTold(_Told):
    """What became of the receiver.

    Attributes:
        said_s: the last second that it told with a fix, epoch seconds; `age_s` ago.
        rolled_over: its week counter ran over, and was put right.
    """

    standing: Literal["absent", "silent", "nonsense", "no fix", "fix"]
    problem: str
    device: str
    speed: int | None
    said_s: int | None
    age_s: float | None
    rolled_over: bool
    sentences: int
    damaged: int


class FedTold(_Told):
    """What chronyd took of our samples."""

    sent: int
    problem: str


class ReaderTold(_Told):
    """One line of the reader.

    Attributes:
        late_s: how long after its pulse the receiver begins to speak.
    """

    pulse: PulseTold | None
    receiver: ReceiverTold | None
    late_s: float | None
    gps: FedTold
    pps: FedTold


def problems(told: ReaderTold) -> list[str]:
    """What is wrong, each in a sentence with what would help; none when time flows."""
    found = []
    pulse, receiver = told.pulse, told.receiver
    if pulse is not None:
        found += _of_pulse(pulse)
        if not found and receiver is not None and receiver.standing == "fix" and told.pps.problem:
            found.append(told.pps.problem)
    if receiver is not None:
        found += _of_receiver(receiver)
        if receiver.standing == "fix" and told.gps.problem and not told.gps.problem.startswith("nothing"):
            found.append(told.gps.problem)
    return found


def _of_pulse(pulse: PulseTold) -> list[str]:
    if pulse.problem:
        return [pulse.problem]
    if pulse.standing == "locked" and (pulse.age_s is None or pulse.age_s < 3):
        return [pulse.advice] if pulse.advice else []
    since = f"no pulse for {pulse.age_s:.0f} s" if pulse.age_s is not None else "no pulse was seen yet"
    return [f"{since}: {pulse.advice}" if pulse.advice else since]


def _of_receiver(receiver: ReceiverTold) -> list[str]:
    says = {
        "absent": receiver.problem or "the receiver is not open yet",
        "silent": "the receiver says nothing: is it powered, and is this the right line?",
        "nonsense": "what the receiver sends is no NMEA at any speed that was tried: set it to NMEA, or set the speed",
        "no fix": "the receiver knows no time from satellites: give its antenna a view of the sky, and some minutes",
    }
    found = [says[receiver.standing]] if receiver.standing in says else []
    if receiver.rolled_over:
        found.append(
            "the receiver's date is 1,024 weeks or more behind: its week counter has run over. This is put right here, but the "
            "receiver is old, and other programs will not notice"
        )
    return found


def verdict(told: ReaderTold) -> str:
    """One sentence: what flows."""
    wrong = problems(told)
    pulse, receiver = told.pulse, told.receiver
    if pulse is not None and pulse.standing == "locked" and not pulse.problem:
        jitter = f", jitter {figures.seconds(pulse.jitter_s)}" if pulse.jitter_s is not None else ""
        seconds = "seconds from the receiver" if receiver is not None and receiver.standing == "fix" else (
            "seconds from the network" if receiver is None else "and no seconds"
        )  # fmt: skip
        return f"A pulse each second{jitter}, {seconds}."
    if receiver is not None and receiver.standing == "fix" and pulse is None and receiver.said_s is not None:
        return f"The receiver has a fix and says {_moment(receiver.said_s)}."
    first = wrong[0] if wrong else "waiting for the first pulses"
    return f"{first[:1].upper()}{first[1:]}."


def _moment(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
