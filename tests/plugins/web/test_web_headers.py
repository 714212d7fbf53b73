"""The same headers on every answer of every route, written down once: whoever changes them has to change this."""

from __future__ import annotations

import re

import pytest

from tests.plugins.web.test_web_api_schema import whole
from tests.plugins.web.visiting import address, visited

ALWAYS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), "
    "microphone=(), midi=(), payment=(), usb=()",
    "server": "timeball",
}
#: What other sites may frame, show and read: the public status in small.
ELSEWHERE = {
    "/status/embed",
    "/status/badge.svg",
    "/status/badge/{zone}",
    "/badge/{id}",
    "/status/feed.atom",
    "/api/v1/public",
}
THERE = ALWAYS | {
    "content-security-policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors *; "
    "object-src 'none'",
    "cross-origin-resource-policy": "cross-origin",
    "access-control-allow-origin": "*",
}
#: What an answer may carry besides. Nothing that opens us to other origins, and nothing that tells what runs here.
SOMETIMES = {
    "allow", "cache-control", "connection", "content-disposition", "content-encoding", "content-length", "content-type", "date",
    "etag", "keep-alive", "link", "location", "ratelimit", "ratelimit-policy", "retry-after", "set-cookie", "transfer-encoding",
    "vary", "www-authenticate", "x-request-id", "x-total-count", "deprecation", "sunset",
}  # fmt: skip


@pytest.mark.timeout(300)
async def test_every_route_answers_with_the_same_headers(tmp_path):
    """All routes of all plugins, each by every method that it takes, as a stranger would and with nonsense for parameters."""
    import aiohttp

    async with whole(tmp_path) as app, aiohttp.ClientSession(auto_decompress=False) as session:
        base, asked = address(app), 0
        for mounted in app.host.routes.routes():
            path = re.sub(r"\{\w+(:[^{}]+)?\}", "x", mounted.path)
            for accept in ("text/html", "application/json"):
                async with session.request(
                    mounted.route.method,
                    base + path,
                    headers={"Accept": accept, "Sec-Fetch-Site": "cross-site"},
                    allow_redirects=False,
                ) as reply:
                    asked += 1
                    found = {name.lower(): value for name, value in reply.headers.items()}
                    always = THERE if mounted.path in ELSEWHERE else ALWAYS
                    assert {name: found.get(name) for name in always} == always, mounted.id
                    assert found.keys() - always.keys() <= SOMETIMES, mounted.id
                    assert re.fullmatch("[0-9a-f]{12}", found["x-request-id"]), mounted.id
                    assert "cache-control" in found, mounted.id
                    if mounted.route.unsafe:
                        assert reply.status in (401, 403), mounted.id
        assert asked > 100


async def test_a_stranger_does_not_learn_the_version(tmp_path):
    """From another machine: neither page nor API nor document nor error tells which version runs here."""
    from importlib.metadata import version

    config = 'proxies = ["127.0.0.1"]'
    async with visited(tmp_path, config=config) as visitor:
        for path in (
            "/health",
            "/api/v1/health",
            "/status",
            "/api",
            "/api/v1/openapi.json",
            "/help",
            "/nothing",
            "/api/v1/status",
        ):
            _, text, headers = await visitor.get(path, X_Forwarded_For="8.8.8.8", X_Forwarded_Proto="https")
            assert "Timeball test" not in text, path
            assert '"version":"test"' not in text, path
            assert version("aiohttp") not in str(headers)
