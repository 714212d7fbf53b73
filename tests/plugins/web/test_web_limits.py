"""What one visitor can ask for: bodies, heads, slowness, connections and requests; and that nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.testing import wait_until
from appliance_web import doorman, listener
from appliance_web.front import Front
from appliance_web.limits import Rates
from appliance_web.refusals import LINES, Book
from tests.plugins.web.visiting import visited

OURS = {"Sec-Fetch-Site": "same-origin"}


def place(visitor):
    host, port = visitor.base.removeprefix("http://").split(":")
    return host, int(port)


@contextlib.asynccontextmanager
async def connection(visitor, source="127.0.0.1"):
    """A bare connection from an address of ours."""
    reader, writer = await asyncio.open_connection(*place(visitor), local_addr=(source, 0))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def said(reader):
    """Status and body of the answer, or (0, "") when the connection just ended."""
    async with asyncio.timeout(20):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0, ""
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            ),
            0,
        )
        return int(head.split()[1]), (await reader.readexactly(length)).decode()


def post(path, *headers, host="127.0.0.1"):
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", "Sec-Fetch-Site: same-origin", *headers, "", ""]
    return "\r\n".join(lines).encode()


def resident_kb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


# -- bodies ----------------------------------------------------------------------------------------------------------


async def test_a_body_that_says_it_is_too_large_is_refused_unread(tmp_path):
    """Nobody waits for it, and it is no later request either."""
    async with visited(tmp_path) as visitor, connection(visitor) as (reader, writer):
        writer.write(post("/members/add", "Content-Length: 5000000", "Accept: application/json"))
        status, text = await said(reader)
        assert (status, json.loads(text)["code"]) == (413, "too_large")
        writer.write(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 3)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(20):
                assert await reader.read() == b""
        assert visitor.app.host.services.get(Front).book.counts["too_large"] == 1


async def test_a_body_that_does_not_say_how_large_it_is_is_cut_off(tmp_path):
    async with visited(tmp_path) as visitor, connection(visitor) as (reader, writer):
        writer.write(post("/members/add", "Transfer-Encoding: chunked"))
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 50_000_000 and not writer.is_closing():
                writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                await writer.drain()
                sent += 65536
        assert (await said(reader))[0] in (413, 0)
        assert sent < 50_000_000


async def test_many_large_bodies_leave_no_mark_on_the_memory(tmp_path):
    async with visited(tmp_path) as visitor:

        async def attack():
            async with connection(visitor) as (reader, writer):
                writer.write(
                    post(
                        "/api/v1/tls/certificate".replace("certificate", "renew"),
                        "Transfer-Encoding: chunked",
                    )
                )
                with contextlib.suppress(ConnectionError):
                    for _ in range(80):
                        writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                        await writer.drain()
                return (await said(reader))[0]

        await attack()
        before = resident_kb()
        assert set(await asyncio.gather(*(attack() for _ in range(20)))) <= {413, 0}
        assert resident_kb() - before < 40_000  # of 100 MB; both ends live in this process


async def test_who_may_not_anyway_is_not_listened_to_for_long(tmp_path):
    """The upload of a certificate takes 192 kB; of somebody who may not do it, 16."""
    async with visited(tmp_path) as visitor:
        for size, status in ((15_000, 401), (17_000, 413)):
            async with visitor.session.put(
                visitor.base + "/api/v1/tls/certificate", data=b"x" * size, headers=OURS
            ) as reply:
                assert reply.status == status


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "x"])
async def test_packed_bodies_are_not_unpacked(tmp_path, coding):
    async with (
        visited(tmp_path) as visitor,
        visitor.session.post(
            visitor.base + "/members/add", data=b"\x1f\x8b" * 10, headers={**OURS, "Content-Encoding": coding}
        ) as reply,
    ):
        assert reply.status == 415


# -- heads, slowness, nonsense ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
        (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"\x00" * 100, 400),
    ],
    ids=["long path", "long field", "many fields", "odd version", "negative length", "two lengths", "two hosts", "TLS", "zeros"],
)  # fmt: skip
async def test_a_head_that_is_none_is_answered_without_a_word_on_what_runs_here(
    tmp_path, request_head, status, caplog
):
    async with visited(tmp_path) as visitor, connection(visitor) as (reader, writer):
        writer.write(request_head)
        async with asyncio.timeout(20):
            answer = (await reader.read()).decode()
        assert answer.startswith((f"HTTP/1.1 {status}", f"HTTP/1.0 {status}")), answer[:200]
        assert "Content-Security-Policy" in answer
        assert "aiohttp" not in answer.lower()
        assert "python" not in answer.lower()
        assert json.loads(answer.partition("\r\n\r\n")[2])["status"] == status
        assert not [record for record in caplog.records if record.levelname == "ERROR"]
        assert (await visitor.get("/"))[0] == 200


async def test_a_slow_body_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(listener, "BODY_S", 0.3)
    monkeypatch.setattr(listener, "SLOWEST_BYTES_PER_S", 1e9)
    async with visited(tmp_path) as visitor, connection(visitor) as (reader, writer):
        writer.write(post("/members/add", "Content-Length: 100") + b"x")
        status, text = await said(reader)
        assert (status, json.loads(text)["code"]) == (408, "too_slow")


async def test_a_slow_head_is_not_waited_for_byte_by_byte(tmp_path, monkeypatch):
    """Each byte is no sign of life: the whole head has to come in time."""
    monkeypatch.setattr(doorman, "FIRST_REQUEST_S", 0.5)
    async with visited(tmp_path) as visitor, connection(visitor) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionError):
                while not reader.at_eof():
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.02)
        assert (await visitor.get("/"))[0] == 200


# -- connections -----------------------------------------------------------------------------------------------------


async def test_two_hundred_idle_connections_lock_nobody_out(tmp_path):
    """They were all of one visitor, who is also the one that comes again: the oldest idle ones had to go."""
    async with visited(tmp_path) as visitor, contextlib.AsyncExitStack() as stack:
        readers = [(await stack.enter_async_context(connection(visitor)))[0] for _ in range(200)]
        for _ in range(3):
            async with connection(visitor) as (reader, writer):
                writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert (await said(reader))[0] in (200, 503)
        async with connection(visitor, "127.0.0.7") as (reader, writer):
            writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await said(reader))[0] in (200, 503)
        await wait_until(
            lambda: sum(reader.at_eof() or reader.exception() is not None for reader in readers) >= 104,
            "the oldest to go",
        )


async def test_who_is_being_served_is_not_sent_away_for_newcomers(tmp_path):
    async with visited(tmp_path, config="max_connections = 8\nmax_streams = 16") as visitor:
        streams = []
        for _ in range(8):
            streams.append(await visitor.session.get(visitor.base + "/api/v1/events"))
            await streams[-1].content.readline()
        async with connection(visitor) as (reader, writer):
            writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await said(reader))[0] == 0
        for stream in streams:
            assert not stream.content.at_eof()
            stream.close()
        await wait_until(lambda: not visitor.app.status("web").why, "calm")


@pytest.mark.parametrize("sources", [["127.0.0.1"], [f"127.0.5.{i}" for i in range(3)]])
async def test_strangers_whose_bodies_do_not_come_lock_nobody_out(tmp_path, sources):
    config = "max_connections = 12\nmax_connections_per_address = 6"
    async with visited(tmp_path, config=config) as visitor, contextlib.AsyncExitStack() as stack:
        for number in range(24):
            _, writer = await stack.enter_async_context(connection(visitor, sources[number % len(sources)]))
            writer.write(post("/api/v1/probe", "Content-Length: 40") + b"{")
            await writer.drain()
        for _ in range(3):
            async with connection(visitor) as (reader, writer):
                writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert (await said(reader))[0] in (200, 503)


async def test_who_is_alone_is_not_sent_away_for_those_who_are_many(tmp_path):
    async with (
        visited(tmp_path, config="max_connections = 12") as visitor,
        connection(visitor, "127.0.0.7") as (reader, writer),
        contextlib.AsyncExitStack() as stack,
    ):
        for number in range(40):
            await stack.enter_async_context(connection(visitor, f"127.0.5.{number % 3}"))
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await said(reader))[0] in (200, 503)


# -- requests --------------------------------------------------------------------------------------------------------


async def test_too_many_requests_are_refused_with_the_time_to_wait(tmp_path, caplog):
    async with visited(tmp_path, config="changes_per_minute = 2\nreads_per_minute = 10") as visitor:
        answers = []
        for _ in range(3):
            async with visitor.session.post(visitor.base + "/api/v1/nothing", headers=OURS) as reply:
                answers.append(
                    (reply.status, reply.headers.get("RateLimit"), reply.headers.get("Retry-After"))
                )
        assert [status for status, *_ in answers] == [404, 404, 429]
        assert answers[0][1] == '"changes";r=1;t=0'
        assert 1 <= int(answers[2][2]) <= 30
        assert (await visitor.get("/api/v1/health"))[2]["ratelimit-policy"] == '"reads";q=10;w=60'
        found = [await visitor.get("/api/v1/health", Accept="*/*") for _ in range(12)]
        assert found[-1][0] == 429
        assert json.loads(found[-1][1])["code"] == "too_many_requests"
        status, _, headers = await visitor.get("/")
        assert (status, headers["content-type"]) == (429, "text/html; charset=utf-8")
        assert "retry-after" in headers
        assert visitor.app.host.services.get(Front).book.counts["too_many_requests"] >= 3
        assert "refused too_many_requests from 127.0.0.1" in caplog.text


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 40)), max_size=60))
def test_a_bucket_grants_a_minute_at_once_and_then_the_rate(steps):
    """Never more than the quota in a burst plus the rate over time, never less, and one visitor costs another nothing."""
    rates, now, granted = Rates("x", 6), 0.0, {"a": [], "b": [], "c": []}
    for who, wait in steps:
        now += wait
        answer = rates.take(who, now)
        if answer.granted:
            granted[who].append(now)
        else:
            assert answer.headers()["Retry-After"] == str(answer.wait_s)
            assert Rates.take(rates, who, now + answer.wait_s).granted
            granted[who].append(now + answer.wait_s)
            now += answer.wait_s
    for times in granted.values():
        for i, start in enumerate(times):
            for j in range(i, len(times)):
                assert j - i + 1 <= 6 + (times[j] - start) * 0.1 + 1.001


def test_visitors_are_forgotten_before_they_fill_the_memory():
    rates = Rates("x", 6, kept=100)
    for number in range(10_000):
        rates.take(str(number), 0.0)
    assert len(rates) == 100


def test_refusals_cannot_fill_the_log(caplog):
    book = Book()
    for number in range(1000):
        book.note("unknown_host", "192.0.2.1", "GET /\n\x1b[31mfake line", number * 0.01)
    assert len(caplog.records) == LINES
    assert "\x1b" not in caplog.text
    assert "\nfake" not in caplog.text
    book.note("unknown_host", "192.0.2.1", "x", 61.0)
    assert f"refused {1000 - LINES} more" in caplog.text
    assert book.counts["unknown_host"] == 1001
