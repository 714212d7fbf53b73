"""How a probe is spread over time, and when a member is due again: pure figures from the configuration."""

from __future__ import annotations

from dataclasses import dataclass

from appliance_monitor.config import MonitorConfig
from appliance_monitor.standing import Standing
from appliance_monitor.target import LOCAL_INTERVAL_S, PUBLIC_GAP_S, PUBLIC_INTERVAL_S, is_local

#: At or below this score a member is looked at more rarely, by the pool's factor of 120 to 9 minutes.
HOPELESS_SCORE = -90.0
HOPELESS_FACTOR = 120 / 9
#: A probe leaves this share of its interval free.
_BUSY = 0.9
_SHORTEST_TIMEOUT_S = 0.2


@dataclass(frozen=True, slots=True)
class Pace:
    """One probe: `samples` requests, each waited for `timeout_s`, `spacing_s` between them."""

    samples: int
    spacing_s: float
    timeout_s: float

    def longest_s(self) -> float:
        """How long a probe takes that nobody answers."""
        return self.samples * self.timeout_s + (self.samples - 1) * self.spacing_s


def pace_of(address: str, config: MonitorConfig, samples: int | None = None) -> Pace:
    """How to probe `address`.

    As configured where the interval has room for it. A private target with a short interval is asked faster, so that the
    probe of a silent server ends before the next one is due; a public one never sees requests closer than the guard time.
    """
    wanted = Pace(samples or config.samples, config.sample_spacing_s, config.timeout_s)
    if not is_local(address):
        return Pace(wanted.samples, max(PUBLIC_GAP_S, wanted.spacing_s), wanted.timeout_s)
    room_s = config.interval_s * _BUSY
    if wanted.longest_s() <= room_s:
        return wanted
    shrink = room_s / wanted.longest_s()
    return Pace(
        wanted.samples, wanted.spacing_s * shrink, max(_SHORTEST_TIMEOUT_S, wanted.timeout_s * shrink)
    )


def interval_s(address: str, standing: Standing, config: MonitorConfig) -> float:
    """Seconds from the start of one probe to the start of the next.

    Settled members at `interval_s`; new, returning and failing ones sooner, so that a decision does not take hours;
    private ones on their way in twice as often again, for it takes 14 good probes; hopeless ones rarely, until they answer.
    Public addresses at most once a minute in any case.
    """
    local = is_local(address)
    floor_s = LOCAL_INTERVAL_S if local else PUBLIC_INTERVAL_S
    usual_s = max(floor_s, config.interval_s)
    if standing.score <= HOPELESS_SCORE and standing.last_step <= 0:
        # Who wants to know within seconds wants to know of a return within seconds too.
        return usual_s * HOPELESS_FACTOR if usual_s >= PUBLIC_INTERVAL_S else usual_s
    settled = standing.inside and not standing.misses and not standing.untrue
    if settled or standing.last_ts is None:
        return usual_s
    confirm_s = config.confirm_interval_s / 4 if local else config.confirm_interval_s
    soon_s = min(usual_s, confirm_s)
    rising = not standing.inside and standing.last_step > 0
    return max(floor_s, soon_s / 2 if local and rising else soon_s)
