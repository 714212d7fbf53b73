"""`[plugins.dns]`."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, field_validator, model_validator

from appliance.api.config import PluginConfig, checked, setting
from appliance.dataplane.interface import Endpoint
from appliance.wire.dns import encode_name
from appliance.wire.errors import WireError
from appliance_dns.limits import RateLimitConfig

MAX_TEXT = 2000
#: Names that we publish: nothing that needs escapes in a zone file or a URL.
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")


def _dns_name(text: str) -> str:
    try:
        wire = encode_name(text)
    except WireError as error:
        raise ValueError(str(error)) from None
    if len(wire) < 2:
        raise ValueError("expected a name such as pool.example.org, not the root")
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} may hold letters, digits, hyphens and underscores between dots only")
    return text.removesuffix(".").lower()


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f'expected IP addresses such as "192.0.2.53", got {text!r}') from None


Address = Annotated[str, AfterValidator(_address)]


def _is_text(text: str) -> None:
    """A record of 64 KiB cannot be sent, and one of more than a few hundred octets goes over TCP."""
    if len(text.encode()) > MAX_TEXT or not text.isprintable():
        raise ValueError(f"expected one line of at most {MAX_TEXT} octets")


class NameServer(PluginConfig):
    """A name server of the zone, as its NS records name it."""

    name: str = setting(
        help="Host name: one label is a name inside the zone; one with dots is complete.", examples=["ns1"]
    )
    addresses: tuple[Address, ...] = setting(
        (),
        help="Its addresses, published when its name is inside the zone.",
        live=True,
        examples=[["192.0.2.53"]],
    )

    @field_validator("name")
    @classmethod
    def _is_name(cls, value: str) -> str:
        return _dns_name(value)

    @field_validator("addresses")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value))


class Soa(PluginConfig):
    """The figures of the SOA record that secondaries and caches go by."""

    ttl: int = setting(3600, help="TTL of the SOA record.", unit="s", ge=30, le=604800, live=True)
    refresh: int = setting(
        5400, help="How often secondaries look for a new serial.", unit="s", ge=60, live=True
    )
    retry: int = setting(1800, help="How soon they try again.", unit="s", ge=30, live=True)
    expire: int = setting(1209600, help="How long they answer without us.", unit="s", ge=3600, live=True)
    minimum: int = setting(
        300, help="How long resolvers remember that a name is not there.", unit="s", ge=1, live=True
    )


class CertificateAuthority(PluginConfig):
    """One CAA record: who may issue certificates for names in the zone."""

    tag: Literal["issue", "issuewild", "iodef"] = setting("issue", help="What the value is about.", live=True)
    value: str = setting(
        help='Domain of the authority, ";" for none.', live=True, max_length=200, examples=[";"]
    )
    critical: bool = setting(
        default=False, help="Issuers that do not know the tag must not issue.", live=True
    )


class DnsConfig(PluginConfig):
    """`[plugins.dns]`."""

    zone: str = setting(
        "pool.home.arpa",
        help="Name of the zone whose names give members.",
        restart="plugin",
        examples=["pool.example.org"],
    )
    listen: tuple[Annotated[str, checked(Endpoint.parse)], ...] = setting(
        ("0.0.0.0:53", "[::]:53"),
        help="Addresses for UDP and TCP.",
        restart="plugin",
        min_length=1,
        max_length=16,
    )
    ttl: int = setting(150, help="TTL of the members' addresses.", unit="s", ge=1, le=86400, live=True)
    max_records: int = setting(4, help="Most addresses in one answer.", ge=1, le=8, live=True)
    numbered: int = setting(
        4, help="How many numbered names there are: 4 means 0 to 3.", ge=0, le=4, live=True
    )
    ns: tuple[NameServer, ...] = setting(
        (),
        help="Name servers of the zone; without any, ns1 with the addresses that DNS listens on.",
        max_length=13,
        live=True,
    )
    contact: str = setting(
        "hostmaster", help="Mailbox for the zone: a label in it, or an e-mail address.", live=True
    )
    soa: Soa = setting(default_factory=Soa, help="Figures of the SOA record.", live=True)
    txt: tuple[Annotated[str, checked(_is_text)], ...] = setting(
        (), help="TXT records at the zone's name.", live=True, max_length=16
    )
    caa: tuple[CertificateAuthority, ...] = setting(
        (), help="CAA records at the zone's name.", live=True, max_length=16
    )
    null_mx: bool = setting(default=True, help="Say that the names take no mail (RFC 7505).", live=True)
    on_empty: Literal["nodata", "last_good", "servfail", "fallback"] = setting(
        "nodata", help="What to answer when no member of a family is usable.", live=True
    )
    fallback: tuple[Address, ...] = setting(
        (), help='Addresses for on_empty = "fallback".', live=True, examples=[["192.0.2.99"]], max_length=8
    )
    coherence_s: int = setting(
        8,
        help="How long one client address is given the same answer, so that 0 to 3 do not repeat members; 0: never.",
        unit="s",
        ge=0,
        le=3600,
        live=True,
    )
    nsid: str = setting(
        "", help="What the NSID option and id.server tell; empty hides it.", live=True, max_length=64
    )
    version: str = setting("", help="What version.bind tells; empty hides it.", live=True, max_length=64)
    tcp_idle_s: float = setting(
        10.0,
        help="Idle TCP connections are closed after it.",
        unit="s",
        ge=1,
        le=120,
        advanced=True,
        live=True,
    )
    tcp_clients: int = setting(
        256,
        help="TCP connections at a time; one more ends the longest idle one.",
        ge=1,
        le=10000,
        advanced=True,
        live=True,
    )
    whoami: bool = setting(
        default=True, help="_whoami in the zone tells a client its own address as we see it.", live=True
    )
    status: bool = setting(
        default=True, help="_status in the zone tells how many members there are and are usable.", live=True
    )
    largest_without_cookie: int = setting(
        512,
        help="Longest answer over UDP to a client that has not proven its address by a cookie; longer ones go over TCP.",
        unit="B",
        ge=512,
        le=1232,
        live=True,
        advanced=True,
    )
    rate_limit: RateLimitConfig = setting(
        default_factory=RateLimitConfig, help="How many replies a network may be sent over UDP.", live=True
    )
    secret: str = setting(
        "",
        help="Name of a secret of at least 16 bytes; boxes that share it draw alike. Empty: one of this box's own.",
        advanced=True,
    )

    @field_validator("zone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        value = _dns_name(value)
        if len(value) > 120:
            raise ValueError("at most 120 characters leave room for the names below it")
        return value

    @field_validator("listen")
    @classmethod
    def _are_endpoints(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        endpoints = [Endpoint.parse(text) for text in value]
        twice = [str(e) for e in endpoints if e.port and endpoints.count(e) > 1]
        if twice:
            raise ValueError(f"{twice[0]} stands there twice")
        return value

    @field_validator("fallback")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value))

    @field_validator("contact")
    @classmethod
    def _is_mailbox(cls, value: str) -> str:
        user, _, domain = value.partition("@")
        _dns_name(domain or "x")
        if not 0 < len(user) <= 63 or not user.isascii() or any(c.isspace() for c in user):
            raise ValueError("expected a word such as hostmaster, or an e-mail address")
        return value

    @model_validator(mode="after")
    def _is_whole(self) -> DnsConfig:
        if self.on_empty == "fallback" and not self.fallback:
            raise ValueError('on_empty = "fallback" needs addresses in `fallback`')
        return self

    def endpoints(self) -> tuple[Endpoint, ...]:
        return tuple(Endpoint.parse(text) for text in self.listen)

    def zone_name(self) -> bytes:
        """The zone's wire name, in lower case."""
        return encode_name(self.zone)

    def mailbox(self) -> bytes:
        """RNAME of the SOA: the mailbox as a name, its dots escaped (RFC 1035 section 8)."""
        user, _, domain = self.contact.partition("@")
        escaped = user.replace("\\", "\\\\").replace(".", "\\.")
        return encode_name(f"{escaped}.{domain or self.zone}")

    def names(self) -> tuple[str, ...]:
        """Labels in front of a zone that give its members: none, and the numbered ones."""
        return ("", *(str(number) for number in range(self.numbered)))
