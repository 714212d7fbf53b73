"""What a person does on a new box, in a real browser, with scripts and without: from the setup code to signing out."""

from __future__ import annotations

import dataclasses
import time

import pytest

from appliance.api.services import Members
from appliance.host.changes import Patience
from appliance_people.claim import Claim
from appliance_people.people import People
from tests.plugins.people.bed import OWNER_PASSWORD
from tests.plugins.web.whole_box import Box, whole
from tests.support import axe
from tests.support.browser import Tab, browser
from tests.support.programs import REPOSITORY, free_port, need
from tests.support.wait import wait_for

#: From the first page to the first good check: what a person has to do, and how long it may take on a busy machine.
ACTIONS, SECONDS = 8, 60.0

CHECKS = (REPOSITORY / "tests" / "support" / "page_checks.js").read_text(encoding="utf-8")

#: Watched for a moment only: what is tried here harms nothing.
PATIENCE = Patience(watch_s=0.3, grace_s=0.2, confirm_s=60.0, answer_s=0.1)


class Person:
    """Somebody at a browser who counts what there is to do.

    Attributes:
        actions: fields filled and buttons pressed so far.
    """

    def __init__(self, box: Box, tab: Tab) -> None:
        self.box, self.tab = box, tab
        self.actions = 0

    async def fill(self, field: str, text: str) -> None:
        self.actions += 1
        await self.tab.fill(f"main [name='{field}']", text)

    async def press(self, button: str, *, leads: bool = True) -> None:
        self.actions += 1
        await self.tab.click(button, leads=leads)

    async def read(self) -> str:
        return str(await self.tab.evaluate("document.body.innerText"))

    async def where(self) -> str:
        return str(await self.tab.evaluate("location.pathname"))

    async def go(self, path: str) -> None:
        await self.tab.open(self.box.base + path)


async def first_minute(person: Person) -> None:
    """Become the owner, name the pool, add the first server with a good check."""
    code, _ = person.box.app.service(Claim).current()
    await person.go("/setup")
    await person.fill("code", code)
    await person.fill("password", OWNER_PASSWORD)
    await person.press("main button.primary")
    assert await person.where() == "/setup/pool"
    await person.press("main button.primary")
    await person.fill("address", f"127.0.0.11:{person.box.simulator}")
    while not person.box.app.service(Members).table.get():
        await person.press("main button.primary")
        assert person.actions <= ACTIONS, await person.read()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
