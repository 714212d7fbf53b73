"""Where time is served, and to whom."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Self

from pydantic import AfterValidator, field_validator, model_validator

from appliance.api.config import PluginConfig, checked, setting
from appliance.dataplane.interface import Endpoint

EVERYBODY = ("0.0.0.0/0", "::/0")


def canonical_prefix(text: str) -> str:
    """A prefix in its usual form; a single address is a prefix of full length.

    Raises:
        ValueError: with what would be right.
    """
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f'expected a prefix such as "10.0.0.0/8" or "2001:db8::/32", got {text!r}') from None
    if "/" in text and ipaddress.ip_address(text.partition("/")[0]) != network.network_address:
        raise ValueError(f'{text} has bits set behind its length: "{network}" would be the prefix')
    return str(network)


Prefix = Annotated[str, AfterValidator(canonical_prefix)]


class RateLimitSettings(PluginConfig):
    """`[plugins.ntp.rate_limit]`: how much each client is answered."""

    enabled: bool = setting(
        default=True, help="Whether clients that ask too often are answered less.", live=True
    )
    interval: int = setting(
        3,
        help="Average spacing of the replies to one IPv4 address, as a power of two: 3 is 8 s. An IPv6 /64 gets 64 times as many.",
        unit="log2 s",
        live=True,
        ge=-12,
        le=12,
    )
    burst: int = setting(
        16, help="Replies in a row to a client that was silent before.", live=True, ge=1, le=255
    )
    leak: int = setting(
        2,
        help="Of the requests over the limit one in 2^leak is answered, so that nobody can be silenced by a flood in his name.",
        live=True,
        ge=1,
        le=4,
    )
    kod: int = setting(
        0,
        help='Of those that are not answered one in 2^kod gets the kiss code "RATE"; 0 sends none.',
        live=True,
        ge=0,
        le=4,
    )
    exempt: tuple[Prefix, ...] = setting(
        ("127.0.0.0/8", "::1/128"),
        help="Prefixes that are not limited: this machine itself, monitors, an office behind one address.",
        live=True,
        examples=[["127.0.0.0/8", "::1/128", "192.0.2.7/32"]],
    )
    prefix_interval: int = setting(
        -7,
        help="Average spacing of the replies to an IPv4 /24 or IPv6 /48 as a whole, as a power of two: -7 is 128 a second.",
        unit="log2 s",
        live=True,
        ge=-12,
        le=12,
        advanced=True,
    )
    prefix_burst: int = setting(
        4096,
        help="Replies in a row to an IPv4 /24 or IPv6 /48 that was silent before.",
        live=True,
        ge=1,
        le=1_000_000,
        advanced=True,
    )


class NtpConfig(PluginConfig):
    """`[plugins.ntp]`."""

    listen: tuple[Annotated[str, checked(Endpoint.parse)], ...] = setting(
        ("0.0.0.0:123", "[::]:123"),
        help="Addresses and ports that time is served on. Replies leave from the address that was asked, also from wildcards.",
        restart="plugin",
        min_length=1,
        examples=[["0.0.0.0:123", "[::]:123"], ["192.0.2.1:123"]],
    )
    allow: tuple[Prefix, ...] = setting(
        EVERYBODY,
        help="Prefixes that are answered; whoever is in no list is ignored. The longest match in the three lists decides.",
        live=True,
        examples=[["10.0.0.0/8", "2001:db8::/32"]],
    )
    ignore: tuple[Prefix, ...] = setting(
        (), help="Prefixes that get no reply at all.", live=True, examples=[["10.66.0.0/16"]]
    )
    deny: tuple[Prefix, ...] = setting(
        (),
        help='Prefixes that are told to go away with the kiss code "DENY"; well-behaved clients then stop asking.',
        live=True,
        examples=[["10.99.1.0/24"]],
    )
    keys_file: str = setting(
        "",
        help="File with the keys of clients that want authenticated time, in chrony's format; followed when it changes.",
        live=True,
        examples=["/etc/timeball/ntp.keys"],
    )
    clients: int = setting(
        32768,
        help="How many clients are remembered, shared out among the packet threads; 0 remembers nobody, and limits only networks.",
        ge=0,
        le=16_777_216,
        examples=[32768, 0],
    )
    rate_limit: RateLimitSettings = setting(
        default_factory=RateLimitSettings, help="How much each client is answered.", live=True
    )

    @field_validator("listen")
    @classmethod
    def _endpoints(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        endpoints = [Endpoint.parse(text) for text in value]
        fixed = [endpoint for endpoint in endpoints if endpoint.port]
        if len(set(fixed)) < len(fixed):
            raise ValueError("an address stands there twice")
        return value

    @field_validator("keys_file")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if value and not value.startswith("/"):
            raise ValueError(f"expected a path from the root, such as /etc/timeball/ntp.keys, got {value!r}")
        return value

    @model_validator(mode="after")
    def _one_list_each(self) -> Self:
        seen: dict[str, str] = {}
        for action in ("allow", "ignore", "deny"):
            for prefix in getattr(self, action):
                if prefix in seen:
                    raise ValueError(f"{prefix} stands in {seen[prefix]} and in {action}: leave it in one")
                seen[prefix] = action
        return self
