"""Tokens of programs: `timeball_ID_SECRETcheck`, shown once, kept as SHA-256 (enough for 256 random bits)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import re
import secrets
import zlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from appliance.api.actor import KEPT_AREAS, OWN

DEFAULT_DAYS = 90
MOST_DAYS = 3650
#: Id (40 bits) and secret (256 bits) in base 32, then the CRC of all before it, so that a scanner of leaked secrets and a
#: person's slip are told from a guess.
_FORM = re.compile(r"timeball_([a-z2-7]{8})_([a-z2-7]{52})([a-z2-7]{7})")


@dataclass(frozen=True, slots=True)
class Token:
    """One token.

    Attributes:
        id: the part of it that is no secret.
        hash: SHA-256 of the whole, hexadecimal.
        account: id of the user whose rights it can never exceed.
        label: what it is for, in the user's words.
        grants: what it may do, as asked for.
        networks: from where it works; empty: from everywhere.
        expires: epoch seconds, or None for never.
        used: when and from where it was shown last.
        maker: id of the user who made it, where that is not who has it; it never exceeds that one either.
    """

    id: str
    hash: str
    account: str
    label: str
    grants: tuple[str, ...]
    created: float
    expires: float | None
    networks: tuple[str, ...] = ()
    used: float | None = None
    used_from: str = ""
    maker: str = ""

    def moved(self, by_s: float) -> Token:
        """The same token on a clock that was set by so much."""
        expires = None if self.expires is None else self.expires + by_s
        return replace(self, created=self.created + by_s, expires=expires)

    def works(self, now: float, remote: str) -> bool:
        """Whether it is not over and is shown from where it may be."""
        return (self.expires is None or now < self.expires) and (
            not self.networks or _within(remote, self.networks)
        )


def make() -> tuple[str, str, str]:
    """A new token: its text, its id, and the hash to keep."""
    head = f"timeball_{_base32(secrets.token_bytes(5))}_{_base32(secrets.token_bytes(32))}"
    text = head + _check(head)
    return text, head.split("_")[1], digest(text)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def id_of(text: str) -> str | None:
    """The id in a token's text, or None when it cannot be a token of ours."""
    found = _FORM.fullmatch(text)
    return found[1] if found and _check(text[:-7]) == found[3] else None


def same(text: str, kept: str) -> bool:
    """Whether `kept` is the hash of `text`, without telling by the time it takes how much of it."""
    return hmac.compare_digest(digest(text), kept)


def meet(wanted: Iterable[str], held: Collection[str]) -> frozenset[str]:
    """What both sets of grants allow."""
    found = {_meet(a, b) for a in wanted for b in held}
    return frozenset(grant for grant in found if grant)


def network(text: str) -> str:
    """An address or prefix in one form.

    Raises:
        ValueError: it is none.
    """
    return str(ipaddress.ip_network(text.strip(), strict=False))


def _meet(a: str, b: str) -> str:
    if a == b:
        return a
    (area, _, verb), (other_area, _, other_verb) = a.partition(":"), b.partition(":")
    if not verb or not other_verb:
        return ""
    if "*" in (area, other_area) and area != other_area:
        area = other_area if area == "*" else area
        if area in KEPT_AREAS:  # which `*` does not reach
            return ""
    elif area != other_area:
        return ""
    if "*" in (verb, other_verb) and verb != other_verb:
        verb = other_verb if verb == "*" else verb
    elif verb != other_verb:
        narrow = max(verb, other_verb, key=len)
        if narrow != min(verb, other_verb, key=len) + OWN:
            return ""
        verb = narrow
    return f"{area}:{verb}"


def _within(remote: str, networks: Iterable[str]) -> bool:
    try:
        address = ipaddress.ip_address(remote.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return any((mapped or address) in ipaddress.ip_network(network) for network in networks)


def _check(head: str) -> str:
    return _base32(zlib.crc32(head.encode()).to_bytes(4, "big"))


def _base32(content: bytes) -> str:
    return base64.b32encode(content).decode().rstrip("=").lower()
