"""The doctor of a running appliance, over API, page and command line: ordered, explained, and mending only when told to."""

import json
import shlex
import stat
import subprocess
import sys
from types import ModuleType

import pytest

from appliance.api.contrib import Finding, HealthCheck
from appliance.api.plugin import PluginInfo, hookimpl
from appliance.testing import running
from tests.plugins.web.fake_pool import HOSTILE
from tests.plugins.web.html_check import read
from tests.plugins.web.test_web_browser import OVERFLOW
from tests.plugins.web.visiting import signed_in_as, visited
from tests.support.browser import browser
from tests.support.programs import free_port, need

TEXT = '[plugins.clock]\nsource = "local"\n[plugins.dns]\nlisten = ["127.0.0.1:0"]\n'


def complaining(answer):
    module = ModuleType("complaining")
    module.plugin = PluginInfo(id="complaining", title="Complaining", api=1)

    async def ping():
        return answer

    module.health_checks = hookimpl(specname="health_checks")(
        lambda ctx: [HealthCheck("all", ping, why="It matters.")]
    )
    return module


def by_id(value):
    return {c["id"]: c for c in json.loads(json.dumps(value))["checks"]}


async def test_everything_is_in_one_list_with_evidence_and_reasons(tmp_path):
    async with running(["clock", "dns"], TEXT, state_dir=tmp_path / "s") as app:
        await app.until_running("clock", "dns")
        value = await app.get("/api/v1/doctor")
        levels = [c["level"] for c in value["checks"]]
        rank = {"failing": 0, "degraded": 1, "info": 2, "ok": 3}
        assert levels == sorted(levels, key=rank.__getitem__)
        found = by_id(value)
        assert {
            "box.ports",
            "box.disk-space",
            "clock.synchronised",
            "dns.few",
            "host.database",
            "host.data-plane",
        } <= set(found)
        assert found["host.database"]["level"] == "ok"
        assert found["dns.few"]["why"]
        assert all(
            c["why"] for c in value["checks"] if c["level"] != "ok" and not c["id"].startswith("host.")
        )
        assert value["status"] in ("degraded", "failing")
        assert "First: " in value["verdict"]


async def test_a_plugin_contributes_evidence_and_a_repair_with_a_way_back(tmp_path):
    from appliance.api.contrib import Fix

    state = {"valve": "open"}

    async def close():
        state["valve"] = "closed"
        return "closed it"

    async def reopen():
        state["valve"] = "open"
        return "opened it again"

    finding = Finding("it leaks", evidence=("a puddle",), fix=Fix("Closes the valve.", close, reopen))
    async with running([complaining([finding])], state_dir=tmp_path / "s") as app:
        found = by_id(await app.get("/api/v1/doctor"))["complaining.all"]
        assert (found["evidence"], found["fix"]) == (
            ["a puddle"],
            {"says": "Closes the valve.", "undo": True, "root": False},
        )
        assert any(p.text == "it leaks" for p in (await app.ask("GET", "/api/v1/health")).value["problems"])
        assert state["valve"] == "open", "looking mends nothing"
        assert await app.post("/api/v1/doctor/complaining.all/fix") == {"done": "closed it"}
        assert (state["valve"], (await app.get("/api/v1/doctor"))["undoable"]) == (
            "closed",
            ["complaining.all"],
        )
        assert await app.post("/api/v1/doctor/complaining.all/undo") == {"done": "opened it again"}
        assert (await app.ask("POST", "/api/v1/doctor/complaining.all/undo")).status == 404
        assert (await app.ask("POST", "/api/v1/doctor/nothing/fix")).status == 404
        assert (await app.ask("POST", "/api/v1/doctor/complaining.all/fix", role="viewer")).status == 403
        assert (await app.ask("GET", "/api/v1/doctor", role="viewer")).status == 200


async def test_names_of_strangers_in_commands_are_one_word_of_a_shell_each(tmp_path):
    """Whoever copies what the doctor offers runs that, and not what somebody called his plugin."""
    name = "x; touch pwned; '\x1b[2J\n$(touch pwned)"
    async with running(
        ["clock", "dns", ModuleType(name)], TEXT, state_dir=tmp_path / "it's a folder; reboot"
    ) as app:
        await app.until_running("clock")
        (tmp_path / "it's a folder; reboot").chmod(0o777)
        found = (await app.get("/api/v1/doctor"))["checks"]
    lines = [shlex.split(line) for check in found for line in check["commands"]]
    shown = "x; touch pwned; '\ufffd[2J\ufffd$(touch pwned)"
    assert ["timeball", "plugin", "retry", shown] in lines
    assert [
        line for line in lines if line[0] == "chmod" and line[-1] == str(tmp_path / "it's a folder; reboot")
    ]


