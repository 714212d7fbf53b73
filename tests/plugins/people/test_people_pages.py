"""The pages of people over the real listener: without scripts, as a browser sends its forms."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager

import aiohttp
import pytest

from appliance.api.actor import local
from appliance.core.routes import Request, RouteTable
from appliance.testing import running
from appliance_people.claim import Claim
from appliance_people.people import People
from tests.plugins.people.bed import OWNER_PASSWORD
from tests.plugins.web.html_check import read

HOSTILE = "<script>alert('x')</script>\"&"
CONFIG = """
[plugins.web]
listen = "127.0.0.1:0"
listen_tls = []
trust_loopback = "{trust}"
[plugins.members.verify]
trusted_networks = ["127.0.0.0/8"]
"""


class Browser:
    """Follows redirects, keeps cookies, sends forms with the origin of the page."""

    def __init__(self, app, base, session):
        self.app = app
        self.base = base
        self.session = session
        self.actions = 0

    async def get(self, path):
        async with self.session.get(self.base + path) as reply:
            return reply.status, await reply.text(), reply.url.path_qs

    async def post(self, path, origin="", **fields):
        data = [
            (name, v)
            for name, value in fields.items()
            for v in (value if isinstance(value, list) else [value])
        ]
        async with self.session.post(
            self.base + path, data=data, headers={"Origin": origin or self.base}
        ) as reply:
            return reply.status, await reply.text(), reply.url.path_qs

    async def claim(self, name="ada"):
        code, _ = self.app.host.services.get(Claim).current()
        status, _text, where = await self.post("/setup", code=code, name=name, password=OWNER_PASSWORD)
        assert (status, where) == (200, "/setup/pool")

    async def locally(self, method, path):
        return await self.app.host.services.get(RouteTable).dispatch(
            Request(method, path, actor=local("root"))
        )


@asynccontextmanager
async def browser(tmp_path, *, trust="no", plugins=("people", "web", "members"), config=""):
    jar = aiohttp.CookieJar(unsafe=True)
    async with (
        running(list(plugins), CONFIG.format(trust=trust) + config, state_dir=tmp_path) as app,
        aiohttp.ClientSession(headers={"Accept": "text/html"}, cookie_jar=jar) as session,
    ):
        await app.until_running()
        base = re.search(r"http://[^/]+", app.status("web").text)[0]
        yield Browser(app, base, session)


async def test_from_the_first_page_to_the_overview_without_a_script(tmp_path):
    async with browser(tmp_path) as b:
        status, text, where = await b.get("/")
        assert (status, where) == (200, "/setup")
        assert "This box has no owner yet" in text
        read(text)
        code, _ = b.app.host.services.get(Claim).current()
        status, text, where = await b.post("/setup", code="AAAA-AAAA", name="ada", password=OWNER_PASSWORD)
        assert (status, where) == (403, "/setup")
        assert "is not the setup code" in text
        assert OWNER_PASSWORD not in text
        status, text, where = await b.post("/setup", code=code.lower(), name="ada", password=OWNER_PASSWORD)
        assert (status, where) == (200, "/setup/pool")
        assert "Name the pool" in text
        status, text, where = await b.post("/setup/pool", role=[])
        assert (status, where) == (200, "/setup/server")
        status, text, where = await b.post("/setup/server", address="127.0.0.91", force="yes")
        assert (status, where) == (200, "/?done=added")
        assert "The server was added" in text
        assert "127.0.0.91" in text
        assert 'href="/account">ada</a>' in text


async def test_signing_in_leads_back_to_the_page_that_wanted_it(tmp_path):
    async with browser(tmp_path) as b:
        await b.claim()
        _, _, where = await b.post("/logout")
        assert where == "/login"
        status, text, where = await b.get("/members?state=out&sort=score")
        assert (status, where) == (200, "/login?next=/members?state%3Dout%26sort%3Dscore")
        target = re.search(r'name="next" value="([^"]*)"', text)[1].replace("&amp;", "&")
        assert target == "/members?state=out&sort=score"
        status, text, _ = await b.post("/login", name="ada", password="wrong", next=target)
        assert status == 401
        assert "the name or the password is wrong" in text
        assert 'value="ada"' in text
        status, text, where = await b.post("/login", name="ada", password=OWNER_PASSWORD, next=target)
        assert (status, where) == (200, target)


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/logout",
        "x",
        "/a\r\nSet-Cookie: b",
    ],
)
async def test_nobody_is_led_elsewhere_after_signing_in(tmp_path, elsewhere):
    async with browser(tmp_path) as b:
        await b.claim()
        await b.post("/logout")
        status, _text, where = await b.post("/login", name="ada", password=OWNER_PASSWORD, next=elsewhere)
        assert (status, where) == (200, "/")


async def test_the_own_account_shows_sessions_and_makes_tokens(tmp_path):
    async with browser(tmp_path) as b:
        await b.claim()
        status, text, _ = await b.get("/account")
        assert status == 200
        read(text)
        assert "this browser" in text
        assert "No tokens yet" in text
        status, text, _ = await b.post(
            "/account/tokens",
            label=HOSTILE,
            scope=["servers:read", "metrics:read"],
            days="7",
            addresses="127.0.0.0/8",
        )
        assert status == 200
        read(text)
        token = re.search(r"timeball_[a-z2-7]{8}_[a-z2-7]{59}", text)[0]
        assert HOSTILE not in text
        assert token not in (await b.get("/account"))[1]
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as program:
            async with program.get(b.base + "/api/v1/members") as reply:
                assert reply.status == 200
            async with program.post(b.base + "/api/v1/members", json={"address": "127.0.0.1"}) as reply:
                assert reply.status == 403
        status, text, _ = await b.post("/account/tokens/revoke", id=token.split("_")[1])
        assert "works no more" in text
        status, text, _ = await b.post(
            "/account/password", old_password="no", new_password="another lantern soup"
        )
        assert status == 422
        assert "The password is wrong" in text
        status, text, _ = await b.post(
            "/account/password", old_password=OWNER_PASSWORD, new_password="another lantern soup"
        )
        assert "Your password is changed" in text


async def test_users_are_added_changed_reset_and_removed_and_hostile_names_are_text(tmp_path):
    async with browser(tmp_path) as b:
        await b.claim()
        status, text, _ = await b.post("/users", name=HOSTILE, role="operator", password="")
        assert status == 200
        read(text)
        assert HOSTILE not in text
        assert "A password for &lt;script&gt;" in text
        people = b.app.host.services.get(People)
        user = people.find(HOSTILE)
        assert user.role == "operator"
        await b.post(f"/users/{user.id}/role", role="viewer")
        assert people.users[user.id].role == "viewer"
        status, text, _ = await b.post(f"/users/{user.id}/reset")
        assert "has a new password" in text
        for path in ("/users", "/audit", "/account"):
            status, text, _ = await b.get(path)
            assert status == 200, path
            assert HOSTILE not in text
            read(text)
        status, text, _ = await b.post(f"/users/{user.id}/remove")
        assert "was removed" in text
        assert user.id not in people.users
        assert (await b.post(f"/users/{user.id}/remove"))[0] == 404
        status, text, _ = await b.post("/users", name="x", role="viewer", password="password1")
        assert status == 422
        assert "too easy to guess" in text


async def test_when_the_password_is_wanted_again_the_form_asks_for_it(tmp_path):
    async with browser(tmp_path) as b:
        await b.claim()
        assert "my_password" not in (await b.get("/users"))[1]
        people = b.app.host.services.get(People)
        for key, session in people.sessions.items():
            people.sessions[key] = type(session)(
                **{f: getattr(session, f) for f in session.__slots__} | {"confirmed": 0.0}
            )
        assert "my_password" in (await b.get("/users"))[1]
        status, text, _ = await b.post("/users", name="eve", role="viewer", password="")
        assert status == 403
        assert "needs your password again" in text
        status, text, _ = await b.post("/users", name="eve", role="viewer", password="", my_password="wrong")
        assert status == 422
        status, text, _ = await b.post(
            "/users", name="eve", role="viewer", password="", my_password=OWNER_PASSWORD
        )
        assert status == 200
        assert "eve was added" in text


async def test_the_audit_page_tells_filters_and_checks(tmp_path):
    async with browser(tmp_path) as b:
        await b.claim()
        status, text, _ = await b.post("/logout", origin="https://evil.example")
        assert status == 403
        status, text, _ = await b.get("/audit?words=logout")
        read(text)
        assert "POST /logout" in text
        assert "refused 403" in text
        assert "POST /api/v1/setup/claim" not in text
        assert "The trail is whole" in (await b.get("/audit?verify=1"))[1]
        assert "Verified just now" in (await b.get("/audit"))[1]
        assert "Nothing here" in (await b.get("/audit?words=nowhere"))[1]


async def test_a_viewer_is_shown_no_door_that_is_shut(tmp_path):
    async with browser(tmp_path) as b:
        await b.claim()
        await b.post("/users", name="eve", role="viewer", password="another lantern soup")
        await b.post("/logout")
        await b.post("/login", name="eve", password="another lantern soup", next="/")
        _, text, _ = await b.get("/")
        assert 'href="/users"' not in text
        assert 'href="/audit"' not in text
        assert (await b.get("/users"))[0] == 403
        assert (await b.post("/members/add", address="127.0.0.1"))[0] == 403


async def test_on_the_box_itself_one_looks_without_signing_in_and_signs_in_to_change(tmp_path):
    async with browser(tmp_path, trust="read") as b:
        status, text, where = await b.get("/")
        assert (status, where) == (200, "/")
        assert "Set up this box" in text
        assert (await b.post("/members/add", address="127.0.0.1"))[0] == 401
        await b.claim()
        await b.post("/logout")
        status, text, where = await b.get("/")
        assert (status, where) == (200, "/")
        assert 'href="/login">Sign in</a>' in text
        assert (await b.get("/members/add"))[2].startswith("/login?next=")
