"""`[plugins.web]`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import field_validator, model_validator

from appliance.api.config import PluginConfig, checked, setting
from appliance.dataplane.interface import Endpoint
from appliance_web.guard import host_name
from appliance_web.tls.names import is_dns_name
from appliance_web.way import address_of, read_networks

#: A port without TLS and the one beside it with TLS; others follow the second pair.
_HTTP, _HTTPS = 80, 443
_FURTHER = 8443 - 8080


def _is_host(text: str) -> None:
    if not (is_dns_name(text.rstrip(".")) or address_of(text)) or host_name(text) == "":
        raise ValueError(
            f'expected a host name such as "time.example.org", without port and path, got {text!r}'
        )


def _is_endpoint_or_auto(text: str) -> None:
    if text != "auto":
        Endpoint.parse(text)


def _is_network(text: str) -> None:
    try:
        read_networks([text])
    except ValueError:
        raise ValueError(
            f'expected an address or a network such as "127.0.0.1" or "10.0.0.0/8", got {text!r}'
        ) from None


class WebConfig(PluginConfig):
    """Where the pages are served and how much one visitor may ask for."""

    listen: tuple[Annotated[str, checked(Endpoint.parse)], ...] = setting(
        ("127.0.0.1:8080",),
        restart="plugin",
        locks_out=True,
        help="Address and port for plain HTTP, one or a list. Other machines get the status page, health and metrics there, and are sent on to HTTPS for everything else.",
        examples=["0.0.0.0:80", ["127.0.0.1:8080", "[::1]:8080"]],
    )
    listen_tls: tuple[Annotated[str, checked(_is_endpoint_or_auto)], ...] = setting(
        ("auto",),
        restart="plugin",
        locks_out=True,
        help='Address and port for HTTPS, one or a list; "auto" takes 443 beside 80 and 8443 beside 8080, [] switches it off.',
        examples=["0.0.0.0:443", []],
    )
    hosts: tuple[Annotated[str, checked(_is_host)], ...] = setting(
        (),
        restart="plugin",
        locks_out=True,
        help="Names besides the host name, its addresses and localhost by which a browser may call this box; others are refused. The certificate carries them.",
        examples=[["time.example.org"]],
    )
    public: Literal["status", "read"] = setting(
        "status",
        opens=True,
        restart="plugin",
        help="What everybody may see who does not sign in: health, scores and the manual, or all that is no secret.",
    )
    trust_loopback: Literal["no", "read", "operate"] = setting(
        "read",
        opens=True,
        restart="plugin",
        locks_out=True,
        help="What everybody on this machine itself may do without signing in: nothing special, look, or run the pool.",
    )
    scrapers: tuple[Annotated[str, checked(_is_network)], ...] = setting(
        (),
        opens=True,
        restart="plugin",
        help="Addresses that may read /metrics without a token.",
        examples=[["10.1.2.3"]],
    )
    allow_http_admin: bool = setting(
        default=False,
        opens=True,
        restart="plugin",
        locks_out=True,
        help="Let machines in private networks sign in and administer over plain HTTP, where everybody on the way can read along. Each page says so.",
    )
    proxies: tuple[Annotated[str, checked(_is_network)], ...] = setting(
        (),
        opens=True,
        restart="plugin",
        locks_out=True,
        help="Reverse proxies in front of the pages: X-Forwarded-For, -Proto and -Host of these addresses are believed, of others never.",
        examples=[["127.0.0.1"], ["10.1.2.0/24"]],
    )
    hsts: Literal["auto", "off"] = setting(
        "auto",
        restart="plugin",
        help='"auto" tells browsers to insist on HTTPS for 30 days once a certificate of your own is served.',
        advanced=True,
    )
    max_streams: int = setting(
        64,
        help="Live pages that may be open at once; one visitor has half of them at most.",
        ge=1,
        le=1000,
        advanced=True,
    )
    max_connections: int = setting(
        256,
        restart="plugin",
        help="Connections at once; then idle ones have to go.",
        ge=8,
        le=10000,
        advanced=True,
    )
    max_connections_per_address: int = setting(
        96,
        restart="plugin",
        help="Connections at once of one address (IPv6: one /64).",
        ge=4,
        le=10000,
        advanced=True,
    )
    reads_per_minute: int = setting(
        1200,
        restart="plugin",
        help="Requests a minute that one visitor may send to look.",
        ge=10,
        le=1_000_000,
        advanced=True,
    )
    changes_per_minute: int = setting(
        120,
        restart="plugin",
        help="Requests a minute that one visitor may send to change something.",
        ge=1,
        le=1_000_000,
        advanced=True,
    )
    access_log: bool = setting(default=False, help="Write one log line for each request.", live=True)

    @field_validator("listen", "listen_tls", "hosts", "proxies", "scrapers", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("listen_tls")
    @classmethod
    def _auto_alone(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "auto" in value and len(value) > 1:
            raise ValueError('expected addresses, or "auto" alone')
        return value

    @field_validator("listen")
    @classmethod
    def _somewhere(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError('expected at least one address; switch the pages off with "enabled = false"')
        return value

    @model_validator(mode="after")
    def _no_port_twice(self) -> Self:
        taken: set[Endpoint] = set()
        for endpoint in (*self.endpoints(), *(() if self.tls_is_auto else self.tls_endpoints())):
            if endpoint in taken and endpoint.port:
                raise ValueError(f"{endpoint} stands twice in listen and listen_tls")
            taken.add(endpoint)
        return self

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where plain HTTP is served."""
        return tuple(Endpoint.parse(text) for text in self.listen)

    def tls_endpoints(self) -> tuple[Endpoint, ...]:
        """Where HTTPS is served."""
        if self.tls_is_auto:
            return beside(self.endpoints())
        return tuple(Endpoint.parse(text) for text in self.listen_tls)

    @property
    def tls_is_auto(self) -> bool:
        """Whether the HTTPS addresses follow from the others."""
        return "auto" in self.listen_tls


def beside(endpoints: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """The HTTPS address that goes with each HTTP one."""

    def port(plain: int) -> int:
        if plain in (0, _HTTP):
            return _HTTPS if plain else 0
        return plain + _FURTHER

    return tuple(Endpoint(host, port(plain)) for host, plain in endpoints if port(plain) <= 65535)
