"""A command that comes while the appliance still starts waits for what it asks for, and no longer than it must."""

from __future__ import annotations

import asyncio
import types

import pytest

from appliance.api import cli
from appliance.api.actor import local
from appliance.api.cli import Admin, Failure
from appliance.api.contrib import Route
from appliance.api.plugin import PluginInfo, hookimpl
from appliance.core.routes import Request, RouteTable
from appliance.core.tasks import spawn
from appliance.testing import running, wait_until


async def test_a_command_waits_until_the_plugin_that_it_asks_is_mounted(tmp_path):
    async with running([], state_dir=tmp_path, admin_socket=True) as app:
        table = app.host.services.get(RouteTable)
        table.starting = True
        asked = []
        match = table._match

        def watched(request):
            asked.append(request.path)
            return match(request)

        table._match = watched

        async def kettle(request):
            return {"boils": True}

        admin = Admin(tmp_path / "admin.sock")
        answer = spawn(asyncio.to_thread(admin.get, "/api/v1/kettle"), name="test:command")
        await wait_until(lambda: len(asked) > 1, "the command to ask again")
        assert not answer.done()
        table.mount("kettle", (Route("GET", "/api/v1/kettle", kettle, "public"),))
        table.starting = False
        assert await answer == {"boils": True}


async def test_it_does_not_wait_for_ever_and_not_at_all_once_everything_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "STARTING_S", 0.3)
    async with running([], state_dir=tmp_path, admin_socket=True) as app:
        admin = Admin(tmp_path / "admin.sock")
        app.host.routes.starting = True
        with pytest.raises(Failure, match="still starting"):
            await asyncio.to_thread(admin.get, "/api/v1/kettle")
        app.host.routes.starting = False
        with pytest.raises(Failure, match="there is nothing at"):
            await asyncio.to_thread(admin.get, "/api/v1/kettle")


async def test_as_long_as_plugins_are_being_set_up_what_is_missing_may_still_come(tmp_path):
    seen = []
    module = types.ModuleType("late")
    module.plugin = PluginInfo(id="late", title="Late", api=1)

    @hookimpl
    def setup(ctx):
        table = ctx.get(RouteTable)
        with pytest.raises(Exception, match="still starting") as error:
            table._match(Request("GET", "/api/v1/kettle", actor=local("root")))
        seen.append((error.value.status, error.value.code, error.value.headers["Retry-After"]))

    module.setup = setup
    async with running([module], state_dir=tmp_path) as app:
        assert seen == [(503, "starting", "1")]
        assert not app.host.routes.starting