async def test_settings_in_the_files_that_are_not_in_force_are_told(tmp_path):
    file = tmp_path / "c.toml"
    async with running(["clock", "dns"], TEXT, state_dir=tmp_path / "s", config_file=file) as app:
        await app.until_running("dns")
        assert by_id(await app.get("/api/v1/doctor"))["box.settings-in-force"]["level"] == "ok"
        file.write_text(TEXT + "ttl = 61\n")
        found = by_id(await app.get("/api/v1/doctor"))["box.settings-in-force"]
        assert (found["level"], found["evidence"]) == ("degraded", ["plugins.dns.ttl"])
        file.write_text(TEXT + "tll = 61\n")
        found = by_id(await app.get("/api/v1/doctor"))["box.settings-in-force.refused"]
        assert "the next start fails" in found["text"]
        assert "c.toml:" in found["evidence"][0]
        assert "plugins.dns.tll" in found["evidence"][0]
        assert not any("restart" in command for command in found["commands"]), "it would not come back"


async def test_a_report_to_hand_on_holds_no_secret(tmp_path):
    from tests.plugins.web import every_kind

    text = '[plugins.every]\npassword = "sesame"\ntoken = "tower"\n'
    async with running([every_kind], text, state_dir=tmp_path / "s") as app:
        report = str(await app.get("/api/v1/doctor/report"))
        assert "sesame" not in report
        assert "tower" not in report
        assert "'every'" in report


async def test_the_page_in_a_real_browser_mends_and_takes_back_without_scripts(tmp_path, monkeypatch):
    signed_in_as(monkeypatch, "owner")
    state = tmp_path / "state"
    hostile = Finding(HOSTILE, evidence=(HOSTILE,), remedy=HOSTILE, commands=(HOSTILE,), why=HOSTILE)
    async with visited(state, plugins=("web", complaining(hostile))) as visitor:
        state.chmod(0o755)
        _, text, _ = await visitor.get("/doctor")
        assert read(text).complaints == []
        assert "<script>alert" not in text
        async with browser(need("chromium")) as chromium, chromium.tab() as tab:
            for width, dark in ((320, False), (320, True), (1280, False)):
                await tab.look(width=width, dark=dark, scripts=False)
                await tab.open(visitor.base + "/doctor")
                assert await tab.evaluate(OVERFLOW) <= 0, width
            await tab.click("a[href^='/doctor/box.state-folder'][href$='/fix']")
            assert "0755" in await tab.evaluate("document.body.innerText")
            assert stat.S_IMODE(state.stat().st_mode) == 0o755, "asking mends nothing"
            await tab.click("main form button.primary")
            assert stat.S_IMODE(state.stat().st_mode) == 0o750
            assert "Mended" in await tab.evaluate("document.querySelector('.notice').innerText")
            await tab.click("form[action$='/undo'] button")
            assert stat.S_IMODE(state.stat().st_mode) == 0o755
            assert tab.complaints == []
        status, text, headers = await visitor.get("/doctor/report")
        assert (status, headers["content-disposition"]) == (
            200,
            'attachment; filename="timeball-report.json"',
        )


def timeball(*arguments, text=None):
    return subprocess.run(
        [sys.executable, "-m", "appliance", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=110, input=text,
    )  # fmt: skip


@pytest.fixture
def box(tmp_path):
    state = tmp_path / "state"
    state.mkdir(mode=0o750)
    port = free_port()
    file = tmp_path / "c.toml"
    file.write_text(
        f'[appliance]\nstate_dir = "{state}"\n[plugins.clock]\nsource = "local"\n[plugins.ntp]\nlisten = ["127.0.0.1:{port}"]\n'
        f'[plugins.dns]\nlisten = ["127.0.0.1:{free_port()}"]\n[plugins.web]\nlisten = "127.0.0.1:{free_port()}"\nlisten_tls = []\n'
    )
    return file, port, state


def test_without_an_appliance_the_box_is_examined_with_exit_codes(box):
    from tests.doctor.test_doctor_checks import somebody

    file, port, state = box
    done = timeball("doctor", "--config", file, "--json")
    value = json.loads(done.stdout)
    assert done.returncode == {"ok": 0, "degraded": 7, "failing": 8}[value["status"]]
    assert "No appliance is running" in value["verdict"]
    with somebody("chronyd", "127.0.0.1", port):
        done = timeball("doctor", "--config", file)
    assert done.returncode == 8
    assert done.stdout.splitlines()[0].startswith("No appliance is running; the box was examined.")
    assert f"127.0.0.1:{port}" in done.stdout
    assert "chronyd (process" in done.stdout
    assert timeball("doctor", "--state-dir", state).returncode == 3


def test_mending_asks_first_and_can_be_refused(box):
    file, _, state = box
    (state / "secrets").mkdir()
    secret = state / "secrets" / "key"
    secret.write_text("x")
    secret.chmod(0o644)
    refused = timeball("doctor", "--config", file, "--fix", "box.state-folder.key", text="n\n")
    assert (refused.returncode, stat.S_IMODE(secret.stat().st_mode)) == (1, 0o644)
    assert "from 0644 to 0600" in refused.stderr
    done = timeball("doctor", "--config", file, "--fix", "box.state-folder.key", "--yes")
    assert (done.returncode, stat.S_IMODE(secret.stat().st_mode)) == (0, 0o600), done.stderr
    assert timeball("doctor", "--config", file, "--fix", "box.nothing", "--yes").returncode == 5
