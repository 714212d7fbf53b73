"""Who may knock: decided from headers alone, before any handler runs. Nothing in here does I/O."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from appliance.dataplane.interface import Endpoint

#: On every response. No inline script or style, nothing from elsewhere, nobody may frame us. `same-origin` and not
#: `no-referrer`: the latter makes browsers send "Origin: null" with our own forms.
SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
METHODS = SAFE_METHODS | {"POST", "PATCH", "PUT", "DELETE"}


def refused_endpoint(endpoint: Endpoint) -> str | None:
    """Why the pages cannot be served on `endpoint`, or None: without a log-in they stay on this machine."""
    if ipaddress.ip_address(endpoint.host).is_loopback:
        return None
    return (
        f"{endpoint} can be reached from other machines, and these pages have no log-in yet: loopback only until the "
        f'admin surface has its lock. Use listen = "127.0.0.1:8080" (or "[::1]:8080") and reach it through an SSH tunnel'
    )


def host_name(host_header: str) -> str:
    """The name or address of a Host header in lower case, without port and brackets; "" when it makes no sense."""
    try:
        parts = urlsplit(f"//{host_header}")
        _ = parts.port
    except ValueError:
        return ""
    if parts.path or parts.query or parts.fragment or "@" in host_header or "\\" in host_header:
        return ""
    return (parts.hostname or "").rstrip(".")


def known_host(host_header: str, names: Collection[str]) -> bool:
    """Whether a browser that calls us by this name can be meant.

    A name of a stranger's zone that suddenly points here (DNS rebinding) is not known. An address cannot be rebound.
    """
    name = host_name(host_header)
    if not name:
        return False
    if name == "localhost" or name.endswith(".localhost") or name in {n.lower().rstrip(".") for n in names}:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def foreign(method: str, scheme: str, headers: Mapping[str, str]) -> str | None:
    """Why a request that changes something is not ours (cross-site request forgery), or None when it is.

    `Sec-Fetch-Site` decides where the browser sends it, else `Origin` must be ours. Without either it is no browser of
    today: accepted only with a JSON body, which no page elsewhere can send without asking first.

    Args:
        method: HTTP method.
        scheme: "http" or "https", as we are called.
        headers: case-insensitive.
    """
    if method in SAFE_METHODS:
        return None
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return None if site in ("same-origin", "none") else f"the request comes from another site ({site})"
    origin = headers.get("Origin")
    if origin is not None:
        ours = f"{scheme}://{headers.get('Host', '')}"
        return None if origin.lower() == ours.lower() else "the request comes from a page of another origin"
    media_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type == "application/json":
        return None
    return "the request says neither where it comes from (Origin) nor that it is JSON (Content-Type: application/json)"
