"""Addresses and host names in their one canonical form, and the short id that follows from address and port."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
from collections.abc import Callable
from typing import Final

DEFAULT_PORT: Final = 123
#: Characters of the id after "m-": 40 bits, so that 10,000 members collide once in 20,000 pools.
ID_LENGTH: Final = 8

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")
_BROADCAST = ipaddress.IPv4Address("255.255.255.255")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")


def canonical_address(text: str) -> str:
    """The one text form of an address that can be a member.

    IPv4-mapped IPv6 becomes IPv4, IPv6 becomes lower case and shortest (RFC 5952).

    Raises:
        ValueError: not an address, or one that no client could be sent to; the message says what would be right.
    """
    stripped = text.strip()
    if "%" in stripped:
        raise ValueError(
            f"{text!r} has an interface behind it ('%'), which DNS cannot carry; use an address that works without"
        )
    try:
        address = ipaddress.ip_address(stripped)
    except ValueError:
        raise ValueError(f"{text!r} is not an IPv4 or IPv6 address{_why_not(stripped)}") from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    refusal = _refusal(address)
    if refusal:
        raise ValueError(f"{address} {refusal}")
    return str(address)


def _why_not(text: str) -> str:
    parts = text.split(".")
    if len(parts) == 4 and any(p.isdigit() and len(p) > 1 and p.startswith("0") for p in parts):
        return " (write the numbers without leading zeros: some programs read them as octal)"
    if "/" in text:
        return " (one address, not a network)"
    return ""


def _refusal(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    if address.is_unspecified:
        return "means 'no address'; give the address that clients reach the server at"
    if address.is_multicast:
        return "is a multicast address; a member is one server"
    if isinstance(address, ipaddress.IPv6Address):
        return (
            "is link-local, which no client beyond one cable can use; give a global or unique local address"
            if address.is_link_local
            else ""
        )
    if address in _THIS_NETWORK:
        return "lies in 0.0.0.0/8, which is never a destination (RFC 1122)"
    if address == _BROADCAST:
        return "is the broadcast address; a member is one server"
    if address.is_reserved:
        return "lies in 240.0.0.0/4, which is reserved (RFC 1112)"
    return ""


def canonical_host(text: str) -> str:
    """A host name in lower case without its final dot; other alphabets become their ASCII form.

    Raises:
        ValueError: it cannot be a host name (RFC 1123 2.1).
    """
    name = text.strip().rstrip(".")
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError:
            raise ValueError(f"{text!r} is not a host name") from None
    name = name.lower()
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(
            f"{text!r} is neither an address nor a host name (letters, digits and hyphens between dots)"
        )
    # A resolver may read "192.168.300" or "0x7f.1" as an address of the old kind: what looks like one must be one.
    if _NUMBER.fullmatch(labels[-1]):
        raise ValueError(f"{text!r} is not an IPv4 address, and a host name does not end in a number")
    return name


def is_address(text: str) -> bool:
    """Whether `text` was meant as an address rather than as a name (it need not be a good one)."""
    return ":" in text or "%" in text or bool(re.fullmatch(r"[0-9./]+", text.strip()))


def canonical_target(text: str) -> tuple[str, str]:
    """`(address, "")` or `("", host name)`, whichever `text` is.

    Raises:
        ValueError: it is neither.
    """
    if is_address(text):
        return canonical_address(text), ""
    return "", canonical_host(text)


def split_endpoint(text: str) -> tuple[str, int | None]:
    """Cut "host", "host:port", "[v6]:port" or a bare IPv6 address into host text and port.

    Raises:
        ValueError: the port is not 1..65535.
    """
    stripped = text.strip()
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", stripped)
    if bracketed:
        host, port = bracketed.group(1), bracketed.group(2)
    elif stripped.count(":") == 1:
        host, port = stripped.split(":")
    else:
        host, port = stripped, None
    if port is None:
        return host, None
    if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535):
        raise ValueError(f"{text!r}: a port is a number from 1 to 65535")
    return host, int(port)


def endpoint(address: str, port: int) -> str:
    """Address and port as people write them; the port is left out where it is 123."""
    if port == DEFAULT_PORT:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def member_id(address: str, port: int, taken: Callable[[str], bool] = lambda _: False) -> str:
    """The id of the member at that canonical address and port.

    It depends on nothing else, so a member keeps its id over restarts and re-installations. Should the short form be
    `taken` by another member, it grows until it is free.
    """
    digest = hashlib.blake2s(f"{address}|{port}".encode(), digest_size=20).digest()
    text = base64.b32encode(digest).decode("ascii").lower()
    for length in range(ID_LENGTH, len(text) + 1):
        candidate = "m-" + text[:length]
        if not taken(candidate):
            return candidate
    raise AssertionError("160 bits collided")
