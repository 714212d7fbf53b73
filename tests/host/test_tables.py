"""A database that cannot be written when the appliance starts is waited for; a broken migration is the plugin's own fault."""

from __future__ import annotations

import types

from appliance.api.contrib import Migration
from appliance.api.errors import StoreError
from appliance.api.model import PluginState
from appliance.api.plugin import PluginInfo, hookimpl
from appliance.store.database import Database
from appliance.testing import running, wait_until


def keeper(*steps: Migration) -> types.ModuleType:
    """A plugin with one table."""
    made = types.ModuleType("keeper")
    made.plugin = PluginInfo(id="keeper", title="Keeper", api=1)

    async def run(ctx):
        await ctx.store.write(lambda db: db["keeper__notes"].insert({"text": "here"}))
        ctx.ready()
        await ctx.clock.sleep(3600)

    made.run = hookimpl(run)
    made.migrations = hookimpl(lambda: steps)
    return made


NOTES = Migration("notes", lambda db: db["keeper__notes"].create({"text": str}))


async def test_a_plugin_waits_for_a_disk_that_is_full_at_the_start(tmp_path, monkeypatch):
    full = True
    migrate = Database.migrate

    async def refused(self, plugin_id, migrations):
        if full:
            raise StoreError("The disk is full.")
        await migrate(self, plugin_id, migrations)

    monkeypatch.setattr(Database, "migrate", refused)
    async with running([keeper(NOTES)], state_dir=tmp_path) as app:
        await wait_until(lambda: app.status("keeper").state is PluginState.BACKOFF, "the plugin to wait")
        assert "tables cannot be made" in app.status("keeper").why
        full = False
        await app.until_running("keeper")


async def test_a_migration_that_breaks_is_the_plugins_failure(tmp_path):
    async with running(
        [keeper(Migration("broken", lambda db: db.execute("nonsense")))], state_dir=tmp_path
    ) as app:
        assert app.status("keeper").state is PluginState.FAILED
        assert "broken" in app.status("keeper").why
