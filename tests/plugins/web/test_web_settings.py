"""Settings through pages: a form for every plugin, the difference before anything is written, and the way back."""

from __future__ import annotations

import contextlib
import html
import re

import aiohttp
import pytest

from appliance.api.model import PluginState
from appliance.host.changes import Patience
from appliance.testing import wait_until
from tests.plugins.web import every_kind
from tests.plugins.web.fake_pool import HOSTILE
from tests.plugins.web.html_check import read
from tests.plugins.web.test_web_browser import OVERFLOW, serious
from tests.plugins.web.visiting import signed_in_as, visited
from tests.support.browser import browser
from tests.support.programs import free_port, need
from tests.support.wait import wait_for

PATIENCE = Patience(watch_s=0.3, grace_s=0.2, confirm_s=60.0, answer_s=0.2)
FILE = """
# Our harbour.
[plugins.every]
name = "Cuxhaven"  # on the Elbe
draught = 8.0
password = "sesame"

[[plugins.every.berth]]
name = "North quay"
key = "k1"
[[plugins.every.berth]]
name = "South quay"
depth = 3.0
"""


@pytest.fixture
async def visitor(tmp_path, monkeypatch):
    signed_in_as(monkeypatch, "owner")
    monkeypatch.setenv("TIMEBALL_PLUGINS__EVERY__FLAG", '"quarantine"')
    file = tmp_path / "config.toml"
    async with visited(
        tmp_path / "state", plugins=("web", every_kind), config=FILE, config_file=file, patience=PATIENCE
    ) as found:
        await found.app.until_running("every")
        found.file = file
        yield found


def form_of(text):
    """The fields of the page's form as a browser would send them."""
    found = []
    form = re.search(r'<form method="post" action="/settings/[^"]*"[^>]*>(.*?)</form>', text, re.DOTALL)[1]
    pattern = r"<input ([^>]*)>|<textarea ([^>]*)>\n?(.*?)</textarea>|<select ([^>]*)>(.*?)</select>"
    for one in re.finditer(pattern, form, re.DOTALL):
        attributes = dict(re.findall(r'([\w-]+)="([^"]*)"', one[1] or one[2] or one[4]))
        bare = one[1] or one[2] or one[4]
        if "name" not in attributes or re.search(r"\bdisabled\b", bare):
            continue
        if attributes.get("type") == "checkbox" and not re.search(r"\bchecked\b", bare):
            continue
        value = attributes.get("value", "")
        if one[2]:
            value = one[3]
        if one[4]:
            value = re.search(r'<option value="([^"]*)" selected', one[5])[1]
        found.append((html.unescape(attributes["name"]), html.unescape(value)))
    return found


def changed(form, **values):
    """The form with other values; names without their "v."."""
    wanted = {
        (k if k in ("op", "on", "reset") else f"v.{k}").replace("__", "."): v for k, v in values.items()
    }
    kept = [(k, v) for k, v in form if k not in wanted]
    return kept + [(k, v) for k, v in wanted.items() if v is not None]


async def table(visitor, name="every"):
    status, text, _ = await visitor.get(f"/settings/{name}")
    assert status == 200, text
    found = read(text)
    assert found.complaints == []
    return text


def proposal_of(text):
    return re.search(r'name="proposal" value="([^"]+)"', text)[1]


async def kept(visitor, number):
    async def judged():
        entry = await visitor.app.get(f"/api/v1/config/changes/{number}")
        return entry if entry["state"] in ("kept", "reverted") else None

    return await wait_for(judged, f"change {number} to be judged")


async def test_a_form_that_is_sent_back_as_it_came_changes_nothing(visitor):
    for name in ("every", "web", "appliance"):
        form = form_of(await table(visitor, name))
        status, text, _ = await visitor.post(f"/settings/{name}", form)
        assert status == 200
        assert "Nothing is different" in text


