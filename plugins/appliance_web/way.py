"""How a request came here: from whom, by which name, and who could read it on its way. Nothing in here does I/O."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from multidict import MultiMapping

from appliance.core.routes import Line
from appliance_web.visitors import is_loopback, is_private

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: What intermediaries add. From anybody but a configured proxy it is hearsay: believed in nothing, but a sign that the
#: connection is not the reader's own.
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "Via")
#: A longer chain of proxies is a lie.
_MOST_HOPS = 20


#: Case-insensitive, possibly with several values of a name.
Headers = MultiMapping[str]


@dataclass(frozen=True, slots=True)
class Way:
    """How one request came.

    Attributes:
        remote: the address it comes from, as far as that can be known.
        scheme: "http" or "https", as the reader called us.
        host: the Host header as the reader sent it.
        line: who could read it.
        relayed: somebody in between passed it on whom nobody vouches for: `remote` may not be who asks.
    """

    remote: str
    scheme: str
    host: str
    line: Line
    relayed: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """What the owner said.

    Attributes:
        proxies: whose forwarding headers are believed.
        http_admin: administration over plain HTTP from private addresses.
    """

    proxies: tuple[Network, ...] = ()
    http_admin: bool = False


def way_of(peer: str, headers: Headers, rules: Rules, *, secure: bool) -> Way:
    """Judge one request.

    Args:
        peer: address at the other end of the connection.
        headers: of the request.
        rules: of the owner.
        secure: whether the connection is TLS.
    """
    remote, scheme, host = peer, "https" if secure else "http", headers.get("Host", "")
    address = address_of(peer)
    if trusted(address, rules.proxies):
        client = _client(headers, rules.proxies)
        proto = _last(headers, "X-Forwarded-Proto").lower()
        scheme = proto if proto in ("http", "https") else scheme
        host = _last(headers, "X-Forwarded-Host") or host
        remote = client or peer
        relayed = not client or is_loopback(client)  # that loopback is the proxy's, which need not be ours
    else:
        relayed = any(name in headers for name in FORWARDED)
    return Way(remote, scheme, host, _line(remote, rules, scheme, relayed=relayed), relayed)


def _line(remote: str, rules: Rules, scheme: str, *, relayed: bool) -> Line:
    if scheme == "https":
        return "tls"
    if relayed:
        return "plain"
    if is_loopback(remote):
        return "local"
    return "lan" if rules.http_admin and is_private(remote) else "plain"


def _client(headers: Headers, proxies: Sequence[Network]) -> str:
    """The nearest address of X-Forwarded-For that is no proxy of ours, or ""; each proxy appends who asked it."""
    hops = [hop.strip() for value in headers.getall("X-Forwarded-For", ()) for hop in value.split(",")]
    for hop in reversed(hops[-_MOST_HOPS:]):
        address = address_of(hop)
        if address is None:
            break
        if not trusted(address, proxies):
            return str(address)
    return ""


def _last(headers: Headers, name: str) -> str:
    values = headers.getall(name, ())
    return values[-1].rpartition(",")[2].strip() if values else ""


def trusted(address: Address | None, proxies: Sequence[Network]) -> bool:
    return address is not None and any(address.version == n.version and address in n for n in proxies)


def address_of(text: str) -> Address | None:
    """An address, of an IPv4 one in IPv6 clothes the inner one; without brackets, port and zone."""
    host = text[1:].partition("]")[0] if text.startswith("[") else text
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def neighbourhood(address: Address | None) -> str:
    """What counts as one visitor: an IPv4 address, an IPv6 /64 (a host moves freely in it)."""
    if address is None:
        return ""
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address, 64), strict=False))


def read_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Addresses or networks in CIDR notation.

    Raises:
        ValueError: one of them is neither.
    """
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)
