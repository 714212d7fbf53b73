"""No secret that anybody sends stays behind: marked ones go through every operation there is, then everything is searched."""

from __future__ import annotations

import json
import logging
import re
import secrets
import types
from contextlib import asynccontextmanager
from urllib.parse import urlencode

import aiohttp
import pytest
from pydantic import BaseModel, SecretStr

from appliance.api.actor import NOBODY, acting
from appliance.api.plugin import PluginInfo
from appliance.core.routes import RouteTable
from appliance.testing import running
from appliance_people.trail import Trail
from appliance_web import opening
from tests.plugins.web.visiting import address

CONFIG = """
[plugins.web]
listen = "127.0.0.1:0"
access_log = true
reads_per_minute = 1000000
changes_per_minute = 1000000
[plugins.ntp]
listen = ["127.0.0.1:0"]
[plugins.clock]
source = "local"
[plugins.dns]
zone = "pool.example.org"
listen = ["127.0.0.1:0"]
"""
#: What holds a secret where it is sent. `word` is one of a plugin's configuration, whose name does not tell.
FIELDS = (
    "password", "old_password", "new_password", "my_password", "password_hash", "code", "key", "token", "secret", "api_key",
    "passphrase",
)  # fmt: skip
#: Whoever may do anything, something, nothing; and whoever's password was given long ago.
ROLES = ("owner", "late", "viewer", "nobody")
#: These end the test itself, or go on for ever.
NOT_SENT = re.compile(r"(POST|GET) /api/v1/(restart|events)")


class Vault(BaseModel):
    word: SecretStr = SecretStr("")


@pytest.fixture
def vault():
    module = types.ModuleType("vault")
    module.plugin = PluginInfo(id="vault", title="Vault", api=1, config=Vault)
    return module


@asynccontextmanager
async def leaky(tmp_path, monkeypatch, vault):
    """Everything runs, and whoever calls says in a header who he is."""

    def who_asks(ctx):
        async def who(raw, way):
            role = raw.headers.get("X-Role", "nobody")
            if role == "nobody":
                return NOBODY
            actor = acting("owner" if role == "late" else role)
            return type(actor)(actor.name, "session", actor.grants, actor.role, confirmed=role != "late")

        return who

    monkeypatch.setattr(opening, "who_asks", who_asks)
    file = tmp_path / "timeball.toml"
    plugins = ["people", "web", "members", "monitor", "ntp", "clock", "dns", vault]
    async with running(plugins, CONFIG, config_file=file, state_dir=tmp_path / "state") as app:
        await app.until_running("web", "people")
        yield app


def bodies(mounted, mark):
    """Bodies that hold secrets in every way that the operation, or somebody who errs, could send them."""
    marked = dict.fromkeys(FIELDS, mark)
    if mounted.route.page:
        yield "application/x-www-form-urlencoded", urlencode(marked).encode()
        if mounted.route.secret:
            yield "application/x-www-form-urlencoded", urlencode({"word": mark}).encode()
        return
    yield "application/json", json.dumps(marked).encode()
    known = set(mounted.route.body.model_fields) if mounted.route.body is not None else set()
    fitting = {name: mark for name in FIELDS if name in known}
    fitting |= {"name": "eve"} if "name" in known else {}
    fitting |= {"certificate": mark} if "certificate" in known else {}
    yield "application/json", json.dumps(fitting).encode()
    if "password_hash" in fitting:
        yield (
            "application/json",
            json.dumps({k: v for k, v in fitting.items() if k != "password_hash"}).encode(),
        )
    yield "application/json", json.dumps({**fitting, "surplus": 1}).encode()
    if mounted.route.secret:
        yield "application/json", json.dumps({**fitting, mark: mark}).encode()
        yield "application/json", json.dumps(fitting).encode()[:-1]
    if "value" in known:
        yield "application/json", json.dumps({"value": mark}).encode()
    if mounted.path == "/api/v1/config":
        for wanted in (
            {"plugins.vault.word": mark},
            {"plugins.vault": {"word": mark}},
            {"plugins.vault.word": [mark]},
        ):
            yield "application/json", json.dumps({"set": wanted}).encode()
    yield "text/plain", mark.encode()


async def test_no_marked_secret_is_in_the_database_the_audit_trail_or_the_log(
    tmp_path, monkeypatch, caplog, vault
):
    mark = f"marked{secrets.token_hex(8)}"
    caplog.set_level(logging.DEBUG)
    statuses = set()
    async with leaky(tmp_path, monkeypatch, vault) as app:
        table = app.host.services.get(RouteTable)
        sent = 0
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            for mounted in table.routes():
                if not mounted.route.unsafe or NOT_SENT.match(mounted.id):
                    continue
                path = mounted.path.replace("{key}", "plugins.vault.word").replace("{table}", "vault")
                path = re.sub(r"\{\w+(?::[^{}]+)?\}", "x", path)
                for role in ROLES:
                    for media_type, content in bodies(mounted, mark):
                        headers = {
                            "X-Role": role, "Content-Type": media_type, "Sec-Fetch-Site": "same-origin", "Accept": "application/json",
                            "Cookie": f"timeball={mark}", "Authorization": f"Bearer timeball_{mark}",
                            "Idempotency-Key": secrets.token_hex(8),
                        }  # fmt: skip
                        for _ in range(
                            2 if mounted.route.method == "POST" else 1
                        ):  # sent again: what was kept is told
                            async with session.request(
                                mounted.route.method, address(app) + path, data=content, headers=headers, allow_redirects=False
                            ) as reply:  # fmt: skip
                                statuses.add(reply.status)
                                assert reply.status != 500, (mounted.id, await reply.text())
                                sent += 1
        assert sent > 1000
        assert {200, 201, 401, 403, 422} <= statuses
        await app.host.services.get(Trail).write_refusals(end=True)
        await app.store.flush()
        rows = json.dumps(await app.get("/api/v1/audit", limit=1000))
        changes = json.dumps(await app.get("/api/v1/config/changes"))
    assert "(hidden)" in rows
    assert mark not in rows
    assert mark not in changes
    assert [record.getMessage()[:300] for record in caplog.records if mark in record.getMessage()] == []
    assert mark not in caplog.text
    holding = [
        p.name for p in (tmp_path / "state").rglob("*") if p.is_file() and mark.encode() in p.read_bytes()
    ]
    # The way back from a change of the configuration needs what was there before.
    assert {name for name in holding if not name.startswith(("0", "1", "2"))} == set(), holding
