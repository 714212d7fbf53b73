"""What the inspector looks at, with which rules, and how much it may take for it."""

from __future__ import annotations

from typing import Literal

from appliance.api.config import PluginConfig, setting


class InspectorConfig(PluginConfig):
    """`[plugins.inspector]`."""

    services: tuple[Literal["ntp", "dns"], ...] = setting(
        ("ntp", "dns"), help="Services whose packets are sampled.", restart="plugin", examples=[["ntp"]]
    )
    every: int = setting(
        0,
        help="One ordinary request in so many is sampled; 0 chooses: each while there are few, fewer under load.",
        restart="plugin",
        ge=0,
        le=1_000_000,
    )
    most_per_s: int = setting(
        1000,
        help="Samples a second that the child process judges; more are skipped and counted.",
        unit="1/s",
        restart="plugin",
        ge=10,
        le=50_000,
        advanced=True,
    )
    rules_file: str = setting(
        "",
        help="File with rules of your own; one with the id of a shipped rule takes its place.",
        restart="plugin",
        examples=["/etc/timeball/rules.toml"],
    )
    without: tuple[str, ...] = setting(
        (), help="Ids of rules that are not applied.", restart="plugin", examples=[["ntp-control"]]
    )
    full_addresses: bool = setting(
        default=False,
        help="Whether alerts show whole addresses; else the /24 or /48 that they are in.",
        restart="plugin",
    )
    trace: bool = setting(
        default=True,
        help="Whether the way to a member that leaves the pool by a fault is traced.",
        restart="plugin",
    )
    keep_captures_h: float = setting(
        24, help="Captured packets are deleted after so long.", unit="h", restart="plugin", gt=0, le=24 * 30
    )
