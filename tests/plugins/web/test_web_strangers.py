"""Strangers' pages, names and certificates in a real browser: what a browser lets them do to us is what counts."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from contextlib import asynccontextmanager

import pytest
from cryptography.hazmat.primitives import serialization

from appliance_web.front import Front
from tests.plugins.web.test_web_actions import fake_members_api
from tests.plugins.web.visiting import address, visited
from tests.support.browser import browser
from tests.support.programs import need

PAGES = (
    "/",
    "/members",
    "/members/m00001",
    "/members/add",
    "/dns",
    "/log",
    "/plugins",
    "/tls",
    "/status",
    "/api",
    "/help/tls",
    "/nothing",
)


@asynccontextmanager
async def stranger(page):
    """A web server of somebody else that serves one page."""
    content = page.encode()

    async def answer(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
                % len(content)
            )
            writer.write(content)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def pin(visitor):
    """Chromium's way to trust one key: the digest of the authority's public key, whatever signs below it."""
    top = visitor.app.host.services.get(Front).keeper.authority.certificate
    spki = top.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(hashlib.sha256(spki).digest()).decode()


async def test_a_stranger_s_form_fetch_frame_and_stream_change_and_learn_nothing(tmp_path):
    """On a name that browsers do not trust, as on a LAN, where only Origin tells; and on loopback, where Sec-Fetch-Site does."""
    seen = []
    async with visited(
        tmp_path, plugins=("web", fake_members_api(seen)), config='hosts = ["ball.test"]'
    ) as visitor:
        port = visitor.base.rpartition(":")[2]
        rules = "--host-resolver-rules=MAP ball.test 127.0.0.1, MAP evil.test 127.0.0.1"
        async with browser(need("chromium"), rules) as chromium:
            for host in ("ball.test", "127.0.0.1"):
                page = f"""<!doctype html><title>evil</title>
                <form id=f method=post action="http://{host}:{port}/members/m00001/pause"><input name=hours value=1></form>
                <iframe src="http://{host}:{port}/members"></iframe>
                <script>
                const api = "http://{host}:{port}";
                window.tried = Promise.allSettled([
                  fetch(api + "/members/m00001/pause", {{method: "POST", body: "hours=1", headers: {{"Content-Type": "application/x-www-form-urlencoded"}}}}).then(r => r.text()),
                  fetch(api + "/api/v1/members", {{method: "POST", mode: "no-cors", body: '{{"address": "192.0.2.9"}}'}}).then(r => r.type),
                  fetch(api + "/api/v1/members", {{method: "POST", body: "{{}}", headers: {{"Content-Type": "application/json", "Authorization": "Bearer x"}}}}).then(r => r.text()),
                  fetch(api + "/api/v1/health").then(r => r.text()),
                  new Promise((yes, no) => {{ const s = new EventSource(api + "/api/v1/events"); s.onmessage = s.onopen = yes; s.onerror = () => {{ s.close(); no(); }}; }}),
                ]).then(all => all.map(one => one.status + ":" + (one.value || "")).join(","));
                </script>"""
                async with stranger(page) as evil, chromium.tab() as tab:
                    await tab.open(f"http://evil.test:{evil}/")
                    assert (
                        await tab.evaluate("window.tried")
                        == "rejected:,rejected:,rejected:,rejected:,rejected:"
                    )
                    assert await tab.evaluate("document.querySelector('iframe').contentDocument === null")
                    await tab.evaluate("document.getElementById('f').submit(), 1")
                    await tab.until("location.hostname !== 'evil.test' && document.readyState === 'complete'")
                    assert "comes from" in await tab.evaluate("document.body.innerText")
        assert seen == []


async def test_a_name_that_a_stranger_points_at_us_gets_nothing(tmp_path):
    """DNS rebinding: same origin for the browser, not our name for us; neither the page nor the API answers to it."""
    async with visited(tmp_path) as visitor:
        port = visitor.base.rpartition(":")[2]
        async with (
            browser(need("chromium"), "--host-resolver-rules=MAP rebound.test 127.0.0.1") as chromium,
            chromium.tab() as tab,
        ):
            for path in ("/", "/members", "/api/v1/health", "/tls", "/api/v1/events"):
                await tab.open(f"http://rebound.test:{port}{path}")
                text = await tab.evaluate("document.body.innerText")
                assert "rebound.test" in text
                assert "hosts" in text
            status = await tab.evaluate(
                "fetch('/api/v1/members', {method: 'POST', body: '{}'}).then(r => r.status)"
            )
            assert status == 421


async def test_every_page_over_https_loads_without_a_complaint_once_the_authority_is_trusted(tmp_path):
    """A secure context without a complaint by name and by address; without trust the browser refuses."""
    async with visited(tmp_path, config='hosts = ["ball.test"]') as visitor:
        port = address(visitor.app, "https").rpartition(":")[2]
        rules = "--host-resolver-rules=MAP ball.test 127.0.0.1"
        async with (
            browser(
                need("chromium"), rules, f"--ignore-certificate-errors-spki-list={pin(visitor)}"
            ) as chromium,
            chromium.tab() as tab,
        ):
            for base in (
                f"https://ball.test:{port}",
                f"https://127.0.0.1:{port}",
                f"https://localhost:{port}",
            ):
                await tab.open(base + "/status")
                assert await tab.evaluate("isSecureContext") is True
                assert tab.complaints == []
        async with browser(need("chromium"), rules) as chromium, chromium.tab() as tab:
            with pytest.raises(RuntimeError, match="ERR_CERT_AUTHORITY_INVALID"):
                await tab.open(f"https://ball.test:{port}/status")


async def test_no_page_breaks_its_own_policy(tmp_path):
    """Not one report of the Content-Security-Policy, with hostile text in every field of every member."""
    async with (
        visited(tmp_path, hostile=True) as visitor,
        browser(need("chromium")) as chromium,
        chromium.tab() as tab,
    ):
        for path in PAGES:
            tab.complaints.clear()
            await tab.open(visitor.base + path)
            assert await tab.evaluate("typeof window.hacked") == "undefined"
            assert [c for c in tab.complaints if not (path == "/nothing" and "404" in c)] == [], path


async def test_the_certificate_form_refuses_in_the_browser_and_forgets_the_key(tmp_path):
    async with visited(tmp_path) as visitor, browser(need("chromium")) as chromium, chromium.tab() as tab:
        await tab.open(visitor.base + "/tls")
        text = await tab.evaluate("document.body.innerText")
        shown = await visitor.app.get("/api/v1/tls")
        assert shown["certificate"]["fingerprint_sha256"] in text
        assert shown["authority"]["fingerprint_sha256"] in text
        assert await tab.evaluate("document.querySelector('a[href=\"/api/v1/tls/authority.crt\"]') !== null")
