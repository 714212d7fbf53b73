"""Where a reader is led instead of being answered: to HTTPS, to the pages for everybody, to where one signs in."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from aiohttp import web

from appliance.api.actor import Actor
from appliance.core.http import as_response
from appliance.core.routes import Mounted, Reply, RouteTable
from appliance.dataplane.interface import Endpoint
from appliance_web import guard, refusals
from appliance_web.way import Way


def off_the_line(
    raw: web.Request, way: Way, mounted: Mounted | None, secure: Sequence[Endpoint]
) -> web.Response | None:
    """Over plain HTTP other machines get what anybody may read (None); a reader is sent on to HTTPS, served at `secure`.

    Raises:
        HttpsRequired: sending it on would come too late, or there is nowhere to.
    """
    if way.line != "plain" or mounted is None or mounted.route.in_the_clear:
        return None
    if not secure:
        raise refusals.HttpsRequired(
            "this is not done over plain HTTP, where everybody on the way can read it, and HTTPS is not served here. Set "
            "listen_tls under [plugins.web], or open it on the box itself (ssh -L 8080:localhost:80)"
        )
    url = _https_url(way, secure[0].port, raw.rel_url.raw_path_qs)
    if raw.method in ("GET", "HEAD") and mounted.route.page:
        return _see("/status" if mounted.path == "/" else url, 302)
    raise refusals.HttpsRequired(
        f"this is not done over plain HTTP, where everybody on the way can read it: use {url}. A token or password "
        f"that was just sent should be replaced"
    )


def to_sign_in(raw: web.Request, actor: Actor, table: RouteTable) -> web.Response | None:
    """For a reader who has to sign in first, and comes back afterwards; None where that is of no use."""
    if raw.method not in ("GET", "HEAD") or table.find("GET", "/login") is None:
        return None
    if actor.may("setup:run"):
        return _see("/setup", 303)
    return (
        _see(f"/login?next={quote(raw.rel_url.raw_path_qs, safe='/')}", 303) if actor.may("public") else None
    )


def _see(where: str, status: int) -> web.Response:
    """It is there, for now."""
    return as_response(Reply("", status, {"Location": where, "Cache-Control": "no-store"}, "text/plain"))


def _https_url(way: Way, port: int, path: str) -> str:
    name = guard.host_name(way.host)
    host = f"[{name}]" if ":" in name else name
    return f"https://{host}{'' if port == 443 else f':{port}'}{path}"
