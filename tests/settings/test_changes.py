"""A change on a running appliance: checked, shown, made, watched, and taken back when it fails."""

import asyncio
import sys
from types import ModuleType

import pytest

from appliance.api.config import PluginConfig, setting
from appliance.api.errors import ConfigError, NotReady
from appliance.api.model import PluginState
from appliance.api.plugin import PluginInfo, hookimpl
from appliance.host.changes import Patience
from appliance.testing import running, wait_until
from tests.support.wait import wait_for

PATIENCE = Patience(watch_s=0.4, grace_s=0.2, confirm_s=0.6, answer_s=0.0)


class Config(PluginConfig):
    greeting: str = setting("ahoy", help="What it says.", live=True)
    port: int = setting(1, help="Where it listens; 13 never works.", ge=1, le=99)
    gate: str = setting("open", help="A way in.", locks_out=True)
    password: str = setting("", help="Its password.", secret=True, live=True)


def harbour(runs):
    module = ModuleType("harbour")

    class Service:
        pass

    async def run(ctx):
        runs.append((ctx.config.port, ctx.config.gate))
        if ctx.config.port == 13:
            raise ConfigError("port", "13 brings bad luck")
        if ctx.config.port == 14:
            raise NotReady("the quay is taken")
        ctx.ready()
        await asyncio.Event().wait()

    def setup(ctx):
        pass

    module.plugin = PluginInfo(id="harbour", title="Harbour", api=1, config=Config)
    module.run = hookimpl(run)
    module.setup = hookimpl(setup)
    sys.modules["harbour"] = module
    return module


TEXT = """\
# Ours.
[plugins.harbour]
greeting = "hello"  # to everybody
port = 5
"""


@pytest.fixture
def runs():
    return []


@pytest.fixture
async def app(tmp_path, runs):
    folder = tmp_path / "etc"
    folder.mkdir()
    async with running(
        [harbour(runs)],
        TEXT,
        state_dir=tmp_path / "state",
        config_file=folder / "config.toml",
        patience=PATIENCE,
    ) as appliance:
        await appliance.until_running("harbour")
        appliance.file = folder / "config.toml"
        yield appliance


async def patch(app, status=200, **body):
    reply = await app.ask("PATCH", "/api/v1/config", body=body)
    assert reply.status == status, reply.value
    return reply.value


async def settled(app, number):
    async def judged():
        entry = await app.get(f"/api/v1/config/changes/{number}")
        return entry if entry["state"] in ("kept", "reverted") else None

    return await wait_for(judged, f"change {number} to be judged")


async def test_a_live_key_takes_effect_at_once_and_the_comment_stays(app, runs):
    told = await patch(app, set={"harbour.greeting": "moin"})
    assert told["how"] == "live"
    assert app.host.config.plugins["harbour"].greeting == "moin"
    assert 'greeting = "moin"  # to everybody' in app.file.read_text()
    assert (await settled(app, told["change"]["id"]))["state"] == "kept"
    assert runs == [(5, "open")]


async def test_a_dry_run_tells_everything_and_writes_nothing(app):
    told = await patch(app, set={"plugins.harbour.port": 7}, dry_run=True)
    assert "-port = 5" in told["diff"]
    assert "+port = 7" in told["diff"]
    assert told["how"] == "plugin"
    assert [(e.key, e.how) for e in told["effects"]] == [("plugins.harbour.port", "plugin")]
    assert app.file.read_text() == TEXT
    assert await app.get("/api/v1/config/changes") == []


async def test_every_problem_is_told_and_nothing_is_written(app):
    told = await patch(
        app, 422, set={"harbour.port": 100, "harbour.greetin": "x", "appliance.log_level": "loud"}
    )
    found = {e["field"]: e["message"] for e in told["errors"]}
    assert set(found) == {"plugins.harbour.port", "plugins.harbour.greetin", "appliance.log_level"}
    assert "99" in found["plugins.harbour.port"]
    assert 'did you mean "greeting"' in found["plugins.harbour.greetin"]
    assert app.file.read_text() == TEXT