async def test_a_box_is_claimed_used_and_left(tmp_path, scripts):
    async with (
        whole(tmp_path, "fresh", simulated=True, patience=PATIENCE) as box,
        browser(need("chromium")) as chromium,
        chromium.tab() as tab,
    ):
        person = Person(box, tab)
        await tab.look(scripts=scripts, width=1280)
        began = time.monotonic()
        await first_minute(person)
        taken_s = time.monotonic() - began
        print(f"first page to first good check: {person.actions} actions, {taken_s:.1f} s")  # noqa: T201 - the figure
        assert person.actions <= ACTIONS
        assert taken_s <= SECONDS
        (member,) = box.app.service(Members).table.get().values()

        # a server is paused and goes on
        await person.go(f"/members/{member.id}")
        await person.press("form[action$='/pause'] button")
        assert "Paused" in await person.read()
        assert box.app.service(Members).find(member.id).state == "paused"
        await person.press("form[action$='/resume'] button")
        assert box.app.service(Members).find(member.id).state == "active"

        # a setting is changed, seen and taken back
        await person.go("/settings/monitor")
        await tab.evaluate("document.querySelectorAll('main details').forEach((d) => { d.open = true; })")
        before = await tab.evaluate("document.querySelector('main [name=\"v.samples\"]').value")
        await person.fill("v.samples", "2" if before != "2" else "3")
        await person.press("main button.primary")
        assert "samples" in await person.read()
        await person.press("main button.primary")
        assert (await person.where()).startswith("/settings/changes/")
        change = await person.where()

        async def takes_back() -> bool:  # it is watched for a while first
            await person.go(change)
            return bool(await tab.evaluate("!!document.querySelector('form[action$=\"/undo\"] button')"))

        await wait_for(takes_back, "the button that takes it back")
        await person.press("form[action$='/undo'] button")
        await person.press("main button.primary")  # the difference is shown first

        async def taken_back() -> bool:
            config = await box.app.get("/api/v1/config")
            return bool(config["plugins"]["monitor"]["samples"] == int(before))

        await wait_for(taken_back, "the old value")

        # a token is made, and revoked
        await person.go("/account")
        await person.press("main details summary", leads=False)
        await person.fill("label", "a script")
        await person.press("main input[name='scope']", leads=False)
        await person.press("main form[action='/account/tokens'] button.primary")
        assert "Your new token" in await person.read()
        people = box.app.service(People)
        assert len(people.tokens) == 1
        await person.press("form[action='/account/tokens/revoke'] button")
        assert not people.tokens

        # and out
        await person.press("form[action='/logout'] button")
        assert await person.where() == "/login"
        assert not people.sessions
        await person.go("/account")
        assert "Sign in" in await person.read()
        assert [c for c in tab.complaints if "401" not in c and "403" not in c] == []


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
async def test_a_plugin_is_switched_on_with_the_password_once_more(tmp_path, scripts):
    """Off without it; on with it, after one that was mistyped. Each page on the way is in order, also on the smallest screen."""
    async with (
        whole(tmp_path, "failed", history=False, patience=PATIENCE) as box,
        browser(need("chromium")) as chromium,
        chromium.tab() as tab,
    ):
        person, people = Person(box, tab), box.app.service(People)
        await box.enter(tab)
        for key, session in people.sessions.items():
            people.sessions[key] = dataclasses.replace(session, confirmed=-1e9)

        async def look() -> None:
            for width in (320, 1280):
                await tab.look(width=width)  # axe is a script; the page that is there has run none
                assert [*await tab.evaluate(CHECKS), *await axe.violations(tab)] == []
            await tab.look(scripts=scripts, width=1280)

        async def switched(word: str) -> None:
            async def judged() -> bool:
                change = (await box.app.get("/api/v1/config/changes"))[0]
                plugins = {p["id"]: p["state"] for p in await box.app.get("/api/v1/plugins")}
                return change["state"] == "kept" and (plugins["trouble"] == "disabled") == (word == "off")

            await wait_for(judged, f"the plugin is {word}")

        await tab.look(scripts=scripts, width=1280)
        await person.go("/plugins")
        await person.press("form[action='/plugins/trouble/switch'] button")
        assert not await tab.evaluate("!!document.querySelector('[name=my_password]')")
        await person.press("form[action='/settings/apply'] button")
        await switched("off")
        await person.go("/plugins")
        await person.press("form[action='/plugins/trouble/switch'] button")
        await look()
        await person.fill("my_password", "mistyped")
        await person.press("form[action='/settings/apply'] button")
        assert "That was not your password" in await person.read()
        assert await tab.evaluate("document.activeElement.name") == "my_password"
        await look()
        await person.fill("my_password", OWNER_PASSWORD)
        await person.press("form[action='/settings/apply'] button")
        assert (await person.where()).startswith("/settings/changes/")
        await switched("on")


async def test_an_open_page_comes_back_when_the_box_was_started_anew(tmp_path):
    """The process ends and another one listens at the same address: the open page is live again, without a hand."""
    port = free_port()
    config = {"listen": f"127.0.0.1:{port}"}
    async with browser(need("chromium")) as chromium, chromium.tab() as tab:
        async with whole(tmp_path, "empty", **config) as box:
            await box.enter(tab)
            await tab.look()
            await tab.open(box.base + "/")
            await tab.until("document.body.dataset.stream === 'live'")
        await tab.until("document.body.dataset.stream === 'waiting'")
        async with whole(tmp_path, "empty", **config):
            await tab.until("document.body.dataset.stream === 'live'")
