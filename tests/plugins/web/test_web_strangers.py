"""Strangers' pages, names and certificates in a real browser: what a browser lets them do to us is what counts."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager

import pytest

from appliance.core.clock import SystemClock
from appliance_web.front import Front
from appliance_web.tls.authority import Pair
from appliance_web.tls.keeper import context_for
from tests.plugins.web.test_web_actions import fake_members_api
from tests.plugins.web.test_web_tls import issue
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


async def trusting_home(folder, pem):
    """A home whose browser trusts an authority, as its owner would have installed it."""
    database = folder / ".pki" / "nssdb"
    database.mkdir(parents=True)
    (folder / "authority.pem").write_bytes(pem)
    for words in (
        ("-N", "--empty-password"),
        ("-A", "-t", "C,,", "-n", "box", "-i", str(folder / "authority.pem")),
    ):
        process = await asyncio.create_subprocess_exec(need("certutil"), "-d", f"sql:{database}", *words)
        assert await process.wait() == 0
    return folder


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


async def test_a_browser_that_trusts_the_authority_loads_the_pages_by_name_and_address_and_trusts_it_for_nothing_else(
    tmp_path,
):
    """The browser's own verification, name constraints included; without the authority it refuses."""
    async with visited(tmp_path / "state", config='hosts = ["ball.test"]') as visitor:
        keeper = visitor.app.host.services.get(Front).keeper
        home = await trusting_home(tmp_path / "home", keeper.give_out_authority())
        port = address(visitor.app, "https").rpartition(":")[2]
        rules = "--host-resolver-rules=MAP *.test 127.0.0.1"
        async with browser(need("chromium"), rules, home=home) as chromium, chromium.tab() as tab:
            for host in ("ball.test", "127.0.0.1", "localhost"):
                for path in ("/status", "/help/tls", "/api"):
                    await tab.open(f"https://{host}:{port}{path}")
                    assert await tab.evaluate("isSecureContext") is True
                    assert tab.complaints == [], host
            with pytest.raises(RuntimeError, match="ERR_CERT_COMMON_NAME_INVALID"):
                await tab.open(f"https://other.test:{port}/status")
            # Somebody took the authority's key and signs a certificate for a name that is not the box's.
            stolen = (keeper.authority.certificate, keeper.authority.key)
            now_s = SystemClock().wall_ns() / 1e9
            forged = issue(
                "other.test", by=stolen, names=("other.test",), begins_s=now_s - 60, ends_s=now_s + 86400 * 30
            )
            context = context_for(Pair(forged[1], (forged[0], stolen[0])).pem())
            server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0, ssl=context)
            with pytest.raises(RuntimeError, match="ERR_CERT_INVALID"):
                await tab.open(f"https://other.test:{server.sockets[0].getsockname()[1]}/")
            server.close()
            await server.wait_closed()
        async with browser(need("chromium"), rules, home=tmp_path) as chromium, chromium.tab() as tab:
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
