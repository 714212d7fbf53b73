"""Signing in over real HTTPS, and what plain HTTP from elsewhere gets instead."""

from __future__ import annotations

import hashlib
import json
import re
import ssl

import aiohttp

from appliance.testing import running
from appliance_people.claim import Claim
from appliance_people.people import People
from tests.plugins.people.bed import OWNER_PASSWORD

CONFIG = """
[plugins.web]
listen = "127.0.0.1:0"
listen_tls = "127.0.0.1:0"
trust_loopback = "no"
"""
OURS = {"Sec-Fetch-Site": "same-origin"}


async def authority(app):
    reply = await app.ask("GET", "/api/v1/tls/authority.crt")
    return ssl.create_default_context(cadata=reply.body().decode())


async def test_the_cookie_of_a_session_is_bound_to_host_and_tls(tmp_path):
    async with running(["people", "web", "members"], CONFIG, state_dir=tmp_path) as app:
        await app.until_running()
        base = re.search(r"https://127[^/]+", app.status("web").text)[0]
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=await authority(app))) as session:
            code, _ = app.host.services.get(Claim).current()
            body = {"code": code, "name": "ada", "password": OWNER_PASSWORD}
            async with session.post(f"{base}/api/v1/setup/claim", json=body, headers=OURS) as reply:
                assert reply.status == 200, await reply.text()
                cookie = reply.headers["Set-Cookie"]
            assert re.fullmatch(
                r"__Host-timeball=[\w-]{43}; Path=/; Secure; HttpOnly; SameSite=Strict", cookie
            )
            shown = {"Cookie": cookie.partition(";")[0]}
            async with session.get(f"{base}/api/v1/members", headers=shown) as reply:
                assert reply.status == 200
            async with session.post(
                f"{base}/api/v1/users", json={"name": "eve"}, headers=shown | OURS
            ) as reply:
                assert reply.status == 201
            forged = shown | {"Origin": "https://evil.example"}
            async with session.post(
                f"{base}/api/v1/users", json={"name": "mallory"}, headers=forged
            ) as reply:
                assert reply.status == 403
                assert (await reply.json())["code"] == "cross_site"
            assert {u.name for u in app.host.services.get(People).users.values()} == {"ada", "eve"}
            rows = (await app.get("/api/v1/audit"))["rows"]
            assert (rows[0]["action"], rows[0]["actor"], rows[0]["status"]) == (
                "POST /api/v1/users",
                "ada",
                403,
            )
            async with session.get(f"{base}/api/v1/members") as reply:
                assert reply.status == 401
                assert reply.headers["WWW-Authenticate"].startswith("Bearer")


async def test_over_plain_http_from_elsewhere_neither_password_nor_token_nor_cookie_is_taken(tmp_path):
    config = CONFIG.replace('listen_tls = "127.0.0.1:0"', 'listen_tls = []\nproxies = ["127.0.0.1"]')
    async with running(["people", "web", "members"], config, state_dir=tmp_path) as app:
        await app.until_running()
        await app.post("/api/v1/users", {"name": "ada", "role": "owner", "password": OWNER_PASSWORD})
        token = (await app.post("/api/v1/tokens", {"scopes": ["*:read"]}))["token"]
        base = re.search(r"http://127[^/]+", app.status("web").text)[0]
        near = {"X-Forwarded-For": "192.168.7.20", "X-Forwarded-Proto": "http"} | OURS
        async with aiohttp.ClientSession(headers=near) as session:
            body = {"name": "ada", "password": OWNER_PASSWORD}
            async with session.post(f"{base}/api/v1/session", json=body) as reply:
                assert reply.status == 403
                assert "Set-Cookie" not in reply.headers
            async with session.get(f"{base}/metrics", headers={"Authorization": f"Bearer {token}"}) as reply:
                assert reply.status in (403, 404)
            async with session.get(
                f"{base}/api/v1/members", headers={"Authorization": f"Bearer {token}"}
            ) as reply:
                assert reply.status == 403
        assert not app.host.services.get(People).sessions


async def test_an_idempotency_key_keeps_neither_token_nor_password_nor_anything_to_guess_it_by(tmp_path):
    async with running(["people", "web", "members"], CONFIG, state_dir=tmp_path) as app:
        await app.until_running()
        await app.post("/api/v1/users", {"name": "ada", "role": "owner", "password": OWNER_PASSWORD})
        base = re.search(r"http://127[^/]+", app.status("web").text)[0]
        async with aiohttp.ClientSession(headers=OURS, cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            body = json.dumps({"name": "ada", "password": OWNER_PASSWORD}).encode()
            headers = {"Content-Type": "application/json", "Idempotency-Key": "k1"}
            async with session.post(f"{base}/api/v1/session", data=body, headers=headers) as reply:
                assert reply.status == 200, await reply.text()
            headers["Idempotency-Key"] = "k2"
            asked = b'{"scopes": ["servers:read"]}'
            async with session.post(f"{base}/api/v1/tokens", data=asked, headers=headers) as reply:
                assert reply.status == 201
                token = (await reply.json())["token"]
            async with session.post(f"{base}/api/v1/tokens", data=asked, headers=headers) as reply:
                assert reply.status == 409
        guess = hashlib.sha256(b"POST /api/v1/session\n" + body).hexdigest()
    stored = b"".join(p.read_bytes() for p in tmp_path.glob("timeball.db*"))
    for secret in (token, guess, OWNER_PASSWORD):
        assert secret.encode() not in stored
