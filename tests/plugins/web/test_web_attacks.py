"""Requests that no browser sends, over real sockets: each is refused in words, and nothing is changed."""

from __future__ import annotations

import asyncio
import json

import pytest

from appliance_web import guard
from tests.plugins.web.test_web_wizard import registry
from tests.support.wait import wait_for

BODY = b'{"address":"127.0.0.77","force":true}'
OURS = b"Sec-Fetch-Site: same-origin\r\n"


async def said(visitor, request: bytes) -> tuple[int, bytes]:
    """Status and everything that came back; `HERE` stands for the Host that we are."""
    place = visitor.base.removeprefix("http://")
    host, port = place.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request.replace(b"HERE", place.encode()))
        async with asyncio.timeout(60):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (line for line in head.lower().splitlines() if line.startswith(b"content-length:")), b":0"
            )
            text = head + await reader.readexactly(int(length.partition(b":")[2]))
    finally:
        writer.close()
    return int(head.split()[1]), text


def get(target: bytes, more: bytes = b"") -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\nHost: HERE\r\n" + more + b"\r\n"


def post(more: bytes, body: bytes = BODY) -> bytes:
    size = b"" if b"Transfer-Encoding" in more else b"Content-Length: %d\r\n" % len(body)
    head = b"POST /api/v1/members HTTP/1.1\r\nHost: HERE\r\nContent-Type: application/json\r\n"
    return head + more + size + b"\r\n" + body


@pytest.fixture
async def visitor(tmp_path):
    async with registry(tmp_path) as found:
        yield found


@pytest.mark.parametrize(
    "target",
    [
        b"http://evil.example/status",
        b"http://evil.example/",
        b"http://evil.example?x",
        b"http://HERE@evil.example/status",
        b"http://127.0.0.1:1/status",
        b"ftp://HERE/status",
        b"//evil.example://x/status",
    ],
)
async def test_a_request_line_that_names_another_server_is_not_answered(visitor, target):
    status, text = await said(visitor, get(target))
    assert status in (400, 404, 421), text
    assert b"<!doctype" not in text
    assert b"x-request-id" in text.lower()


async def test_a_request_line_that_names_us_is_answered(visitor):
    """As RFC 9112 section 3.2.2 wants it."""
    assert (await said(visitor, get(b"http://HERE/status")))[0] == 200


async def test_no_request_line_makes_a_connection_secure(visitor):
    """Plain HTTP stays plain, whatever the line says."""
    raw = b"POST https://HERE/api/v1/members HTTP/1.1\r\nHost: HERE\r\nOrigin: https://HERE\r\nContent-Length: 2\r\n\r\n{}"
    status, text = await said(visitor, raw)
    assert (status, b"no proxy" in text or b"another origin" in text) in ((403, True), (421, True))


def test_only_the_line_that_says_what_the_host_header_says_is_meant_for_us():
    assert guard.target_elsewhere("/a://b", "box") is None
    assert guard.target_elsewhere("*", "box") is None
    assert guard.target_elsewhere("http://Box:80/x", "box:80") is None
    for wrong in ("http://box/", "http://box:8080", "http://a@box:80/", "ws://box:80/", "http:///x"):
        assert "no proxy" in (guard.target_elsewhere(wrong, "box:80") or "")


@pytest.mark.parametrize("line", [b"CONNECT evil.example:443 HTTP/1.1", b"OPTIONS * HTTP/1.1"])
async def test_what_has_no_path_is_refused_in_our_words(visitor, line):
    status, text = await said(visitor, line + b"\r\nHost: HERE\r\n\r\n")
    assert status in (404, 405)
    assert b"application/problem+json" in text
    assert b"content-security-policy" in text.lower()


