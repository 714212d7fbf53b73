"""One time source as people write it. Pure."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from dataclasses import dataclass
from typing import Literal

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_MOST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class TimeSource:
    """One source.

    Attributes:
        kind: "pool" is a name with many servers behind it.
        host: name or address.
        nts: authenticated by NTS (RFC 8915).
        prefer: followed as long as it agrees with the others.
        port: of NTP.
    """

    kind: Literal["server", "pool"]
    host: str
    nts: bool = False
    prefer: bool = False
    port: int = 123

    def line(self) -> str:
        """As chronyd and the script that hands it on read it."""
        words = [self.kind, self.host, "iburst"]
        words += ["nts"] if self.nts else []
        words += ["prefer"] if self.prefer else []
        words += ["port", str(self.port)] if self.port != 123 else []
        return " ".join(words)


def parse_source(text: str) -> TimeSource:
    """Read `[server|pool] HOST [nts] [prefer] [port N]`.

    Raises:
        ValueError: with what would be right.
    """
    words = text.split()
    kind: Literal["server", "pool"] = "server"
    if words and words[0] in ("server", "pool"):
        kind = "pool" if words.pop(0) == "pool" else "server"
    if not words:
        raise ValueError('expected a name or an address such as "ntp.example.org" or "192.0.2.1"')
    host, *rest = words
    if not _is_host(host):
        raise ValueError(f"{host!r} is neither a name nor an address")
    nts = prefer = False
    port = 123
    while rest:
        word = rest.pop(0)
        if word == "nts":
            nts = True
        elif word == "prefer":
            prefer = True
        elif word == "iburst":
            pass  # each has it
        elif (
            word == "port"
            and rest
            and rest[0].isascii()
            and rest[0].isdigit()
            and 0 < int(rest[0]) <= _MOST_PORT
        ):
            port = int(rest.pop(0))
        else:
            raise ValueError(f'expected "nts", "prefer" or "port" with a number after {host}, got {word!r}')
    if kind == "pool" and _is_address(host):
        raise ValueError(
            f'a pool is a name with many servers behind it, and {host} is an address: leave out "pool"'
        )
    return TimeSource(kind, host, nts, prefer, port)


def _is_address(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False


def _is_host(host: str) -> bool:
    # A zone ("fe80::1%eth0") is of this machine's making and would not pass on.
    if _is_address(host):
        return "%" not in host
    labels = host.removesuffix(".").split(".")
    # All digits and dots that are no address are a typing error and no name (RFC 1123 section 2.1).
    return len(host) <= 253 and all(_LABEL.fullmatch(label) for label in labels) and not labels[-1].isdigit()
