"""The order in which people look for servers: addresses by their number, names with their numbers read as numbers."""

from __future__ import annotations

import functools
import ipaddress
import re

#: Runs of digits, no longer than a comparison needs: a hostile name may have a million of them.
_DIGITS = re.compile(r"([0-9]{1,18})")

Natural = tuple[str | int, ...]


@functools.lru_cache(maxsize=65_536)
def natural(text: str) -> Natural:
    """Sort key of a name: "ntp9" before "ntp10", without regard to case.

    Texts and numbers take turns and a text comes first, so that any two keys can be compared.
    """
    return tuple(int(part) if i % 2 else part.casefold() for i, part in enumerate(_DIGITS.split(text)))


@functools.lru_cache(maxsize=65_536)
def address(text: str) -> tuple[int, int, Natural]:
    """Sort key of an address: IPv4 before IPv6, each by its number; what is no address comes last, as a name."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return 9, 0, natural(text)
    return found.version, int(found), ()


def server(name: str, where: str, port: int = 123) -> tuple[bool, Natural, tuple[int, int, Natural], int]:
    """Sort key of a server by what it is called: those without a name first, by address and port.

    Args:
        name: its name, or "".
        where: its address.
        port: UDP.
    """
    return bool(name), natural(name), address(where), port