@pytest.mark.parametrize(
    ("request_", "wanted"),
    [
        (post(b"Origin: http://evil.example\r\n"), 403),
        (post(b"Origin: null\r\n"), 403),
        (post(b""), 403),
        (post(OURS, b'{"address":'), 400),
        (post(OURS + b"Transfer-Encoding: chunked\r\n", b"zz\r\nhello\r\n0\r\n\r\n"), 400),
        (post(OURS + b"Transfer-Encoding: chunked\r\n", b"-5\r\nhello\r\n0\r\n\r\n"), 400),
        (post(OURS + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
        (post(OURS + b"Content-Length: 4\r\n"), 400),
        (post(OURS + b"Transfer-Encoding: chunked\r\n", (b"10000\r\n" + b"a" * 65536 + b"\r\n") * 20), 413),
        (
            b"POST /api/v1/members HTTP/1.1\r\nHost: HERE\r\nContent-Length: 999999999\r\n" + OURS + b"\r\n",
            413,
        ),
        (get(b"/status", b"X-A: a\nX-Evil: b\r\n"), 400),
        (get(b"/status", b"X-A: a\r\n b\r\n"), 400),
        (get(b"/static/../../etc/passwd"), 404),
        (get(b"/static/%2e%2e/%2e%2e/etc/passwd"), 404),
        (get(b"/help/..%2f..%2fconfig"), 404),
        (get(b"/help/a%0d%0aSet-Cookie:%20x=y"), 404),
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n", 421),
        (b"GET / HTTP/2.0\r\nHost: HERE\r\n\r\n", 400),
        (b"GET / HTTP/0.9\r\nHost: HERE\r\n\r\n", 400),
        (post(b"Sec-Fetch-Site: \xff\r\n"), 403),
        (post(OURS + b"Content-Encoding: \xff\r\n"), 415),
        (post(OURS + b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\n"), 400),
        (post(OURS + b"Sec-Fetch-Site: cross-site\r\n"), 400),
        (post(OURS + b"Origin: http://HERE\r\nOrigin: http://evil.example\r\n"), 400),
        (post(OURS + b"Content-Type: text/plain\r\n"), 400),
        (post(OURS + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"), 400),
        (post(OURS + b"Transfer-Encoding: gzip, chunked\r\n", b"2\r\n{}\r\n0\r\n\r\n"), 415),
        (b"POST /api/v1/members HTTP/1.0\r\nHost: HERE\r\n" + OURS + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400),
        (post(OURS + b"Expect: 200-ok\r\n"), 417),
        (post(OURS + b"Expect: 100-continue\r\nContent-Length: 999999999\r\n", b""), 400),
        (b"POST /api/v1/members HTTP/1.1\r\nHost: HERE\r\nExpect: 100-continue\r\nContent-Length: 999999999\r\n" + OURS + b"\r\n", 413),
        (post(OURS, b"[" * 900 + b"]" * 900), 400),
        (post(OURS, b'{"address": "127.0.0.77", "note": "\\ud800"}'), 400),
        (post(OURS, b'{"address": "127.0.0.77", "netspeed": NaN}'), 400),
        (post(OURS, b'{"address": "127.0.0.76", "address": "127.0.0.77", "force": true}'), 400),
    ],
)  # fmt: skip
async def test_each_is_refused_in_words_and_changes_nothing(visitor, request_, wanted):
    before = (await visitor.get("/api/v1/members"))[1]
    status, text = await said(visitor, request_)
    assert status == wanted, text
    value = json.loads(text.partition(b"\r\n\r\n")[2])
    assert value["detail"]
    assert b"\nset-cookie" not in text.lower()
    assert (await visitor.get("/api/v1/members"))[1] == before


async def test_a_body_is_asked_for_when_it_is_wanted(visitor):
    """RFC 9110 section 10.1.1: whoever asks first is told to go on."""
    place = visitor.base.removeprefix("http://")
    host, port = place.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        head, _, body = post(OURS + b"Expect: 100-continue\r\n").partition(b"\r\n\r\n")
        writer.write(head.replace(b"HERE", place.encode()) + b"\r\n\r\n")
        async with asyncio.timeout(60):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(body)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 201 ")
    finally:
        writer.close()


async def test_a_page_never_becomes_a_websocket(visitor):
    more = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    status, text = await said(visitor, get(b"/status", more))
    assert (status, b"sec-websocket-accept" in text.lower()) == (200, False)


async def test_a_thousand_connections_keep_nobody_out(visitor):
    host, port = visitor.base.removeprefix("http://").split(":")
    held = []
    try:
        held.extend([(await asyncio.open_connection(host, int(port)))[1] for _ in range(1000)])

        async def served():
            try:
                return (await said(visitor, get(b"/status")))[0] == 200
            except (OSError, asyncio.IncompleteReadError):
                return False  # its place was taken before it spoke

        await wait_for(served, "the page beside a thousand silent connections", timeout_s=60)
    finally:
        for writer in held:
            writer.close()