async def test_from_the_form_over_the_difference_to_the_result_and_back(visitor):
    before = visitor.file.read_text()
    form = form_of(await table(visitor))
    status, text, _ = await visitor.post("/settings/every", changed(form, draught="9.5", signal__flashes="5"))
    assert status == 200
    assert read(text).complaints == []
    assert "-draught = 8.0" in text
    assert "+draught = 9.5" in text
    assert "at once, without interruption" in text
    assert visitor.file.read_text() == before, "nothing is written before it is confirmed"
    status, _, where = await visitor.post("/settings/apply", {"proposal": proposal_of(text)})
    assert (status, where) == (303, "/settings/changes/1")
    assert 'name = "Cuxhaven"  # on the Elbe\ndraught = 9.5\n' in visitor.file.read_text()
    await kept(visitor, 1)
    _, text, _ = await visitor.get(where)
    assert "is in force" in text
    status, text, _ = await visitor.post("/settings/changes/1/undo", {})
    assert "+draught = 8.0" in text
    _, _, where = await visitor.post("/settings/apply", {"proposal": proposal_of(text)})
    assert where == "/settings/changes/2"
    assert visitor.file.read_text() == before


async def test_problems_stand_beside_their_fields_with_what_would_be_right(visitor):
    form = form_of(await table(visitor))
    status, text, _ = await visitor.post(
        "/settings/every",
        changed(form, pilots="40", name="nowhere", berth__1__depth="-2", listen="127.0.0.1"),
    )
    assert status == 422
    found = read(text)
    assert found.complaints == []
    assert 'href="#f-pilots"' in text
    assert "4 things need another look" in text
    assert re.search(r'id="f-pilots"[^>]*aria-invalid="true"', text)
    assert "expected a place, such as Cuxhaven" in text
    assert re.search(r'id="f-berth-1-depth"[^>]*aria-invalid="true"', text)
    assert 'value="40"' in text, "what was typed stays"
    status, text, _ = await visitor.post("/settings/every", changed(form, draught="deep", pilots="40"))
    assert (status, "expected a number such as 0.5, got &#34;deep&#34;" in text) == (422, True)
    assert 'href="#f-pilots"' in text, "what cannot be read does not hide what is out of bounds"


async def test_rows_are_added_and_removed_without_scripts(visitor):
    form = form_of(await table(visitor))
    status, text, _ = await visitor.post("/settings/every", changed(form, op="add:v.berth", draught="9"))
    assert status == 200
    form = form_of(text)
    assert dict(form)["v.berth.rows"] == "3"
    assert dict(form)["v.draught"] == "9"
    _, text, _ = await visitor.post("/settings/every", changed(form, op="remove:v.berth:0"))
    form = changed(form_of(text), berth__1__name="West quay")
    _, text, _ = await visitor.post("/settings/every", form)
    await visitor.post("/settings/apply", {"proposal": proposal_of(text)})
    config = visitor.app.host.config.plugins["every"]
    assert [b.name for b in config.berth] == ["South quay", "West quay"]
    written = visitor.file.read_text()
    assert '[[plugins.every.berth]]\nname = "West quay"\n' in written
    assert "k1" not in written


async def test_secrets_never_reach_a_page_and_stay_unless_they_are_replaced(visitor):
    text = await table(visitor)
    form = form_of(text)
    assert "sesame" not in text
    assert '"k1"' not in text
    _, text, _ = await visitor.post("/settings/every", changed(form, token="tower-1", berth__0__lit="yes"))
    assert "tower-1" not in text
    _, _, where = await visitor.post("/settings/apply", {"proposal": proposal_of(text)})
    written = visitor.file.read_text()
    assert 'token = "tower-1"' in written
    assert 'password = "sesame"' in written
    assert 'name = "North quay"\nkey = "k1"\nlit = true' in written
    await kept(visitor, 1)
    assert "tower-1" not in (await visitor.get(where))[1]
    form = form_of(await table(visitor))
    _, text, _ = await visitor.post("/settings/every", changed(form, **{"password.clear": "yes"}))
    await visitor.post("/settings/apply", {"proposal": proposal_of(text)})
    assert visitor.app.host.config.plugins["every"].password.get_secret_value() == ""


async def test_what_is_locked_says_by_what_and_what_is_set_can_go_back(visitor):
    text = await table(visitor)
    assert re.search(r'id="f-flag"[^>]*disabled', text)
    assert "TIMEBALL_PLUGINS__EVERY__FLAG" in text
    form = form_of(text)
    _, text, _ = await visitor.post("/settings/every", changed(form, reset="draught"))
    assert "-draught = 8.0" in text
    await visitor.post("/settings/apply", {"proposal": proposal_of(text)})
    assert visitor.app.host.config.plugins["every"].draught == 7.25
    _, text, _ = await visitor.post("/settings/every", [*form, ("v.flag", "none")])
    assert "Nothing is different" in text, "a disabled field that is sent anyway is not taken"


