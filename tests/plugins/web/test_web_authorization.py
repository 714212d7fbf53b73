"""Whoever shows an Authorization header is known by it, or refused: it never falls back to what strangers may."""

from __future__ import annotations

import aiohttp
import pytest

from appliance.testing import running
from appliance_people.claim import Claim
from tests.plugins.people.bed import OWNER_PASSWORD
from tests.plugins.web.visiting import address, visited

NO_TOKENS = [
    "Bearer timeball_x_y",
    "Bearer",
    "bearer ",
    "Basic YWRhOmFkYQ==",
    "Digest username=ada",
    "timeball_x_y",
    "",
]
PATHS = ["/api/v1/status", "/status", "/", "/login", "/static/nothing.css"]
BODY = {"address": "127.0.0.77", "force": True}


@pytest.mark.parametrize("shown", NO_TOKENS)
async def test_without_people_no_authorization_is_right_even_on_this_machine(tmp_path, shown):
    async with visited(tmp_path) as visitor:
        assert (await visitor.get("/api/v1/status"))[0] == 200, "who shows nothing is let in here"
        for path in PATHS:
            for accept in ("text/html", "application/json"):
                status, text, headers = await visitor.get(path, Authorization=shown, Accept=accept)
                assert (status, "token" in text) == (401, True), (path, accept)
                assert headers["www-authenticate"].startswith("Bearer ")


async def test_with_people_neither_this_machine_nor_a_cookie_helps_a_wrong_token(tmp_path):
    config = '[plugins.web]\nlisten = "127.0.0.1:0"\ntrust_loopback = "operate"\n'
    async with (
        running(["people", "web", "members"], config, state_dir=tmp_path) as app,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
    ):
        await app.until_running()
        base = address(app)
        code, _ = app.host.services.get(Claim).current()
        ours = {"Sec-Fetch-Site": "same-origin"}
        claim = {"code": code, "name": "ada", "password": OWNER_PASSWORD}
        async with session.post(f"{base}/api/v1/setup/claim", json=claim, headers=ours) as reply:
            assert reply.status == 200, await reply.text()
        before = await app.get("/api/v1/members")
        for shown in NO_TOKENS:
            head = ours | {"Authorization": shown}
            async with session.post(f"{base}/api/v1/members", json=BODY, headers=head) as reply:
                assert reply.status == 401, shown
                assert (await reply.json())["code"] == "login_required"
            head = {"Authorization": shown, "Accept": "text/html"}
            async with session.get(f"{base}/members", headers=head, allow_redirects=False) as reply:
                assert reply.status == 401, "to sign in would not help"
                assert "token" in await reply.text()
        assert await app.get("/api/v1/members") == before
        token = (await app.post("/api/v1/tokens", {"label": "reader", "scopes": ["*:read"]}))["token"]
        async with session.get(
            f"{base}/api/v1/members", headers={"Authorization": f"Bearer {token}"}
        ) as reply:
            assert reply.status == 200


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
async def test_a_box_without_an_owner_tells_who_comes_from_afar_how_it_is_set_up(tmp_path, accept):
    """To be told to sign in would help nobody: there is nobody to sign in as."""
    config = '[plugins.web]\nlisten = "127.0.0.1:0"\nlisten_tls = []\n'
    async with (
        running(["people", "web"], config, state_dir=tmp_path) as app,
        aiohttp.ClientSession() as session,
    ):
        await app.until_running()
        for path in ("/", "/setup", "/login", "/status"):
            head = {"X-Forwarded-For": "203.0.113.9", "Accept": accept}
            async with session.get(address(app) + path, headers=head, allow_redirects=False) as reply:
                text = await reply.text()
                assert reply.status == 401
                assert "no owner yet" in text
                assert "timeball user add" in text
                assert "Sign in first" not in text
