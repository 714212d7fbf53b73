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


class NtpConfig(PluginConfig):
    """`[plugins.ntp]`."""

    listen: tuple[Annotated[str, checked(Endpoint.parse)], ...] = setting(
        ("0.0.0.0:123", "[::]:123"),
        help="Addresses and ports that time is served on. Replies leave from the address that was asked, also from wildcards.",
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

    @field_validator("listen")
    @classmethod
    def _endpoints(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        endpoints = [Endpoint.parse(text) for text in value]
        fixed = [endpoint for endpoint in endpoints if endpoint.port]
        if len(set(fixed)) < len(fixed):
            raise ValueError("an address stands there twice")
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
