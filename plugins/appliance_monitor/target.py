"""Where a probe may go, and how close to each other its packets may be."""

from __future__ import annotations

import ipaddress

from appliance.api.model import Target

#: Between two requests to one public address (the guard time of RFC 5905's rate rules, and of the NTP Pool's monitors).
PUBLIC_GAP_S = 2.0
#: No public address is probed more often than this, whatever the configuration says.
PUBLIC_INTERVAL_S = 60.0
LOCAL_INTERVAL_S = 1.0


def parse_target(text: str) -> Target:
    """Read "192.0.2.1", "192.0.2.1:123", "2001:db8::1" or "[2001:db8::1]:123".

    Raises:
        ValueError: it is none of these, or an address that cannot be a server.
    """
    host, port = _split(text.strip())
    try:
        address = ipaddress.ip_address(host)
        number = int(port)
    except ValueError:
        raise ValueError(
            f'expected an address such as "192.0.2.1" or "[2001:db8::1]:123", got {text!r}'
        ) from None
    if not 1 <= number <= 65535:
        raise ValueError(f"a port is 1 to 65535, not {number}")
    if why := cannot_be_server(str(address)):
        raise ValueError(why)
    return Target(str(address), number)


def _split(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else ("123" if bracket and not rest else "")
        return host, port
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, port
    return text, "123"


def cannot_be_server(address: str) -> str | None:
    """Why no server can have this address (multicast, broadcast, unspecified), or None. Private and loopback may."""
    ip = ipaddress.ip_address(address)
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_multicast or ip.is_unspecified or str(ip) == "255.255.255.255":
        return f"{address} is not the address of one server"
    return None


def is_local(address: str) -> bool:
    """Whether the address is private, loopback or link-local: ours to probe as often as we like."""
    return not ipaddress.ip_address(address).is_global


def gap_s(address: str) -> float:
    """The least time between two requests to this address."""
    return 0.0 if is_local(address) else PUBLIC_GAP_S
