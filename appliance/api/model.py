"""The values that plugins exchange. All are frozen: share them freely, replace them whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

Family = Literal[4, 6]
#: The two clocks of a machine come apart by less while a thread waits for its turn between two readings.
SET_NS = 250_000_000


@dataclass(frozen=True, slots=True)
class ClockState:
    """What our time is worth: a snapshot with the coefficients that age it, so that it stays honest unattended.

    Attributes:
        leap: leap indicator 0..3 as served; 3 says unsynchronised (RFC 5905 figure 9).
        stratum: 1..15 as served (source + 1); 0 says unsynchronised.
        refid: reference identifier, 4 bytes.
        reference_ns: UTC of the last correction, ns since 1970.
        root_delay_s: round trip to the reference clock.
        root_dispersion_s: dispersion at `as_of_mono_ns`.
        dispersion_rate: growth of the dispersion, seconds per second.
        as_of_mono_ns: monotonic moment that the coefficients belong to.
        as_of_wall_ns: the same moment by the system clock, ns since 1970; None for a clock that is right by decree.
        correction_s: what to add to the system clock for the true time.
        precision: log2 of the clock's reading precision in seconds, such as -24.
        max_distance_s: past this root distance we no longer claim to be synchronised.
        expires_mono_ns: past this monotonic moment neither, whatever the distance.
        source: who says so: "chrony", "kernel", "local", ...
        why: one sentence for people; for an unsynchronised clock, what is missing.
    """

    leap: int
    stratum: int
    refid: bytes
    reference_ns: int
    root_delay_s: float
    root_dispersion_s: float
    dispersion_rate: float
    as_of_mono_ns: int
    correction_s: float = 0.0
    precision: int = -24
    max_distance_s: float = 1.0
    expires_mono_ns: int = 2**63 - 1
    source: str = "none"
    why: str = ""
    as_of_wall_ns: int | None = None

    @classmethod
    def unsynchronised(
        cls, why: str, *, source: str = "none", mono_ns: int = 0, precision: int = -24
    ) -> ClockState:
        """The state before we know better: leap 3, stratum 0, one second of delay and dispersion."""
        return cls(
            leap=3, stratum=0, refid=bytes(4), reference_ns=0, root_delay_s=1.0, root_dispersion_s=1.0,
            dispersion_rate=0.0, as_of_mono_ns=mono_ns, precision=precision, source=source, why=why,
        )  # fmt: skip

    def dispersion_s(self, mono_ns: int) -> float:
        """Root dispersion at the monotonic moment `mono_ns`, in seconds."""
        age_s = max(0, mono_ns - self.as_of_mono_ns) / 1e9
        return self.root_dispersion_s + age_s * self.dispersion_rate

    def distance_s(self, mono_ns: int) -> float:
        """Root distance at `mono_ns`, in seconds: the most that our time may be wrong."""
        return self.root_delay_s / 2 + self.dispersion_s(mono_ns)

    def was_set(self, wall_ns: int, mono_ns: int) -> bool:
        """Whether the system clock was set since the state was made. Steering moves both clocks alike; setting, one of them."""
        if self.as_of_wall_ns is None:
            return False
        return abs(wall_ns - mono_ns - (self.as_of_wall_ns - self.as_of_mono_ns)) > SET_NS

    def synchronised(self, mono_ns: int) -> bool:
        """Whether a reply made at `mono_ns` may claim synchronised time."""
        return (
            self.leap != 3
            and 1 <= self.stratum <= 15
            and mono_ns < self.expires_mono_ns
            and self.distance_s(mono_ns) <= self.max_distance_s
        )


@dataclass(frozen=True, slots=True)
class Member:
    """One server address of the pool. A name with two addresses is two members that share `name`.

    Attributes:
        id: stable short id, derived from address and port.
        address: canonical IPv4 or IPv6 text.
        port: UDP port that is probed (DNS cannot say a port: clients use 123).
        name: host name it was added by, or "".
        netspeed: relative weight, kbit by tradition; 0 is watched but never answered.
        zones: paths below the pool's zone: "@" is the pool itself, "de" a zone below it, "rack1.berlin" deeper.
        tags: free words.
        operator: who runs it; answers avoid holding two members of one operator.
        declared: comes from the configuration file, which alone can change it.
        state: "active", "unverified" (watched, not answered), "paused" (watched, not answered).
        paused_until: epoch seconds at which a pause ends by itself.
        remove_at: epoch seconds of a scheduled removal; it leaves the answers `grace` before.
        leaving: true while a scheduled removal is so near that it is no longer answered.
        added_at: epoch seconds.
        note: free text.
        verified_by: "http", "txt", "admin", "declared" or "".
        owner: account of whoever may look after it without being an operator, or "".
    """

    id: str
    address: str
    port: int = 123
    name: str = ""
    netspeed: int = 1000
    zones: tuple[str, ...] = ("@",)
    tags: tuple[str, ...] = ()
    operator: str = ""
    declared: bool = False
    state: Literal["active", "unverified", "paused"] = "active"
    paused_until: float | None = None
    remove_at: float | None = None
    leaving: bool = False
    added_at: float = 0.0
    note: str = ""
    verified_by: str = ""
    owner: str = ""

    @property
    def family(self) -> Family:
        return 6 if ":" in self.address else 4


@dataclass(frozen=True, slots=True)
class Target:
    """Where a probe goes.

    Attributes:
        address: IP text.
        port: UDP port.
    """

    address: str
    port: int = 123


@dataclass(frozen=True, slots=True)
class Sample:
    """One request and what came of it.

    Attributes:
        t1_ns, t2_ns, t3_ns, t4_ns: the four timestamps, ns since 1970 UTC; None where there is none.
        offset_s: ((T2-T1)+(T3-T4))/2, positive when the server is ahead of us.
        rtt_s: (T4-T1)-(T3-T2), at least 0.
        error: None, or why the sample does not count: "timeout", "bad origin", a kiss code such as "RATE", ...
        warnings: what is odd but not wrong.
        value: what a kind that measures no time has measured, in its `ProbeKind.unit`.
        text: the same in words, for people.
    """

    t1_ns: int | None = None
    t2_ns: int | None = None
    t3_ns: int | None = None
    t4_ns: int | None = None
    offset_s: float | None = None
    rtt_s: float | None = None
    stratum: int | None = None
    leap: int | None = None
    refid: bytes = b""
    root_delay_s: float | None = None
    root_dispersion_s: float | None = None
    reference_ns: int | None = None
    version: int | None = None
    error: str | None = None
    warnings: tuple[str, ...] = ()
    value: float | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a probe kind other than "ntp" found at one place, once.

    Attributes:
        ts: epoch seconds when it ended.
        kind: name of the probe kind.
        member: member id, or "" at a place that the kind brings along.
        target: the place.
        sample: what was found; its `error` is None when all is well.
    """

    ts: float
    kind: str
    member: str
    target: Target
    sample: Sample


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What one probe (some samples) of a member found; the chosen sample's values stand at the top.

    Attributes:
        ts: epoch seconds when the probe ended.
        member: member id, or "" for an ad hoc probe.
        monitor: name of the monitor that looked.
        offset_s, rtt_s, stratum, leap, error: of the chosen sample (the best, else the most telling failure).
        responded: whether anything valid came back at all.
        samples: every sample, oldest first.
        sightings: the latest of each other probe kind at this member, none that is old.
    """

    ts: float
    member: str
    monitor: str
    target: Target
    offset_s: float | None
    rtt_s: float | None
    stratum: int | None
    leap: int | None
    error: str | None
    responded: bool
    samples: tuple[Sample, ...] = ()
    sightings: tuple[Sighting, ...] = ()

    def seen(self, kind: str) -> Sample | None:
        """What that other probe kind found lately at this member; None when it has not looked."""
        return next((sighting.sample for sighting in self.sightings if sighting.kind == kind), None)


@dataclass(frozen=True, slots=True)
class Step:
    """What a score rule makes of a probe.

    Attributes:
        rule: id of the rule that fired, such as "offset_ok" or "no_response".
        step: added after the old score was multiplied by 0.95.
        cap: the score after it is at most this; None for no cap.
        untruthful: the time itself is wrong (not merely absent): such a member is never kept for lack of others.
        why: one sentence for people with the figures in it.
    """

    rule: str
    step: float
    cap: float | None = None
    untruthful: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class ScoredProbe:
    """One row of the monitor log: the probe, the rule that fired and the score that came of it."""

    probe: ProbeResult
    step: Step
    score: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where a member stands now, and why. The answer table reads this and nothing else.

    Attributes:
        member: member id.
        score: overall score, -100..20; None before the first probe.
        in_pool: whether it may be answered.
        reason: one sentence for people: why it is in, or why it is out.
        code: stable word for programs: "ok", "new", "low_score", "wrong_time", "paused", "kept", ...
        weight_factor: 0..1, multiplies netspeed (slow start, falling score).
        truthful: False when its time is wrong.
        failing: True when it is still in but on its way out (answers get a shorter TTL).
        last_ts: epoch seconds of the last probe, or None.
        last_rule: rule that fired last.
    """

    member: str
    score: float | None
    in_pool: bool
    reason: str
    code: str
    weight_factor: float = 1.0
    truthful: bool = True
    failing: bool = False
    last_ts: float | None = None
    last_rule: str = ""


class Level(StrEnum):
    """How well something is: the worst one wins when folded."""

    OK = "ok"
    DEGRADED = "degraded"
    FAILING = "failing"


class PluginState(StrEnum):
    """Life of a plugin as the supervisor sees it."""

    LOADED = "loaded"
    STARTING = "starting"
    RUNNING = "running"
    BACKOFF = "backoff"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class PluginStatus:
    """One plugin's state for people and programs.

    Attributes:
        why: the reason for BACKOFF, FAILED, DISABLED, or what STARTING waits for.
        text: what the plugin says about itself (`ctx.status`).
        since: epoch seconds of the last change of state.
        strikes: bugs within the last minute.
        restarts: restarts since the process began.
    """

    id: str
    title: str
    state: PluginState
    why: str = ""
    text: str = ""
    since: float = 0.0
    strikes: int = 0
    restarts: int = 0
    version: str = ""
    origin: str = ""
    hooks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not right, in words."""

    source: str
    level: Level
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """The fold of plugin states, health checks and cell ages."""

    level: Level
    problems: tuple[Problem, ...] = ()
    as_of: float = 0.0
    extra: dict[str, Any] = field(default_factory=dict)
