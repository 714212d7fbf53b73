"""The pages over the real plugins: a small pool of simulated servers on loopback, looked at and changed through the listener."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager

import aiohttp
import pytest

from appliance.api.services import Members, ScoreBoard
from appliance.testing import running, wait_until
from tests.plugins.web.html_check import read
from tests.plugins.web.visiting import address
from tests.support.ntp_packets import request
from tests.support.wait import wait_for

CONFIG = """
[plugins.web]
listen = "127.0.0.1:0"
trust_loopback = "operate"
[plugins.clock]
source = "local"
[plugins.ntp]
listen = ["127.0.0.1:0"]
[plugins.dns]
zone = "pool.example.org"
listen = ["127.0.0.1:0"]
[plugins.monitor]
interval_s = 1
samples = 1
[plugins.demo]
enabled = true
port = {port}
member = [{{ address = "127.0.0.31" }}, {{ address = "127.0.0.32", offset_s = 0.3 }}, {{ address = "127.0.0.33" }}]
[[plugins.members.member]]
address = "127.0.0.31"
port = {port}
operator = "lighthouse"
[[plugins.members.member]]
address = "127.0.0.32"
port = {port}
"""
PLUGINS = ["web", "clock", "ntp", "dns", "monitor", "members", "demo"]


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@asynccontextmanager
async def pool(tmp_path):
    """The running appliance, its address, a client, and the port of the simulated servers."""
    port = free_port()
    async with (
        running(PLUGINS, CONFIG.format(port=port), state_dir=tmp_path) as app,
        aiohttp.ClientSession(headers={"Accept": "text/html"}) as session,
    ):
        await app.until_running()
        members, board = app.host.services.get(Members), app.host.services.get(ScoreBoard)
        wrong = members.find(f"127.0.0.32:{port}").id
        await wait_until(lambda: len(board.recent(wrong)) >= 3, "some probes")
        yield app, address(app), session, port


async def get(session, url):
    async with session.get(url) as reply:
        assert reply.status == 200, f"{url}: {reply.status} {await reply.text()}"
        return await reply.text()


async def post(session, base, path, **fields):
    async with session.post(base + path, data=fields, headers={"Origin": base}) as reply:
        return reply.status, await reply.text(), reply.url


async def test_every_page_and_every_file_it_links_shows_the_real_pool(tmp_path):
    async with pool(tmp_path) as (app, base, session, port):
        wrong = app.host.services.get(Members).find(f"127.0.0.32:{port}").id
        seen, waiting = {}, ["/", f"/members/{wrong}"]
        while waiting:
            path = waiting.pop()
            if path in seen or path.startswith("http"):
                continue
            seen[path] = text = await get(session, base + path)
            if text.startswith("<!doctype html>"):
                found = read(text)
                assert [c for c in found.complaints if "leads away" not in c] == [], path
                if path.startswith("/help") and path != "/help/web":
                    continue  # links inside the manual are the manual's own business
                links = [link.partition("#")[0] for link in found.links]
                waiting += [
                    path.partition("?")[0] + link if link.startswith("?") else link for link in links if link
                ]
        member = seen[f"/members/{wrong}"]
        assert "Out: its time is wrong." in member
        assert "beyond 100 ms" in member
        assert {"+25 ms", "+100 ms"} <= {t.strip() for t in member.replace("<", ">").split(">")}
        assert "offset_over_100ms" in member
        assert "wrong time" in seen["/"]
        for part in ("Clock", "Time service", "Monitor", "Answers", "Members"):
            assert f"{part}</" in seen["/"] or f"{part}</a>" in seen["/"], part
        assert "pool.example.org" in seen["/dns"]
        assert "0.pool.example.org" in seen["/use"]
        assert "Serves time as stratum" in seen["/time"]
        assert "offset_over_100ms" in seen["/log"]
        csv = next(
            text for path, text in seen.items() if path.startswith(f"/api/v1/members/{wrong}/history.csv")
        )
        assert csv.startswith("ts,")


async def test_the_time_page_shows_who_asks_and_refuses_nonsense_in_words(tmp_path):
    async with pool(tmp_path) as (app, base, session, _port):
        host, _, port = (await app.get("/api/v1/ntp"))["listen"][0].rpartition(":")
        assert "Nobody has asked yet" in await get(session, f"{base}/time")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(20)
            sock.connect((host, int(port)))
            sock.send(request())
            sock.recv(2048)

        async def asked():
            text = await get(session, f"{base}/time?sort=last_seen&prefix=127.0.0.0/8")
            return text if "1–1 of 1 client" in text else None

        text = await wait_for(asked, "the client to be shown")
        assert ">127.0.0.1</th>" in text
        assert "not limited: it is in rate_limit.exempt" in text
        assert read(text).complaints == []
        assert "No client in 10.0.0.0/8" in await get(session, f"{base}/time?prefix=10.0.0.0/8")
        text = await get(session, f"{base}/time?prefix=<b>&page=0&sort=x")
        assert "&lt;b&gt; is no network" in text
        assert read(text).complaints == []


async def test_a_server_is_added_looked_at_paused_and_resumed_through_forms(tmp_path):
    async with pool(tmp_path) as (_app, base, session, port):
        status, text, url = await post(
            session,
            base,
            "/members/add",
            address=f"127.0.0.33:{port}",
            operator="observatory",
            netspeed="500",
        )
        assert status == 200
        assert url.path.startswith("/members/m-")
        assert "The server was added" in text
        member = url.path
        status, text, _ = await post(session, base, f"{member}/probe")
        assert status == 200
        assert "no score moves" in text
        status, text, _ = await post(session, base, f"{member}/pause", hours="8")
        assert "Paused: watched, not answered." in text
        assert "in 8 h" in text
        status, text, _ = await post(session, base, f"{member}/resume")
        assert "The server is active again" in text
        status, text, _ = await post(session, base, "/members/add", address=f"127.0.0.33:{port}")
        assert status == 409
        assert "Not added." in text


@pytest.mark.parametrize("address", ["127.0.0.99:9", "not an address", "224.0.0.1"])
async def test_a_server_that_cannot_be_a_member_is_refused_with_the_reason(tmp_path, address):
    async with pool(tmp_path) as (_app, base, session, _port):
        status, text, _ = await post(session, base, "/members/add", address=address)
        assert 400 <= status < 500
        assert "Not added." in text
        assert read(text).complaints == []


async def test_an_answer_is_explained_and_a_wrong_question_refused_in_words(tmp_path):
    async with pool(tmp_path) as (_app, base, session, _port):
        text = await get(session, f"{base}/dns?name=0.pool.example.org&type=A&from=192.0.2.7")
        assert "left out" in text
        assert "its time is off" in text
        assert "dig @127.0.0.1 -p" in text
        assert "is not in the zone" in await get(session, f"{base}/dns?name=nowhere.example.org")
        assert "is not an IP address" in await get(
            session, f"{base}/dns?name=pool.example.org&from=elsewhere"
        )
