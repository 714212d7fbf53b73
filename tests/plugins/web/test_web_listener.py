"""The listener: headers on everything, who is refused, limits, compression, caching, and where it may listen at all."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from appliance.api.model import PluginState
from appliance.testing import running, wait_until
from appliance_web import doorman
from tests.plugins.web.visiting import visited

HEADERS = (
    "content-security-policy",
    "referrer-policy",
    "x-content-type-options",
    "x-request-id",
    "cache-control",
)


async def test_every_response_carries_the_security_headers(tmp_path):
    """Pages, API, static files, redirects, errors and refusals alike."""
    async with visited(tmp_path) as visitor:
        static = (await visitor.get("/"))[1].split('href="/static/')[2].split('"')[0]
        for path in (
            "/",
            f"/static/{static}",
            "/static/nothing.css",
            "/scores/10.0.0.1",
            "/nothing",
            "/api/v1/health",
            "/api/v1/nothing",
            "/members/../x",
        ):
            _, _, headers = await visitor.get(path)
            assert all(headers.get(name) for name in HEADERS), path
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "same-origin"
            assert "'unsafe" not in headers["content-security-policy"]
            assert headers["content-security-policy"].startswith(
                "default-src 'none'; script-src 'self'; style-src 'self'"
            )
            assert headers["server"] == "timeball"
        _, _, headers = await visitor.get("/", Host="evil.example")
        assert all(headers.get(name) for name in HEADERS)


async def test_a_rebound_name_is_refused_in_words(tmp_path):
    async with visited(tmp_path, config='hosts = ["time.example.org"]') as visitor:
        status, text, _ = await visitor.get("/", Host="evil.example")
        assert status == 421
        assert "evil.example" in text
        assert "hosts under [plugins.web]" in text
        for host in ("localhost:1", "time.example.org", "192.0.2.1"):
            assert (await visitor.get("/", Host=host))[0] == 200
        status, text, headers = await visitor.get("/api/v1/members", Host="evil.example", Accept="*/*")
        assert (status, headers["content-type"]) == (421, "application/problem+json")


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {}],
    ids=str,
)
@pytest.mark.parametrize("path", ["/members/add", "/members/m00001/pause"])
async def test_a_foreign_form_changes_nothing(tmp_path, path, headers):
    async with (
        visited(tmp_path) as visitor,
        visitor.session.post(visitor.base + path, data={"address": "192.0.2.1"}, headers=headers) as reply,
    ):
        assert reply.status == 403
        assert "nothing was changed" in await reply.text()


async def test_who_may_not_do_it_anyway_is_told_to_sign_in_wherever_the_form_comes_from(tmp_path):
    async with (
        visited(tmp_path) as visitor,
        visitor.session.post(visitor.base + "/api/v1/plugins/web/retry", headers={"Origin": "null"}) as reply,
    ):
        assert reply.status == 401
        assert "sign in first" in await reply.text()


async def test_strange_methods_are_refused(tmp_path):
    async with visited(tmp_path) as visitor:
        for method in ("TRACE", "CONNECT", "PROPFIND"):
            async with visitor.session.request(method, visitor.base + "/") as reply:
                assert reply.status in (400, 404, 405)


async def test_what_the_listener_may_do_ends_before_administration(tmp_path):
    async with visited(tmp_path) as visitor:
        status, text, _ = await visitor.get("/api/v1/config")
        assert status == 401
        assert "needs the scope config:read" in text


async def test_static_files_are_kept_for_ever_and_packed(tmp_path):
    async with visited(tmp_path) as visitor:
        _, page, _ = await visitor.get("/")
        for path in [part.split('"')[0] for part in page.split('"/static/')[1:]]:
            status, text, headers = await visitor.get(f"/static/{path}", Accept_Encoding="identity")
            assert status == 200
            assert "immutable" in headers["cache-control"]
            assert "content-encoding" not in headers
            async with visitor.session.get(
                f"{visitor.base}/static/{path}", headers={"Accept-Encoding": "gzip"}
            ) as reply:
                assert reply.headers["Content-Encoding"] == "gzip"
                assert await reply.text() == text


async def test_static_files_and_a_page_keep_their_weight(tmp_path):
    """A cold visit stays far under 60 kB, and no file grows unnoticed."""
    async with visited(tmp_path, 500) as visitor:
        _, page, _ = await visitor.get("/members")
        total = len(gzip.compress(page.encode()))
        for path in [part.split('"')[0] for part in page.split('"/static/')[1:]]:
            async with visitor.session.get(
                f"{visitor.base}/static/{path}", headers={"Accept-Encoding": "gzip"}
            ) as reply:
                total += int(reply.headers["Content-Length"])
            _, text, _ = await visitor.get(f"/static/{path}", Accept_Encoding="identity")
            assert len(text) < {"css": 25_000, "js": 8_000, "svg": 1_000}[path.rpartition(".")[2]]
        assert total < 60_000


async def test_an_unchanged_answer_is_not_sent_twice(tmp_path):
    """What can be read twice carries a tag; refusals and redirects do not."""
    async with visited(tmp_path) as visitor:
        for path in ("/scores/10.0.0.1", "/static/nothing.css", "/api/v1/nothing"):
            assert "etag" not in (await visitor.get(path))[2], path
        _, page, _ = await visitor.get("/")
        for path in ("/static/" + page.split('"/static/')[1].split('"')[0], "/api/v1/openapi.json"):
            _, _, headers = await visitor.get(path)
            for tag in (f'"other", {headers["etag"]}', headers["etag"].removeprefix("W/"), "*"):
                status, text, again = await visitor.get(path, If_None_Match=tag)
                assert (status, text) == (304, ""), path
                assert again["etag"] == headers["etag"]
            assert (await visitor.get(path, If_None_Match='"other"'))[0] == 200


async def test_head_has_no_body(tmp_path):
    async with visited(tmp_path) as visitor, visitor.session.head(visitor.base + "/members") as reply:
        assert reply.status == 200
        assert await reply.read() == b""


async def test_who_connects_and_says_nothing_is_shown_the_door(tmp_path, monkeypatch):
    """Half a request head is not enough either; a kept connection that spoke may wait longer."""
    monkeypatch.setattr(doorman, "FIRST_REQUEST_S", 0.2)
    async with visited(tmp_path) as visitor:
        host, port = visitor.base.removeprefix("http://").split(":")
        for first in (b"", b"GET / HTTP/1.1\r\nHost: local"):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(first)
            async with asyncio.timeout(10):
                assert await reader.read() == b""
            writer.close()
        assert (await visitor.get("/"))[0] == 200


async def test_garbage_does_not_disturb_anybody(tmp_path):
    async with visited(tmp_path) as visitor:
        host, port = visitor.base.removeprefix("http://").split(":")
        for garbage in (
            b"\x00" * 100,
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET " + b"/x" * 20_000 + b" HTTP/1.1\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        ):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(garbage)
            async with asyncio.timeout(10):
                assert (await reader.read(12)).startswith(b"HTTP/1.") or True
            writer.close()
        assert (await visitor.get("/"))[0] == 200


async def test_an_address_in_use_is_waited_for(tmp_path):
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with running(["web"], f'[plugins.web]\nlisten = "127.0.0.1:{port}"', state_dir=tmp_path) as app:
        await wait_until(lambda: app.status("web").state is PluginState.BACKOFF, "web to wait")
        assert f"cannot listen on 127.0.0.1:{port}" in app.status("web").why
        server.close()
        await server.wait_closed()
        await app.until_running("web")


async def test_two_addresses_are_served(tmp_path):
    async with running(
        ["web"], '[plugins.web]\nlisten = ["127.0.0.1:0", "127.0.0.2:0"]', state_dir=tmp_path
    ) as app:
        await app.until_running("web")
        assert app.status("web").text.count("http://") == 2
        assert app.status("web").text.count("https://") == 2
