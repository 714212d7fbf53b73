"""`[plugins.dns.rate_limit]`: how many replies a network may be sent over UDP."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import model_validator

from appliance.api.config import PluginConfig, checked, setting
from appliance.dataplane.dns_rate import Network, RateLimit, rate_limit

#: A bucket that lasts longer than this would be a quota, not a rate.
_LONGEST_BURST_S = 60


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f'expected a prefix such as "192.0.2.0/24", got {text!r}: {error}') from None


class RateLimitConfig(PluginConfig):
    """How many replies over UDP an address may be sent, so that forged queries cannot flood it through us.

    The networks around an address may be sent more than it, but not as much as all of their addresses together: eight times
    as much for an IPv4 /24 and an IPv6 /48, four times for a /56; a /64 counts as one address.
    """

    enabled: bool = setting(default=True, help="Limit replies over UDP.", live=True)
    per_second: int = setting(
        100, help="Replies to one address (IPv6: to one /64).", unit="1/s", ge=1, le=100_000, live=True
    )
    burst: int = setting(
        500, help="Replies to one address at once, after a pause.", ge=1, le=1_000_000, live=True
    )
    slip: int = setting(
        2,
        help="Of so many limited replies one is sent truncated, or as BADCOOKIE, so that a real client comes back; 0: none.",
        ge=0,
        le=10,
        live=True,
    )
    exempt: tuple[Annotated[str, checked(_network)], ...] = setting(
        ("127.0.0.0/8", "::1/128"),
        help="Networks without a limit.",
        max_length=64,
        live=True,
        examples=[["127.0.0.0/8", "::1/128", "192.0.2.0/24"]],
    )

    @model_validator(mode="after")
    def _is_a_rate(self) -> RateLimitConfig:
        if self.burst > _LONGEST_BURST_S * self.per_second:
            raise ValueError(
                f"burst = {self.burst} is more than {_LONGEST_BURST_S} s of per_second = {self.per_second}"
            )
        return self

    def compiled(self) -> RateLimit | None:
        """As the data plane takes it; None without a limit."""
        if not self.enabled:
            return None
        return rate_limit(self.per_second, self.burst, self.slip, [_network(text) for text in self.exempt])
