"""Proof that whoever adds a server also runs it: a token fetched from its own address, or found in its name's DNS."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Method = Literal["http", "txt"]
#: Looks up the strings of a name's TXT records; an empty list when there are none.
TxtLookup = Callable[[str], Awaitable[Sequence[str]]]

TOKEN_BYTES: Final = 20
TXT_LABEL: Final = "_timeball"
_LOOKUP_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof that was asked for and has not come yet.

    Attributes:
        digest: of the token; the token itself is known only to whom it was given.
        member: member id.
        expires_at: epoch seconds.
    """

    digest: str
    member: str
    method: Method
    expires_at: float


def new_token(random_bytes: Callable[[int], bytes]) -> str:
    """160 random bits as lower-case text that fits a URL, a DNS record and a telephone."""
    return base64.b32encode(random_bytes(TOKEN_BYTES)).decode("ascii").lower()


def digest_of(token: str) -> str:
    """What is kept of a token. It is random and long, so a plain hash is enough: there is nothing to guess."""
    return hashlib.sha256(token.strip().lower().encode()).hexdigest()


def find_proof(proofs: Iterable[Proof], token: str, method: Method, now: float) -> Proof | None:
    """The proof that `token` belongs to, if it is still good."""
    digest = digest_of(token)
    for proof in proofs:
        if proof.digest == digest and proof.method == method and now < proof.expires_at:
            return proof
    return None


def same_address(remote: str, address: str) -> bool:
    """Whether a connection from `remote` comes from the canonical `address` (an IPv4 client may arrive mapped)."""
    try:
        ip = ipaddress.ip_address(remote.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return str(ip) == address


def txt_owner(name: str) -> str:
    """Where the TXT record for host `name` belongs."""
    return f"{TXT_LABEL}.{name}"


async def lookup_txt(owner: str, *, nameserver: str | None = None, port: int = 53) -> list[str]:
    """The strings of all TXT records at `owner`, from the system's resolver or from one name server.

    Raises:
        OSError: the question was not answered.
    """
    import dns.asyncresolver
    import dns.exception
    import dns.rdatatype
    import dns.resolver

    resolver = dns.asyncresolver.Resolver(configure=nameserver is None)
    if nameserver is not None:
        resolver.nameservers = [nameserver]
        resolver.port = port
    resolver.lifetime = _LOOKUP_S
    try:
        answer = await resolver.resolve(owner, dns.rdatatype.TXT, search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except dns.exception.DNSException as error:
        raise OSError(f"{owner} could not be looked up: {error}") from None
    return [b"".join(rdata.strings).decode("utf-8", "replace") for rdata in answer]
