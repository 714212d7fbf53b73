"""Where our time comes from, and how far it is believed."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import field_validator

from appliance.api.config import PluginConfig, checked, setting
from appliance_clock.named_source import parse_source


class ClockConfig(PluginConfig):
    """`[plugins.clock]`."""

    source: Literal["auto", "chrony", "kernel", "local"] = setting(
        "auto",
        help='Who knows what the system clock is worth: chronyd, the kernel, whichever of them answers ("auto"), or '
        'nobody: "local" serves the system clock as it is.',
        live=True,
    )
    time_sources: list[Annotated[str, checked(parse_source)]] = setting(
        help='Time servers that chronyd shall follow: "HOST", or "pool HOST" for a name with many servers; behind it may stand '
        '"nts" (authenticated), "prefer" and "port N".',
        default_factory=list,
        examples=[["ntp.example.org nts", "pool 2.example.org", "192.0.2.1 prefer"]],
        live=True,
        max_length=32,
    )
    default_sources: bool = setting(
        default=True,
        help="Follow the sources that the image brings as well; elsewhere chrony.conf decides.",
        live=True,
    )
    dhcp_sources: bool = setting(
        default=True, help="Follow the time servers that the network announces (DHCP) as well.", live=True
    )
    local_stratum: int = setting(
        10, help='Stratum that we claim with source = "local"; high, so that clients prefer anybody better.',
        ge=1, le=15, live=True,
    )  # fmt: skip
    kernel_stratum: int = setting(
        8, help="Stratum that we claim when only the kernel says that the clock is right: it cannot tell the true one.",
        ge=1, le=15, live=True,
    )  # fmt: skip
    chrony_address: str = setting(
        "127.0.0.1:323", help="Command port of chronyd, on a loopback address.",
        examples=["127.0.0.1:323", "[::1]:323"], live=True,
    )  # fmt: skip
    chrony_socket: str = setting(
        "/run/chrony/chronyd.sock",
        help='Unix socket of chronyd, asked when its command port is silent; "" for none.',
        live=True,
    )
    max_distance_s: float = setting(
        1.0,
        help="Past this root distance we no longer claim to be synchronised.",
        unit="s",
        gt=0,
        le=16,
        live=True,
    )
    poll_interval_s: float = setting(
        1.0, help="How often the source is asked (ten times a second while the clock is being slewed).",
        unit="s", ge=0.05, le=4, live=True, advanced=True,
    )  # fmt: skip
    stale_after_s: float = setting(
        10.0, help="When chronyd was silent for this long, the clock is taken to run freely: its error grows faster.",
        unit="s", ge=0.1, le=60, live=True, advanced=True,
    )  # fmt: skip
    give_up_after_s: float = setting(
        600.0, help="When the source was silent for this long, we are not synchronised any more.",
        unit="s", ge=0.2, le=3600, live=True, advanced=True,
    )  # fmt: skip

    @field_validator("chrony_address")
    @classmethod
    def _on_loopback(cls, value: str) -> str:
        parse_address(value)
        return value


def parse_address(text: str) -> tuple[str, int]:
    """Address and port of chronyd's command port.

    Raises:
        ValueError: with what would be right. Other hosts are refused: their clock says nothing about ours.
    """
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address, number = ipaddress.ip_address(bare), int(port)
    except ValueError:
        address, number = None, 0
    if address is None or not 1 <= number <= 65535 or (address.version == 6) != (bare != host):
        raise ValueError(f'expected "ADDRESS:PORT" such as "127.0.0.1:323" or "[::1]:323", got {text!r}')
    if not address.is_loopback:
        raise ValueError(
            f"chronyd must run on this machine: expected a loopback address such as 127.0.0.1, got {bare}"
        )
    return str(address), number
