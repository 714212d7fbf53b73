"""What the box's own screen is told: name, addresses, fingerprint, and the state in four lines."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from appliance.api.contrib import Route
from appliance.core.routes import Request
from appliance.dataplane.interface import Endpoint
from appliance_web import words
from appliance_web.front import Front
from appliance_web.site import Site
from appliance_web.tls.operations import told as tls_told
from appliance_web.use_page import UsePage
from appliance_web.views import clock as clock_view
from appliance_web.views import overview as overview_view
from appliance_web.views import traffic as traffic_view
from appliance_web.views.standing import Sentence

_ANYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
_RETURNS = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "urls": {
            "type": "array",
            "items": {"type": "string"},
            "description": "where a browser finds the box",
        },
        "fingerprint": {"type": "string", "description": "SHA-256 of the certificate"},
        "claimed": {"type": "boolean", "description": "whether the box has an owner"},
        "state": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "label": {"type": "string"},
                    "text": {"type": "string"},
                    "level": {"type": "string"},
                },
                "required": ["label", "text", "level"],
            },
        },
    },
    "required": ["name", "urls", "fingerprint", "claimed", "state"],
}


def console_routes(site: Site) -> tuple[Route, ...]:
    """The one operation."""

    async def show(request: Request) -> dict[str, Any]:
        front = site.ctx.get(Front)
        certificate = tls_told(front, site.now()).get("certificate") or {}
        names = [str(n) for n in certificate.get("names") or ()]
        setup = await site.operations.value(request, "/api/v1/setup")
        return {
            "name": UsePage(site).pool("").zone or (names[0] if names else "this pool"),
            "urls": urls(front.tls, "https", names) or urls(front.plain, "http", names),
            "fingerprint": str(certificate.get("fingerprint_sha256", "")) if front.tls else "",
            "claimed": bool(setup.get("claimed")) if isinstance(setup, Mapping) else True,
            "state": await _state(site, request),
        }

    return (
        Route(
            "GET", "/api/v1/console", show, "box:read", "What the box's own screen shows", returns=_RETURNS
        ),
    )


def urls(endpoints: Iterable[Endpoint], scheme: str, names: Iterable[str]) -> list[str]:
    """Addresses to type: for an endpoint on all addresses each name of the box, those of loopback last."""
    found: dict[str, None] = {}
    for endpoint in endpoints:
        port = "" if endpoint.port == {"http": 80, "https": 443}[scheme] else f":{endpoint.port}"
        hosts = list(names) if endpoint.host in _ANYWHERE else [endpoint.host]
        for host in sorted(hosts, key=_rank):
            found[f"{scheme}://{f'[{host}]' if ':' in host else host}{port}/"] = None
    return list(found)


def _rank(host: str) -> int:
    """A name in the local zone works from any desk, an address everywhere, loopback only here."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return 3 if host == "localhost" else 0 if "." in host else 2
    return 4 if address.is_loopback else 1


async def _state(site: Site, request: Request) -> list[dict[str, str]]:
    clock = clock_view.sentence(await site.operations.value(request, "/api/v1/clock"))
    pool = site.pool(site.rows(request, recent=False))
    traffic = await site.operations.value(request, "/api/v1/traffic", range="1h")
    ntp, dns = (traffic_view.spark(traffic, c, "")[0] for c in ("ntp_per_s", "dns_per_s"))
    health = overview_view.problems(overview_view.health(await site.box(request)))
    well = Sentence("ok", "Everything is well.")
    if health:
        more = f" (and {len(health) - 1} more)" if len(health) > 1 else ""
        well = Sentence(health[0].shape, f"{health[0].source} {health[0].text}".strip() + more)
    counted = [f"{rate} {service}" for rate, service in ((ntp, "NTP"), (dns, "DNS")) if rate != words.DASH]
    asked = Sentence("ok", f"{' and '.join(counted)} queries a second" if counted else "not counted yet")
    return [
        {"label": label, "text": said.text, "level": said.shape if said.shape in ("ok", "degraded", "failing") else "ok"}
        for label, said in (("Clock", clock), ("Pool", pool), ("Asked", asked), ("Box", well))
    ]  # fmt: skip
