"""Safe mode is on every page with whom it suspects; what was installed is listed, and taken back when a person says so."""

from __future__ import annotations

import json

import pytest

from appliance.host.starts import Starts
from appliance.kit.installed import Installed, Root
from appliance.kit.quality import read as read_quality
from appliance.testing import wait_until
from tests.plugins.web.fake_pool import HOSTILE
from tests.plugins.web.html_check import read
from tests.plugins.web.visiting import signed_in_as, visited
from tests.support.browser import browser
from tests.support.programs import need

PAGES = (
    "/",
    "/members",
    "/plugins",
    "/settings",
    "/help",
    "/plugins/rollback",
    "/plugins/safe-mode",
    "/plugins/restart",
)


def install(state_dir, name=HOSTILE):
    """What `timeball plugin install` leaves, with a checklist of bronze."""
    installed = Installed(state_dir)
    with installed.draft() as folder:
        (folder / "appliance_hello").mkdir()
        done = {"config-documented", "tests", "contract", "readme"}
        text = "[bronze]\n" + "".join(f'{rule} = "done"\n' for rule in done)
        (folder / "appliance_hello/quality.toml").write_text(text, encoding="utf-8")
        root = Root(name, "1.0", f"/srv/{name}.whl", {}, {"hello": "appliance_hello"}, 1.7e9, "5" * 64)
        installed.keep(folder, (root,), f"installed {name} 1.0")


def unsettled(state_dir, plugin="hello"):
    """The start after three that did not last with that plugin."""
    for _ in range(3):
        starts = Starts(state_dir)
        starts.begin()
        starts.loaded([f"{plugin} (x 1.0)"])
    starts = Starts(state_dir)
    assert starts.begin(plugin)
    return starts


async def test_safe_mode_is_on_every_page_with_whom_it_suspects_and_how_to_leave(tmp_path, monkeypatch):
    signed_in_as(monkeypatch, "owner")
    async with visited(tmp_path) as visitor:
        for path in PAGES:
            assert 'id="safe-mode"' not in (await visitor.get(path))[1]
        visitor.app.host.starts = unsettled(tmp_path, HOSTILE.split()[0])
        for path in PAGES:
            status, text, _ = await visitor.get(path)
            assert status == 200, path
            assert read(text).complaints == [], path
            assert "<script>alert" not in text
            banner = text.partition('id="safe-mode"')[2].partition("</div></div>")[0]
            assert "3 times in a row with &lt;script&gt;" in banner
            assert "timeball plugin safe-mode off" in banner
            assert 'href="/plugins/safe-mode"' in banner
        assert (await visitor.post("/plugins/safe-mode", {}))[::2] == (303, "/plugins?done=safe-mode-left")
        _, text, _ = await visitor.get("/")
        assert "It ends when the appliance starts again" in text
        assert Starts(tmp_path).begin() == ""
        assert (await visitor.post("/plugins/safe-mode", {}))[0] == 409


async def test_what_was_installed_is_listed_escaped_and_taken_back(tmp_path, monkeypatch):
    signed_in_as(monkeypatch, "owner")
    async with visited(tmp_path) as visitor:
        assert "No plugin was installed" in (await visitor.get("/plugins"))[1]
        assert (await visitor.post("/plugins/rollback", {}))[0] == 409
        install(tmp_path)
        visitor.app.host.starts = unsettled(tmp_path)
        _, text, _ = await visitor.get("/plugins")
        assert read(text).complaints == []
        assert "<script>alert" not in text
        section = text.partition('id="installed"')[2].partition("</section>")[0]
        for piece in (
            "2023-11-14",
            "/srv/&lt;script&gt;",
            "5" * 64,
            "calls itself bronze",
            "installed &lt;script&gt;",
        ):
            assert piece in section, piece
        assert "What runs is not what is installed: other plugins" in section
        assert 'href="/plugins/restart"' in section
        (tmp_path / "plugins.d/current/appliance_hello/quality.toml").write_text("", encoding="utf-8")
        assert "was changed since it was installed" in (await visitor.get("/plugins"))[1]
        (tmp_path / "plugins.d/current/lock.json").write_text("{", encoding="utf-8")
        _, text, _ = await visitor.get("/plugins")
        assert "lock.json cannot be read" in text
        assert 'href="/plugins/rollback"' in text, "now above all"
        assert (await visitor.post("/plugins/rollback", {}))[::2] == (303, "/plugins?done=rolled-back")
        assert Installed(tmp_path).current() is None
        assert Starts(tmp_path).book.safe == ""
        assert "No plugin was installed" in (await visitor.get("/plugins"))[1]


