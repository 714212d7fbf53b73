"""Who may knock: decided from headers alone, before any handler runs. Nothing in here does I/O."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from multidict import MultiMapping

#: On every response. No inline script or style, nothing from elsewhere, nobody may frame us. `same-origin` and not
#: `no-referrer`: the latter makes browsers send "Origin: null" with our own forms.
SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": (
        "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), "
        "midi=(), payment=(), usb=()"
    ),
}
#: What other sites may show in a frame or as an image, and read: the same for everybody, without a cookie's worth in it.
_FOR_OTHERS = frozenset({"/status/embed", "/status/badge.svg", "/status/feed.atom", "/api/v1/public"})
_BADGES = ("/status/badge/", "/badge/")
_OTHERS_HEADERS: Mapping[str, str] = {
    **SECURITY_HEADERS,
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors *; object-src 'none'"
    ),
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Access-Control-Allow-Origin": "*",
}


def headers_for(path: str) -> Mapping[str, str]:
    """The security headers of what is at `path`."""
    return _OTHERS_HEADERS if path in _FOR_OTHERS or path.startswith(_BADGES) else SECURITY_HEADERS


#: Once a certificate that browsers trust is served; kept short enough that a way back stays a way back.
HSTS = "max-age=2592000"

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
METHODS = SAFE_METHODS | {"POST", "PATCH", "PUT", "DELETE"}

#: Fields that say one thing. Two of them are two things, and of two readers each might believe another one.
ONCE = (
    "Authorization",
    "Content-Encoding",
    "Content-Type",
    "Expect",
    "Idempotency-Key",
    "Origin",
    "Sec-Fetch-Site",
)


def twice(headers: MultiMapping[str]) -> str:
    """The first field that may stand there once only and does not, or ""."""
    return next((name for name in ONCE if len(headers.getall(name, ())) > 1), "")


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

    A name of a stranger's zone that suddenly points here (DNS rebinding) is not known. An address cannot be rebound, so
    any is taken: behind a port forwarding we are called by one that is not ours.
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


def target_elsewhere(target: str, host: str) -> str | None:
    """Why a request whose line names a server (RFC 9112 section 3.2.2) is not meant for us, or None when it may be.

    Such a name counts and the Host header does not; both must be the same (section 3.2), and then the header is looked at.
    What the line says of the scheme counts nowhere: whether a connection is secure is known from the connection.
    """
    scheme, found, rest = target.partition("://")
    if target.startswith(("/", "*")) or not found:
        return None
    named = rest.partition("/")[0].partition("?")[0]
    if scheme.lower() in ("http", "https") and named.lower() == host.lower():
        return None
    return f'the request is for "{target[:100]}", and its Host header says "{host[:100]}": this box is no proxy. Ask it for a path'


def foreign(method: str, scheme: str, host: str, headers: Mapping[str, str]) -> str | None:
    """Why a request that changes something is not ours (cross-site request forgery), or None when it is.

    `Sec-Fetch-Site` decides where the browser sends it, which is on HTTPS and loopback; else `Origin` must be ours.
    Without either it is no browser of today: taken only with a token in a header, which no browser adds by itself, and
    without a cookie, which one does.

    Args:
        method: HTTP method.
        scheme: "http" or "https", as we are called.
        host: the Host header, as we are called.
        headers: case-insensitive.
    """
    if method in SAFE_METHODS:
        return None
    if (why := _elsewhere(scheme, host, headers)) is not None:
        return why
    if "Sec-Fetch-Site" in headers or "Origin" in headers:
        return None
    if headers.get("Authorization", "")[:7].lower() == "bearer " and "Cookie" not in headers:
        return None
    return "the request says not where it comes from (Sec-Fetch-Site, Origin); programs send a token (Authorization: Bearer)"


def foreign_stream(scheme: str, host: str, headers: Mapping[str, str]) -> str | None:
    """The same for a live stream: a browser's must come from our own pages, a program may say nothing."""
    return _elsewhere(scheme, host, headers)


def _elsewhere(scheme: str, host: str, headers: Mapping[str, str]) -> str | None:
    """Why a browser says that it is somebody else's page which asks, or None."""
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return (
            None if site in ("same-origin", "none") else f"the request comes from another site ({site[:20]})"
        )
    origin = headers.get("Origin")
    if origin is not None and origin.lower() != f"{scheme}://{host}".lower():
        return "the request comes from a page of another origin"
    return None
