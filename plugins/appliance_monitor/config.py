"""What can be set in `[plugins.monitor]`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import model_validator

from appliance.api.config import PluginConfig, checked, setting
from appliance_monitor.target import parse_target

Extra = Literal["leap", "root_distance", "loss"]


class MonitorConfig(PluginConfig):
    """How members are looked at, scored and let into the answers."""

    interval_s: float = setting(
        540.0,
        help="How often a settled member is probed. Public addresses are never probed more often than every 60 s.",
        unit="s",
        live=True,
        ge=1,
        le=86_400,
    )
    confirm_interval_s: float = setting(
        60.0,
        help="How often a member is probed while it is new, coming back or failing; private addresses four times as often. "
        "Never longer than interval_s.",
        unit="s",
        live=True,
        ge=1,
        le=86_400,
    )
    samples: int = setting(3, help="Requests in one probe; the best answer counts.", live=True, ge=1, le=8)
    sample_spacing_s: float = setting(
        2.0,
        help="Pause between the requests of one probe; shortened when the interval leaves no room and the target is private.",
        unit="s",
        live=True,
        ge=0.05,
        le=60,
    )
    timeout_s: float = setting(
        3.0,
        help="How long an answer may take; shortened when the interval leaves no room and the target is private.",
        unit="s",
        live=True,
        ge=0.1,
        le=30,
    )
    profile: str = setting(
        "ntppool",
        title="Score rules",
        help='Score rules: "ntppool" (the NTP Pool since July 2025), "legacy" (before), or the profile of another plugin.',
        # Not live: a start refuses a profile that nobody has, and the change goes back; a live one would end all judging.
        restart="plugin",
        min_length=1,
    )
    extras: list[Extra] = setting(
        title="Rules besides",
        help='Rules that the NTP Pool does not have: "leap", "root_distance", "loss". None is on by default.',
        default_factory=list,
    )
    tolerance_s: float = setting(
        0.1,
        help="A member whose time is off by more than this twice in a row is not answered, whatever its score.",
        unit="s",
        live=True,
        gt=0,
        le=10,
    )
    gate: Literal["timeball", "ntppool"] = setting(
        "timeball",
        title="Who is answered",
        help='Who is answered: "ntppool" is score >= enter_score and no more; "timeball" adds hysteresis, early leaving, '
        "slow start and the keep-floor.",
        live=True,
    )
    enter_score: float = setting(
        10.0, help="A member enters the answers at this score.", live=True, gt=-100, le=20
    )
    leave_score: float = setting(
        5.0, help="A member leaves the answers below this score.", live=True, ge=-100, le=20
    )
    misses: int = setting(
        2,
        title="Silent probes before it leaves",
        help="A member leaves after this many probes in a row without any answer.",
        live=True,
        ge=1,
        le=100,
    )
    slow_start: bool = setting(
        default=True, help="A member that enters gets 25 %, then 50 %, then all of its share.", live=True
    )
    min_keep: int | None = setting(
        None,
        title="Kept at least",
        help="So many members of a family stay in the answers although they only lose packets; "
        "without a number: 30 % of those that were ever good, at least one.",
        live=True,
        ge=0,
    )
    keep_for_s: float = setting(
        86_400.0,
        help="How long a silent member may be kept for lack of others.",
        unit="s",
        live=True,
        ge=0,
        advanced=True,
    )
    references: list[Annotated[str, checked(parse_target)]] = setting(
        help="Servers that tell whether our own network works, as ADDRESS or ADDRESS:PORT: when too many of them fail, "
        "no score moves.",
        default_factory=list,
        examples=[["192.0.2.1", "[2001:db8::1]:123"]],
    )
    max_in_flight: int = setting(
        256, help="Probes at the same time, at most.", live=True, ge=1, le=4096, advanced=True
    )
    raw_days: float = setting(
        15.0,
        title="Single probes kept",
        help="How long each single probe is kept; summaries stay longer.",
        unit="days",
        ge=1,
        le=3650,
    )
    name: str = setting(
        "local",
        help="Name of this monitor in the log rows.",
        pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$",
        advanced=True,
    )

    @model_validator(mode="after")
    def _order(self) -> MonitorConfig:
        if self.leave_score > self.enter_score:
            raise ValueError(
                f"leave_score ({self.leave_score:g}) must not be above enter_score ({self.enter_score:g})"
            )
        return self
