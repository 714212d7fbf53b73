"""Finds chronyd taking its time from ourselves: a loop in which everybody agrees and nobody knows the time."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable


def loops(
    sources: Iterable[tuple[str, str]], *, is_ours: Callable[[str], bool], is_our_name: Callable[[str], bool]
) -> list[str]:
    """A sentence for each source that is this appliance.

    Args:
        sources: address and configured name of each source of chronyd; either may be "".
        is_ours: whether this machine has an address.
        is_our_name: whether our DNS answers for a name.
    """
    found = []
    for address, name in sources:
        if name and is_our_name(name):
            found.append(f"chronyd has our own pool {name} as a source: the pool would follow itself")
        elif address and _on_the_network(address) and is_ours(address):
            found.append(
                f"chronyd has this machine's own address {address} as a source: it would follow itself"
            )
    return found


def has_address(address: str) -> bool:
    """Whether this machine has `address`: only then can a socket be bound to it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:  # "cannot assign requested address", as a rule
            return False
    return True


def _on_the_network(address: str) -> bool:
    """Loopback is left alone: another clock daemon or a time receiver of this machine may well live there."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not parsed.is_loopback