@pytest.mark.parametrize("path", ["/api/v1/plugins/installed/rollback", "/api/v1/plugins/safe-mode/leave"])
async def test_only_who_may_change_plugins_takes_them_back(tmp_path, path):
    async with visited(tmp_path) as visitor:
        install(tmp_path, "x")
        visitor.app.host.starts = unsettled(tmp_path)
        for role, statuses in (
            ("public", {401, 403}),
            ("viewer", {403}),
            ("operator", {403}),
            ("admin", {200}),
        ):
            assert (await visitor.app.ask("POST", path, role=role)).status in statuses, role


def test_a_lock_file_from_before_is_read_without_time_and_hash(tmp_path):
    install(tmp_path, "x")
    lock = tmp_path / "plugins.d/current/lock.json"
    value = json.loads(lock.read_text(encoding="utf-8"))
    for root in value["roots"]:
        del root["at"], root["sha256"]
    lock.write_text(json.dumps(value), encoding="utf-8")
    assert Installed(tmp_path).current().roots[0].sha256 == ""


def test_safe_mode_that_was_ended_by_the_command_is_not_written_back_when_the_start_settles(tmp_path):
    starts = unsettled(tmp_path)
    Starts(tmp_path).leave()
    starts.settled()
    assert Starts(tmp_path).book.safe == ""


async def test_the_banner_and_what_is_installed_have_nothing_to_complain_about(tmp_path, monkeypatch):
    from tests.plugins.web.test_web_gate_matrix import judge

    signed_in_as(monkeypatch, "owner")
    async with visited(tmp_path) as visitor:
        install(tmp_path, "timeball-hello")
        visitor.app.host.starts = unsettled(tmp_path)
        async with browser(need("chromium")) as chromium, chromium.tab() as tab:
            wrong = [w for path in (*PAGES[-3:], "/plugins") for w in await judge(tab, visitor.base, path)]
        assert wrong == []


async def test_the_appliance_starts_again_when_a_person_says_so(tmp_path, monkeypatch):
    signed_in_as(monkeypatch, "owner")
    async with visited(tmp_path) as visitor:
        assert (await visitor.post("/plugins/restart", {}))[0] == 409, "it is no process of its own"
        asked = []
        visitor.app.host.changes.restart = lambda: asked.append(1)
        assert (await visitor.post("/plugins/restart", {}))[::2] == (303, "/plugins?done=restarting")
        _, text, _ = await visitor.get("/plugins?done=restarting")
        assert "starts again" in text
        assert '<meta http-equiv="refresh" content="5; url=/plugins">' in text
        await wait_until(lambda: asked, "the restart")
        for role, status in (
            ("public", {401, 403}),
            ("viewer", {403}),
            ("operator", {403}),
            ("admin", {200}),
        ):
            reply = await visitor.app.ask("POST", "/api/v1/restart", role=role)
            assert reply.status in status, role


async def test_each_plugin_shows_its_level_and_what_is_missing(tmp_path, monkeypatch):
    signed_in_as(monkeypatch, "owner")
    async with visited(tmp_path) as visitor:
        before = (await visitor.get("/plugins"))[1].partition('<span class="sub from">web, ')[2]
        assert '<td data-label="Quality">gold</td>' in before.partition("</tr>")[0]
        visitor.app.host.loaded("web").quality = read_quality('[bronze]\ntests = "done"\ncontract = "todo"')
        _, text, _ = await visitor.get("/plugins")
    assert read(text).complaints == []
    row = text.partition('<span class="sub from">web, ')[2].partition("</tr>")[0]
    assert "no level yet" in row
    assert "<code>contract</code> `timeball plugin test` passes" in row
