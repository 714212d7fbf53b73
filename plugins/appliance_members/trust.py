"""Which members need no proof of who runs them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Nobody outside can be made a victim through these: RFC 1918, 6598, 1122 (loopback), 3927, 4193, 4291.
PRIVATE_NETWORKS: Final = (
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
)


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks from CIDR text.

    Raises:
        ValueError: one of them is not a network.
    """
    networks = []
    for text in texts:
        try:
            networks.append(ipaddress.ip_network(text, strict=True))
        except ValueError:
            raise ValueError(f'{text!r} is not a network such as "192.0.2.0/24"{_nearest(text)}') from None
    return tuple(networks)


def _nearest(text: str) -> str:
    try:
        return f" (did you mean {ipaddress.ip_network(text, strict=False)}?)"
    except ValueError:
        return ""


def lies_in(address: str, networks: Iterable[Network]) -> bool:
    """Whether the canonical `address` lies in one of them."""
    ip = ipaddress.ip_address(address)
    return any(ip.version == network.version and ip in network for network in networks)