async def test_a_key_that_is_not_live_restarts_its_plugin_alone(app, runs):
    told = await patch(app, set={"harbour.port": 7})
    assert (await settled(app, told["change"]["id"]))["state"] == "kept"
    assert runs == [(5, "open"), (7, "open")]


@pytest.mark.parametrize(("port", "why"), [(13, "bad luck"), (14, "the quay is taken")])
async def test_a_plugin_that_fails_with_it_gets_the_old_configuration_back(app, runs, port, why):
    told = await patch(app, set={"harbour.port": port})
    entry = await settled(app, told["change"]["id"])
    assert entry["state"] == "reverted"
    assert why in entry["why"]
    assert app.file.read_text() == TEXT
    await wait_until(
        lambda: app.status("harbour").state is PluginState.RUNNING and runs[-1] == (5, "open"),
        "the harbour to run again as it did",
    )
    assert runs[0] == (5, "open")
    problems = (await app.ask("GET", "/api/v1/health")).value["problems"]
    assert any("was taken back" in p.text for p in problems)


async def test_what_could_lock_out_goes_back_unless_it_is_confirmed(app, runs):
    told = await patch(app, set={"harbour.gate": "closed"})
    assert told["locks_out"]
    assert told["change"]["state"] == "waiting"
    entry = await settled(app, told["change"]["id"])
    assert (entry["state"], entry["why"]) == ("reverted", "nobody confirmed it in time")
    assert app.file.read_text() == TEXT
    told = await patch(app, set={"harbour.gate": "ajar"})
    assert (await app.post(f"/api/v1/config/changes/{told['change']['id']}/keep"))["state"] == "kept"
    assert 'gate = "ajar"' in app.file.read_text()


async def test_two_who_change_at_once_cannot_overwrite_each_other(app):
    seen = await app.get("/api/v1/config")
    first = await patch(app, set={"harbour.greeting": "one"}, revision=seen["revision"])
    await settled(app, first["change"]["id"])
    told = await patch(app, 412, set={"harbour.greeting": "two"}, revision=seen["revision"])
    assert told["changed"] == told["overlap"] == ["plugins.harbour.greeting"]
    assert "overwritten" in told["detail"]
    told = await patch(app, 412, set={"harbour.port": 9}, revision=seen["revision"])
    assert (told["changed"], told["overlap"]) == (["plugins.harbour.greeting"], [])
    await patch(app, set={"harbour.port": 9}, revision=told["revision"], dry_run=True)


async def test_a_person_with_an_editor_counts_too(app):
    seen = await app.get("/api/v1/config")
    app.file.write_text(TEXT + "# a remark\n")
    told = await patch(app, 412, set={"harbour.port": 9}, revision=seen["revision"])
    assert told["changed"] == []
    app.file.write_text("[plugins.harbour]\nport = \n")
    told = await patch(app, 409, set={"harbour.port": 9})
    assert "correct it first" in told["detail"]


async def test_undo_brings_back_the_bytes_or_only_the_keys(app):
    first = await patch(app, set={"harbour.greeting": "moin", "harbour.port": 7})
    await settled(app, first["change"]["id"])
    undone = await app.post(f"/api/v1/config/changes/{first['change']['id']}/undo", {})
    await settled(app, undone["change"]["id"])
    assert app.file.read_text() == TEXT
    second = await patch(app, set={"harbour.greeting": "moin"})
    await settled(app, second["change"]["id"])
    app.file.write_text(app.file.read_text().replace("port = 5", "port = 8"))
    undone = await app.post(f"/api/v1/config/changes/{second['change']['id']}/undo", {})
    assert app.file.read_text() == TEXT.replace("port = 5", "port = 8")
    assert "only these keys" in undone["notes"][0]
    await settled(app, undone["change"]["id"])
    app.file.write_text(app.file.read_text().replace('"hello"', '"hi"'))
    reply = await app.ask("POST", f"/api/v1/config/changes/{second['change']['id']}/undo", body={})
    assert reply.status == 409
    assert "changed again since" in reply.value["detail"]


