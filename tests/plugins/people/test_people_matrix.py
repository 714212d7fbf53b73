"""Every route with every role, from the live table: who is let in is what the table of roles says, and nothing else."""

from __future__ import annotations

import dataclasses
import re

import pytest

from appliance.api.actor import COARSE, NOBODY, ROLES, acting, covers
from appliance.core.routes import Request, RouteTable
from appliance.testing import running

CONFIG = """
[plugins.web]
listen = "127.0.0.1:0"
[plugins.clock]
source = "local"
[plugins.ntp]
listen = ["127.0.0.1:0"]
[plugins.dns]
zone = "pool.example.org"
listen = ["127.0.0.1:0"]
[plugins.demo]
enabled = true
port = 0
"""

#: What a stranger may use, on purpose. A new public route has to be added here.
PUBLIC = {
    "GET /api",
    "GET /api/v1/health",
    "GET /api/v1/openapi.json",
    "GET /api/v1/setup",
    "GET /health",
    "GET /help",
    "GET /help/img/{picture}",
    "GET /help/{folder}/{name}",
    "GET /help/{name}",
    # What the owner shows of the pool: the status page with its feed, badges and embedded line, and how to use it.
    "GET /api/v1/public",
    "GET /api/v1/public/site",
    "GET /badge/{id}",
    "GET /status/badge.svg",
    "GET /status/badge/{zone}",
    "GET /status/embed",
    "GET /status/feed.atom",
    "GET /use",
    "GET /scores/{ip}/json",
    "GET /scores/{ip}/log",
    "GET /static/{file}",
    "GET /status",
    "GET /api/v1/tls/authority.crt",
    "GET /verify/{token}",
    "POST /api/v1/session",
}
#: What changes things and yet leaves no row of its own: forms do an operation of the API, which has its row.
#: Looking into a bundle changes nothing; the pieces of an upload belong to one that was announced, which has its row.
SILENT = re.compile(r"POST /(?!api/)|POST /api/v1/updates/check|PUT /api/v1/updates/uploads/\{id\}")


class Watched:
    """Puts a marker in place of every handler: who reaches it was let in."""

    def __init__(self, table):
        self.reached = False
        self.path = ""
        table._mounted = [
            dataclasses.replace(
                m,
                route=dataclasses.replace(
                    m.route, handler=self.handle, body=None, query=None, returns=None, status=200
                ),
            )
            for m in table._mounted
        ]

    async def handle(self, request):
        self.reached |= request.path == self.path  # the pages ask for the box's health meanwhile
        return {}


def path_of(mounted):
    return re.sub(r"\{\w+(?::[^{}]+)?\}", "x", mounted.path)


async def test_every_route_lets_in_exactly_the_roles_whose_grants_cover_its_scope(tmp_path):
    async with running(None, CONFIG, state_dir=tmp_path) as app:
        await app.until_running("web", "people")
        table = app.host.services.get(RouteTable)
        watched = Watched(table)
        assert len(table.routes()) > 60
        for mounted in table.routes():
            watched.path = path_of(mounted)
            for role, grants in ROLES.items():
                actor = NOBODY if role == "public" else acting(role)
                watched.reached = False
                reply = await table.dispatch(Request(mounted.route.method, path_of(mounted), actor=actor))
                expected = covers(grants, mounted.scope)
                assert watched.reached == expected, f"{mounted.id} ({mounted.scope}) as {role}: {reply.value}"
                if not expected:
                    assert reply.status == (401 if role == "public" else 403)


async def test_only_what_is_named_here_is_open_to_strangers(tmp_path):
    async with running(None, CONFIG, state_dir=tmp_path) as app:
        await app.until_running("web", "people")
        table = app.host.services.get(RouteTable)
        open_to_all = {m.id for m in table.routes() if covers(NOBODY.grants, m.scope)}
        assert {r for r in open_to_all if not r.endswith("/login")} == PUBLIC
        assert {
            m.id for m in table.routes() if not covers(ROLES["viewer"], m.scope) and m.route.method == "GET"
        } >= {
            "GET /api/v1/users",
            "GET /api/v1/audit",
            "GET /api/v1/config",
        }


async def test_whatever_changes_something_leaves_a_row_and_comes_from_our_own_pages(tmp_path):
    async with running(None, CONFIG, state_dir=tmp_path) as app:
        await app.until_running("web", "people")
        for mounted in app.host.services.get(RouteTable).routes():
            if mounted.route.unsafe:
                assert mounted.route.same_origin, mounted.id
                assert mounted.route.audited or SILENT.match(mounted.id), mounted.id
                assert mounted.scope != "public" or mounted.id in ("POST /api/v1/session", "POST /login"), (
                    mounted.id
                )


async def test_a_plugins_route_without_a_scope_keeps_the_plugin_from_starting_and_names_it(tmp_path):
    import types

    from appliance.api.contrib import Route
    from appliance.api.plugin import PluginInfo, hookimpl

    async def handler(request):
        return {}

    module = types.ModuleType("careless")
    module.plugin = PluginInfo(id="careless", title="Careless", api=1)
    module.routes = hookimpl(lambda ctx: [Route("GET", "open", handler)])
    async with running([module], state_dir=tmp_path) as app:
        status = app.status("careless")
        assert "the plugin careless does not say who may use GET /p/careless/open" in status.why
        assert not [m for m in app.host.services.get(RouteTable).routes() if m.plugin == "careless"]


@pytest.mark.parametrize("word", COARSE)
def test_the_coarse_words_reach_from_viewers_to_administrators(word):
    allowed = [role for role, grants in ROLES.items() if covers(grants, f"anything:{COARSE[word]}")]
    assert (
        allowed
        == {
            "read": ["owner", "admin", "operator", "viewer"],
            "operate": ["owner", "admin", "operator"],
            "admin": ["owner", "admin"],
        }[word]
    )