async def test_two_people_see_each_other(visitor):
    form = form_of(await table(visitor))
    visitor.file.write_text(visitor.file.read_text().replace("draught = 8.0", "draught = 6.0"))
    status, text, _ = await visitor.post("/settings/every", changed(form, draught="9", gate="ajar"))
    assert status == 412
    assert "plugins.every.draught" in text
    assert "somebody else changed this meanwhile" in text
    assert re.search(r'id="f-gate"[^>]*value="ajar"', text)
    _, text, _ = await visitor.post("/settings/every", form_of(text))
    assert "6.0" in text, "the second look is at what is there now"
    first = form_of(await table(visitor))
    _, text, _ = await visitor.post("/settings/every", changed(first, draught="5"))
    visitor.file.write_text(visitor.file.read_text() + "# a remark\n")
    status, text, _ = await visitor.post("/settings/apply", {"proposal": proposal_of(text)})
    assert (status, "comments only" in text) == (412, True)


async def test_a_preview_is_good_once(visitor):
    form = form_of(await table(visitor))
    _, text, _ = await visitor.post("/settings/every", changed(form, draught="9"))
    await visitor.post("/settings/apply", {"proposal": proposal_of(text)})
    status, text, _ = await visitor.post("/settings/apply", {"proposal": proposal_of(text)})
    assert (status, "not there any more" in text) == (404, True)


async def test_a_plugin_is_switched_off_and_on_from_its_page(visitor):
    _, text, _ = await visitor.get("/plugins")
    assert 'action="/plugins/every/switch"' in text
    _, text, _ = await visitor.post("/plugins/every/switch", {})
    assert "+enabled = false" in text
    await visitor.post("/settings/apply", {"proposal": proposal_of(text)})
    await kept(visitor, 1)
    assert visitor.app.status("every").state is PluginState.DISABLED
    _, text, _ = await visitor.post("/plugins/every/switch", {})
    await visitor.post("/settings/apply", {"proposal": proposal_of(text)})
    await wait_until(
        lambda: visitor.app.status("every").state is PluginState.RUNNING, "the plugin to run again"
    )


async def test_who_may_not_change_settings_sees_none(tmp_path, monkeypatch):
    signed_in_as(monkeypatch, "operator")
    async with visited(tmp_path / "state") as visitor:
        _, text, _ = await visitor.get("/")
        assert 'href="/settings"' not in text
        for path in ("/settings", "/settings/web", "/settings/changes"):
            assert (await visitor.get(path))[0] in (401, 403)
        assert (await visitor.post("/settings/web", {"op": "review"}))[0] in (401, 403)


async def test_a_form_that_is_no_form_of_ours_is_refused_in_words(visitor):
    for form in ({}, {"op": "review"}, {"was": "[]"}, {"was": "{", "v.berth.rows": "99999"}):
        assert (await visitor.post("/settings/every", form))[0] in (422, 200)
    assert (await visitor.post("/settings/nowhere", {"was": "{}"}))[0] == 404
    assert (await visitor.get("/settings/changes/x"))[0] == 422
    assert (await visitor.get("/settings/changes/99"))[0] == 404


async def test_hostile_values_are_text(visitor):
    form = form_of(await table(visitor))
    _, text, _ = await visitor.post("/settings/every", changed(form, chart=HOSTILE, berth__0__name="<b>x"))
    assert "<script>alert" not in text
    await visitor.post("/settings/apply", {"proposal": proposal_of(text)})
    text = await table(visitor)
    assert "<script>alert" not in text
    assert "<b>x" not in text