async def test_a_secret_is_never_shown_and_stays_when_its_cover_is_sent_back(app):
    told = await patch(app, set={"harbour.password": "sesame"})
    assert "sesame" not in str(told)
    assert 'password = "(another secret)"' in told["diff"]
    await settled(app, told["change"]["id"])
    for path in ("", "/tables/harbour", "/harbour.password", "/changes", "/changes/1"):
        assert "sesame" not in str(await app.get(f"/api/v1/config{path}"))
    told = await patch(app, set={"harbour.password": "(secret)", "harbour.greeting": "x"})
    await settled(app, told["change"]["id"])
    assert 'password = "sesame"' in app.file.read_text()


async def test_a_plugin_is_switched_off_and_on(app, runs):
    told = await patch(app, set={"harbour.enabled": False})
    await settled(app, told["change"]["id"])
    assert app.status("harbour").state is PluginState.DISABLED
    told = await patch(app, unset=["harbour.enabled"])
    await settled(app, told["change"]["id"])
    assert app.status("harbour").state is PluginState.RUNNING
    assert len(runs) == 2


async def test_one_change_after_the_other_needs_no_wait_unless_one_waits_for_somebody(app):
    for greeting in ("one", "two", "three"):
        await patch(app, set={"harbour.greeting": greeting})
        assert app.host.config.plugins["harbour"].greeting == greeting
    states = [e["state"] for e in await app.get("/api/v1/config/changes")]
    assert states[1:] == ["kept", "kept"]
    await settled(app, 3)
    told = await patch(app, set={"harbour.gate": "closed"})
    refused = await patch(app, 409, set={"harbour.greeting": "four"})
    assert "waits to be confirmed" in refused["detail"]

    async def undone():
        return (
            await app.ask("POST", f"/api/v1/config/changes/{told['change']['id']}/undo", body={})
        ).status == 200

    await wait_for(undone, "the change to be carried out and taken back")
    assert "closed" not in app.file.read_text()


async def test_what_only_a_person_can_move_is_locked_with_the_way_to_do_it(app):
    told = await patch(app, 409, set={"appliance.state_dir": "/elsewhere"})
    assert "by hand" in told["detail"]
    keys = (await app.get("/api/v1/config/tables/appliance"))["keys"]
    assert "only root" in keys["user"]["locked"]


async def test_what_needs_a_new_process_is_refused_where_there_is_none(app):
    told = await patch(app, 409, set={"appliance.safe_mode": True})
    assert "restart of the process" in told["detail"]
    assert app.file.read_text() == TEXT


async def test_a_read_only_file_is_explained_and_the_appliances_own_takes_the_change(tmp_path, runs):
    folder = tmp_path / "etc"
    folder.mkdir()
    file = folder / "config.toml"
    async with running(
        [harbour(runs)], TEXT, state_dir=tmp_path / "state", config_file=file, patience=PATIENCE
    ) as app:
        app.host.changes.editor.sources.shipped = True
        told = await patch(app, set={"harbour.greeting": "moin"})
        await settled(app, told["change"]["id"])
        assert file.read_text() == TEXT
        own = tmp_path / "state" / "overrides.toml"
        assert own.read_text().endswith('[plugins.harbour]\ngreeting = "moin"\n')
        assert app.host.config.plugins["harbour"].greeting == "moin"


async def test_a_key_set_by_the_environment_is_locked(tmp_path, runs, monkeypatch):
    monkeypatch.setenv("TIMEBALL_PLUGINS__HARBOUR__PORT", "6")
    async with running(
        [harbour(runs)],
        TEXT,
        state_dir=tmp_path / "state",
        config_file=tmp_path / "c.toml",
        patience=PATIENCE,
    ) as app:
        told = await patch(app, 409, set={"harbour.port": 9})
        assert "TIMEBALL_PLUGINS__HARBOUR__PORT" in told["detail"]
        keys = (await app.get("/api/v1/config/tables/harbour"))["keys"]
        assert keys["port"]["locked"] == "the environment variable TIMEBALL_PLUGINS__HARBOUR__PORT"
        assert not keys["greeting"]["locked"]
