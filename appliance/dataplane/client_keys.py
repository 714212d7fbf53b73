"""A client of the time service as one number: an IPv4 address, or the first 64 bits of an IPv6 address."""

from __future__ import annotations

import ipaddress

#: Never 0 for a client.
ClientKey = int

_FOUR = 0xFF04
_NO_NETWORK = 0xFF06 << 48


def client_key(address: bytes) -> ClientKey:
    """The key of an address of 4 or 16 bytes in network order.

    A household or a machine has an IPv6 /64 for itself and changes the address inside it at will, so the /64 is the
    client. Nobody asks from a multicast address, so there is room in ff00::/8 for IPv4 and for ::/64.
    """
    if len(address) == 4:
        return _FOUR << 48 | int.from_bytes(address)
    return int.from_bytes(address[:8]) or _NO_NETWORK


def client_network(key: ClientKey) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Who that is: an IPv4 /32 or an IPv6 /64."""
    if key >> 48 == _FOUR:
        return ipaddress.IPv4Network((key & 0xFFFFFFFF, 32))
    return ipaddress.IPv6Network(((0 if key == _NO_NETWORK else key) << 64, 64))


def network_of(key: ClientKey) -> int:
    """The /24 or /48 that a client is in, as one number."""
    return key >> 8 if key >> 48 == _FOUR else key >> 16