@pytest.mark.parametrize("scripts", [True, False])
async def test_in_a_real_browser_with_scripts_and_without(visitor, scripts):
    """Every page at every width in both lights; a row added with a click; the change applied and taken back."""
    async with browser(need("chromium")) as chromium, chromium.tab() as tab:
        for path in ("/settings", "/settings/every", "/settings/web", "/settings/changes"):
            for width, dark in ((320, False), (320, True), (1280, False)):
                await tab.look(width=width, dark=dark, scripts=scripts)
                await tab.open(visitor.base + path)
                assert await tab.evaluate(OVERFLOW) <= 0, (path, width)
                assert serious(tab.complaints, path) == [], (path, width)
        await tab.look(scripts=scripts)
        await tab.open(visitor.base + "/settings/every")
        await tab.click("button[value='add:v.berth']")
        assert await tab.evaluate("document.querySelectorAll('fieldset.row').length") == 3
        await tab.evaluate("document.querySelector('#f-berth-2-name').value = 'West quay'")
        await tab.evaluate("document.querySelector('#f-draught').value = 'deep'")
        await tab.click("form button.primary")
        assert await tab.evaluate("document.querySelector('#summary a').getAttribute('href')") == "#f-draught"
        await tab.evaluate("document.querySelector('#f-draught').value = '9'")
        await tab.click("form button.primary")
        assert "+draught = 9" in await tab.evaluate("document.querySelector('.diff').innerText")
        await tab.look(width=320, scripts=scripts)
        assert await tab.evaluate(OVERFLOW) <= 0
        await tab.click("form button.primary")
        assert await tab.evaluate("location.pathname") == "/settings/changes/1"
        assert [b.name for b in visitor.app.host.config.plugins["every"].berth][-1] == "West quay"
        await kept(visitor, 1)
        await tab.open(visitor.base + "/settings/changes/1")
        await tab.click("main form button")
        await tab.click("form button.primary")
        await kept(visitor, 2)
        assert visitor.app.host.config.plugins["every"].draught == 8.0
        assert [c for c in tab.complaints if "422" not in c] == []


async def test_labels_and_descriptions_belong_to_their_fields(visitor):
    async with browser(need("chromium")) as chromium, chromium.tab() as tab:
        await tab.open(visitor.base + "/settings/every")
        bare = await tab.evaluate(
            "[...document.querySelectorAll('.settings input:not([type=hidden]), .settings select, .settings textarea')]"
            ".filter(e => !e.labels.length || !(e.closest('.reset') || e.closest('.boxes') ||"
            " document.getElementById(e.getAttribute('aria-describedby')))).map(e => e.name)"
        )
        assert bare == []
        twice = await tab.evaluate(
            "(() => { const ids = [...document.querySelectorAll('[id]')].map(e => e.id); return ids.filter((x, i) => ids.indexOf(x) !== i); })()"
        )
        assert twice == []


async def test_pages_that_move_are_confirmed_where_they_are_or_come_back(visitor):
    """The address of the pages is changed: the new one answers, and unless somebody confirms it there the old one returns."""
    visitor.app.host.changes.patience = Patience(watch_s=0.3, grace_s=2.0, confirm_s=3.0, answer_s=0.2)
    before = visitor.file.read_text()
    port = free_port()
    form = changed(form_of(await table(visitor, "web")), listen=f"127.0.0.1:{port}")
    _, text, _ = await visitor.post("/settings/web", form)
    assert "could cut you off" in text
    await visitor.post("/settings/apply", {"proposal": proposal_of(text)})
    visitor.base = f"http://127.0.0.1:{port}"

    async def answers():
        with contextlib.suppress(aiohttp.ClientError):
            return (await visitor.get("/settings/changes/1"))[1]
        return ""

    text = await wait_for(answers, "the pages at their new address")
    assert "waits for you" in text
    assert f"http://127.0.0.1:{port}/settings/changes/1" in text
    entry = await kept(visitor, 1)
    assert (entry["state"], entry["why"]) == ("reverted", "nobody confirmed it in time")
    assert visitor.file.read_text() == before
    await wait_until(lambda: visitor.app.status("web").state is PluginState.RUNNING, "the pages to be back")
    visitor.base = visitor.app.status("web").text.removeprefix("pages at ").partition(" ")[0].rstrip("/")
    assert await wait_for(answers, "the pages at their old address")
    form = changed(form_of(await table(visitor, "web")), listen=f"127.0.0.1:{port}")
    _, text, _ = await visitor.post("/settings/web", form)
    await visitor.post("/settings/apply", {"proposal": proposal_of(text)})
    visitor.base = f"http://127.0.0.1:{port}"
    await wait_for(answers, "the pages at their new address")
    status, _, _ = await visitor.post("/settings/changes/2/keep", {})
    assert status == 303
    assert (await kept(visitor, 2))["state"] == "kept"
