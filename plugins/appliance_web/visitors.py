"""What somebody may do who does not sign in: decided from where it sits. Nothing in here does I/O."""

from __future__ import annotations

import ipaddress
from typing import Literal

from appliance.api.actor import NOBODY, ROLES, Actor

Trust = Literal["no", "read", "operate"]
Public = Literal["status", "read"]

#: Networks that no stranger of the Internet reaches us from. Not `is_private`, which also holds what is in the books only
#: (192.0.2.0/24) and what providers share among customers (100.64.0.0/10).
_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "127.0.0.0/8",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)

_VIEWER = ROLES["viewer"] - {"self:*"}
_OPERATOR = ROLES["operator"] - {"self:*"}


def is_loopback(remote: str) -> bool:
    """Whether `remote` is this machine."""
    address = _address(remote)
    return address is not None and address.is_loopback


def is_private(remote: str) -> bool:
    """Whether `remote` sits in a private network, on the same link, or on this machine."""
    address = _address(remote)
    return address is not None and any(address in network for network in _PRIVATE)


def stranger(
    remote: str,
    *,
    relayed: bool,
    public: Public,
    trust_loopback: Trust,
    claimed: bool,
    setup_anywhere: bool = False,
    scraper: bool = False,
) -> Actor:
    """Who a request is from that brings nothing to know somebody by.

    Args:
        remote: address it came from.
        relayed: whether somebody in between passed the request on, so that `remote` is not who asks.
        public: how much everybody may see.
        trust_loopback: what somebody on this machine may do besides.
        claimed: whether the box has an owner. Until it has one, a stranger from afar finds nothing here, and one in a
            private network finds the setup.
        setup_anywhere: the setup answers every address.
        scraper: whether the owner lets this address read the metrics.
    """
    grants = _VIEWER if public == "read" else NOBODY.grants
    near = is_private(remote) and not relayed
    if not claimed:
        if not (near or setup_anywhere):
            return Actor(grants=frozenset())
        grants = NOBODY.grants | {"setup:run"}
    if scraper and not relayed:
        grants |= {"metrics:read"}
    if is_loopback(remote) and not relayed:
        grants |= {"no": frozenset(), "read": _VIEWER, "operate": _OPERATOR}[trust_loopback]
    return NOBODY if grants == NOBODY.grants else Actor(grants=frozenset(grants))


def _address(remote: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(remote.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
