"""The password once more: which operations want it and why, of whom, and how the pages ask for it."""

from __future__ import annotations

import dataclasses
import re
import types
from contextlib import asynccontextmanager

import pytest

from appliance.api.actor import acting, local
from appliance.api.contrib import Fix
from appliance.api.model import PluginState
from appliance.api.plugin import PluginInfo
from appliance.core.config import ApplianceConfig, Config
from appliance.core.routes import Request, RouteTable
from appliance.host.changes import Patience
from appliance.host.faults import Fault
from appliance.settings.risks import LETS_IN, lets_in
from appliance.testing import running
from tests.plugins.people.bed import OWNER_PASSWORD, box
from tests.plugins.people.test_people_matrix import CONFIG, Watched
from tests.plugins.web.html_check import read
from tests.support.wait import wait_for

#: What wants the password of the last minutes, and why. A new operation that changes something has to be put here, into
#: PARTLY, or into FREELY: it gives rights, lets code in, hands secrets out, replaces or erases what cannot be made again, or
#: ends what only somebody at the box can begin again.
ALWAYS = {
    "DELETE /api/v1/tls/certificate": "whom browsers trust changes",
    "DELETE /api/v1/users/{id}": "rights go",
    "PATCH /api/v1/users/{id}": "rights are given or go",
    "POST /api/v1/backup": "holds every secret of the box",
    "POST /api/v1/backup/restore": "is about to replace everything",
    "POST /api/v1/backup/restore/apply": "replaces everything",
    "POST /api/v1/backup/return": "replaces everything",
    "POST /api/v1/box/power-off": "takes a hand at the box to begin again",
    "POST /api/v1/box/reset": "erases everything",
    "POST /api/v1/box/restart": "a box that does not come back takes a hand at it; starts an update that waits",
    "POST /api/v1/box/settings": "lets people in by SSH; can cut the box off",
    "POST /api/v1/plugins/installed/rollback": "lets in code that does not run now",
    "POST /api/v1/plugins/safe-mode/leave": "lets in code that does not run now",
    "POST /api/v1/tokens": "gives rights that outlast the session",
    "POST /api/v1/updates/back": "lets in another system, with other data",
    "POST /api/v1/updates/install": "lets in another system",
    "POST /api/v1/updates/restart": "starts the system that was let in",
    "POST /api/v1/users": "gives rights",
    "POST /api/v1/users-unlock": "takes away what slows guessers down",
    "POST /api/v1/users/{id}/reset": "lets somebody in under that name",
    "PUT /api/v1/tls/certificate": "whom browsers trust changes",
}
#: What wants it for a part of what it does.
PARTLY = {
    "DELETE /api/v1/config/{key}": LETS_IN,
    "PATCH /api/v1/config": LETS_IN,
    "POST /api/v1/config/changes/{id}/undo": LETS_IN,
    "POST /api/v1/doctor/{id}/fix": "what cannot be taken back",
    "POST /api/v1/tls/renew": "a new authority",
    "PUT /api/v1/config/{key}": LETS_IN,
}
#: What goes without, and why.
_POOL = "the daily work on the pool; it can be undone"
_LOOKS = "looks at something; changes nothing"
_BACKS_OUT = "goes back to what is or was there"
_ENDS_RIGHTS = "takes away a way in: somebody in a hurry must not be held up"
_IS_IT = "is given a secret itself"
FREELY = {
    "DELETE /api/v1/backup/restore": _BACKS_OUT,
    "DELETE /api/v1/inspector/captures/{id}": "removes what was taken to look at",
    "DELETE /api/v1/inspector/ignored/{id}": _POOL,
    "DELETE /api/v1/members/{id}": _POOL,
    "DELETE /api/v1/session": _ENDS_RIGHTS,
    "DELETE /api/v1/sessions": _ENDS_RIGHTS,
    "DELETE /api/v1/sessions/{id}": _ENDS_RIGHTS,
    "DELETE /api/v1/tokens/{id}": _ENDS_RIGHTS,
    "DELETE /api/v1/updates/uploads/{id}": _BACKS_OUT,
    "PATCH /api/v1/members/{id}": _POOL,
    "POST /api/v1/box/preseed/dismiss": "a note was read",
    "POST /api/v1/box/settings/confirm": "the change was made with the password",
    "POST /api/v1/box/settings/go-back": _BACKS_OUT,
    "POST /api/v1/checks": _LOOKS,
    "POST /api/v1/config/changes/{id}/keep": "the change was made with the password, where it wants one",
    "POST /api/v1/demo/{address}": "breaks what is there to be broken",
    "POST /api/v1/doctor/{id}/undo": _BACKS_OUT,
    "POST /api/v1/inspector/alerts/{id}/apply": _POOL,
    "POST /api/v1/inspector/captures": _LOOKS,
    "POST /api/v1/inspector/traces": _LOOKS,
    "POST /api/v1/members": _POOL,
    "POST /api/v1/members/import": _POOL,
    "POST /api/v1/members/{id}/cancel-removal": _POOL,
    "POST /api/v1/members/{id}/pause": _POOL,
    "POST /api/v1/members/{id}/remove-at": _POOL,
    "POST /api/v1/members/{id}/resume": _POOL,
    "POST /api/v1/members/{id}/verify": _POOL,
    "POST /api/v1/plugins/safe-mode/enter": "takes other people's code out; leaving wants the password",
    "POST /api/v1/plugins/{id}/retry": "the plugin is switched on as it is",
    "POST /api/v1/probe": _LOOKS,
    "POST /api/v1/restart": "comes back by itself within seconds, as settings do that need it; what waits was let in with a password",
    "POST /api/v1/session": _IS_IT,
    "POST /api/v1/session/confirm": _IS_IT,
    "POST /api/v1/session/password": _IS_IT,
    "POST /api/v1/setup/claim": _IS_IT,
    "POST /api/v1/updates/check": _LOOKS,
    "POST /api/v1/updates/seen": "a note was read",
    "POST /api/v1/updates/stay": _BACKS_OUT,
    "POST /api/v1/updates/uploads": "nothing is done with it before it is installed",
    "PUT /api/v1/members/{id}/owner": _POOL,
    "PUT /api/v1/updates/uploads/{id}": "nothing is done with it before it is installed",
}
EVERYTHING = f"{CONFIG}\n[plugins.inspector]\nenabled = true\n"


async def test_every_operation_that_changes_something_has_decided(tmp_path):
    async with running(None, EVERYTHING, state_dir=tmp_path) as app:
        await app.until_running("web", "people", "inspector")
        unsafe = {m.id: m.route for m in app.host.services.get(RouteTable).routes() if m.route.unsafe}
        decided = {key: route.confirm for key, route in unsafe.items() if not route.page}
        assert {key for key, how in decided.items() if how is True} == ALWAYS.keys()
        assert {key: how for key, how in decided.items() if isinstance(how, str)} == PARTLY
        assert {key for key, how in decided.items() if not how} == FREELY.keys()
        # A form does an operation of the API, which asks: a page that asked first could not show its form again.
        assert [key for key, route in unsafe.items() if route.page and route.confirm] == []
        document = app.host.services.get(RouteTable).openapi()
        told = {
            f"{method.upper()} {path}": one["x-confirm"]
            for path, methods in document["paths"].items()
            for method, one in methods.items()
            if "x-confirm" in one
        }
        assert told == dict.fromkeys(ALWAYS, True) | PARTLY


async def test_the_password_is_asked_of_whom_it_can_be_asked_and_of_nobody_at_the_box(tmp_path):
    """Somebody with every right: signed in just now, signed in long ago, a program, and on the admin socket."""
    async with running(None, EVERYTHING, state_dir=tmp_path) as app:
        await app.until_running("web", "people", "inspector")
        table = app.host.services.get(RouteTable)
        watched = Watched(table)
        now = acting("owner")
        late = dataclasses.replace(now, confirmed=False)
        program = dataclasses.replace(late, kind="token")
        for mounted in table.routes():
            if mounted.id not in ALWAYS:
                continue
            for actor, let_in in ((now, True), (local("root"), True), (late, False), (program, False)):
                watched.path, watched.reached = re.sub(r"\{\w+\}", "x", mounted.path), False
                reply = await table.dispatch(Request(mounted.route.method, watched.path, actor=actor))
                assert watched.reached == let_in, f"{mounted.id} by {actor.kind}"
                if not let_in:
                    assert (reply.status, reply.value["code"]) == (403, "confirm_password")
                    what = "a token has none to give" if actor is program else "needs your password again"
                    assert what in reply.value["detail"]


# -- settings that let code in ----------------------------------------------------------------------------------------------


def settings(enabled, folders=(), *, safe_mode=False):
    return Config(ApplianceConfig(plugin_dirs=list(folders), safe_mode=safe_mode), {}, enabled, ())


def test_only_what_does_not_run_now_is_let_in():
    by_default = {"usual": True, "rare": False}

    def told(old, new):
        return lets_in(settings(old), settings(new), by_default)

    assert told({}, {"rare": True}) == ["switching the plugin rare on"]
    assert told({"usual": False}, {}) == ["switching the plugin usual on"]
    assert told({"usual": False}, {"usual": True}) == ["switching the plugin usual on"]
    assert told({}, {"usual": True}) == told({"rare": True}, {"rare": True}) == []
    assert told({"rare": True}, {}) == told({}, {"usual": False}) == []
    # What could not be loaded, or was left out, may be anything.
    assert told({}, {"unknown": True}) == told({"unknown": False}, {}) == ["switching the plugin unknown on"]
    assert told({"unknown": True}, {}) == told({}, {"unknown": False}) == []
    assert lets_in(settings({}), settings({}, ["/srv/a", "/srv/b"]), {}) == [
        "taking plugins from /srv/a, /srv/b"
    ]
    assert lets_in(settings({}, ["/srv/a"]), settings({}), {}) == []
    assert lets_in(settings({}, safe_mode=True), settings({}), {}) == ["ending safe mode"]
    assert lets_in(settings({}), settings({}, safe_mode=True), {}) == []


@asynccontextmanager
async def late(tmp_path, config="[plugins.ntp]\nlisten = ['127.0.0.1:0']\n"):
    """A box with a file of settings, and its owner, who gave the password too long ago."""
    file = tmp_path / "timeball.toml"
    extra = types.ModuleType("extra")
    extra.plugin = PluginInfo(id="extra", title="Extra", api=1)
    text = f'[plugins.web]\nlisten = "127.0.0.1:0"\n[plugins.extra]\nenabled = false\n{config}'
    async with box(
        tmp_path / "state", text, ("people", "web", "clock", "ntp", extra), file,
        patience=Patience(watch_s=0.2, grace_s=0.1, confirm_s=60.0, answer_s=0.1),
    ) as b:  # fmt: skip
        owner = await b.owner()
        forget(b)
        b.file = file
        yield b, owner


def forget(b):
    """It was long ago that anybody gave the password."""
    for key, session in b.people.sessions.items():
        b.people.sessions[key] = dataclasses.replace(session, confirmed=-1e9)


FREE = {"set": {"appliance.log_level": "debug"}}
ON = {"set": {"plugins.extra.enabled": True}}
OFF = {"set": {"plugins.extra.enabled": False}}


async def test_a_plugin_is_switched_on_with_the_password_and_off_without(tmp_path):
    async with late(tmp_path) as (b, owner):
        before = b.file.read_text()
        shown = await owner.ask("PATCH", "/api/v1/config", ON | {"dry_run": True})
        assert (shown.status, shown.value["needs_password"]) == (200, ["switching the plugin extra on"])
        for method, path, body in (
            ("PATCH", "/api/v1/config", ON),
            ("PUT", "/api/v1/config/plugins.extra.enabled", {"value": True}),
            ("PATCH", "/api/v1/config", {"set": {"appliance.plugin_dirs": ["/srv/plugins"]}}),
        ):
            reply = await owner.ask(method, path, body)
            assert (reply.status, reply.value["code"]) == (403, "confirm_password"), (path, reply.value)
            assert b.file.read_text() == before
        assert (await owner.ask("PATCH", "/api/v1/config", FREE)).status == 200
        assert (await owner.post("/api/v1/session/confirm", {"password": OWNER_PASSWORD})).status == 200
        await done(b, owner, await owner.ask("PATCH", "/api/v1/config", ON))
        assert b.app.status("extra").state is not PluginState.DISABLED
        forget(b)
        change = await done(b, owner, await owner.ask("PATCH", "/api/v1/config", OFF))
        undo = await owner.post(f"/api/v1/config/changes/{change}/undo", {})
        assert (undo.status, undo.value["detail"].split(" needs ")[0]) == (
            403,
            "switching the plugin extra on",
        )
        # The command on the box is root's, or the appliance's own user's.
        await done(b, owner, await b.locally("PATCH", "/api/v1/config", ON))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("plugins.web.trust_loopback", "operate"), ("plugins.web.allow_http_admin", True), ("plugins.web.public", "read"),
        ("plugins.web.scrapers", ["192.0.2.1"]), ("plugins.web.proxies", ["192.0.2.1"]),
        ("plugins.people.allow_public_setup", True), ("plugins.people.setup_file", "code.txt"), ("plugins.people.preseed", "owner.toml"),
    ],
)  # fmt: skip
async def test_who_gets_in_is_changed_with_the_password(tmp_path, key, value):
    async with late(tmp_path) as (_, owner):
        change = {"set": {key: value}}
        shown = await owner.ask("PATCH", "/api/v1/config", change | {"dry_run": True})
        assert (shown.status, shown.value["needs_password"]) == (200, [f"changing {key}"])
        reply = await owner.ask("PATCH", "/api/v1/config", change)
        assert (reply.status, reply.value["code"]) == (403, "confirm_password")
        other = await owner.ask(
            "PATCH", "/api/v1/config", {"set": {"plugins.web.max_streams": 9}, "dry_run": True}
        )
        assert other.value["needs_password"] == []


async def test_a_token_switches_no_plugin_on(tmp_path):
    async with late(tmp_path) as (b, _):
        made = await b.locally(
            "POST", "/api/v1/tokens", {"scopes": ["config:*"], "label": "x", "user": "ada"}
        )
        program = b.visitor()
        program.bearer = made.value["token"]
        reply = await program.ask("PATCH", "/api/v1/config", ON)
        assert (reply.status, reply.value["code"]) == (403, "confirm_password")
        assert "a token has none to give" in reply.value["detail"]
        assert (await program.ask("PATCH", "/api/v1/config", FREE)).status == 200


async def done(b, owner, reply):
    """Wait until a change was judged; its number."""
    assert reply.status == 200, reply.value
    number = reply.value["change"]["id"]
    await judged(b, owner, number)
    return number


async def judged(b, owner, number):
    async def over():
        await b.clock.advance(1)
        return (await owner.get(f"/api/v1/config/changes/{number}")).value["state"] == "kept"

    await wait_for(over, f"change {number} is judged")


# -- pages --------------------------------------------------------------------------------------------------------------------


def asks(reply):
    """Whether the page has a field for the password, with a label and help that belong to it."""
    text = reply.body().decode()
    assert read(text).complaints == []
    found = re.findall(r'<input [^>]*name="my_password"[^>]*>', text)
    for field in found:
        about = dict(re.findall(r'([\w-]+)="([^"]*)"', field))
        assert (about["type"], about["autocomplete"], " required" in field) == (
            "password",
            "current-password",
            True,
        )
        assert f'<label for="{about["id"]}">' in text
        assert f'id="{about["aria-describedby"]}"' in text
    return bool(found)


def proposal(reply):
    return {"proposal": re.search(r'name="proposal" value="([^"]+)"', reply.body().decode())[1]}


async def test_the_page_that_switches_a_plugin_on_asks_and_one_that_switches_it_off_does_not(tmp_path):
    async with late(tmp_path) as (b, owner):
        page = await owner.form("/plugins/extra/switch", {})
        assert asks(page)
        assert "Switching the plugin extra on lets code run" in page.body().decode()
        page = await owner.form("/settings/apply", proposal(page))
        assert (page.status, asks(page)) == (403, True)
        assert "needs your password again" in page.body().decode()
        assert "+enabled = true" in page.body().decode(), "what was about to be done is still there"
        page = await owner.form("/settings/apply", proposal(page) | {"my_password": "wrong one"})
        assert (page.status, asks(page)) == (422, True)
        assert 'aria-invalid="true"' in page.body().decode()
        assert b.app.status("extra").state is PluginState.DISABLED
        page = await owner.form("/settings/apply", proposal(page) | {"my_password": OWNER_PASSWORD})
        assert page.status == 303, page.value
        await judged(b, owner, 1)
        assert b.app.status("extra").state is not PluginState.DISABLED
        page = await owner.form("/plugins/extra/switch", {})
        assert not asks(page), "the password was given a moment ago"
        forget(b)
        assert not asks(await owner.form("/plugins/extra/switch", {})), "switching off is free"


async def test_a_password_that_is_over_between_preview_and_button_is_asked_for_there(tmp_path):
    async with late(tmp_path) as (b, owner):
        assert (await owner.post("/api/v1/session/confirm", {"password": OWNER_PASSWORD})).status == 200
        page = await owner.form("/plugins/extra/switch", {})
        assert not asks(page)
        forget(b)
        page = await owner.form("/settings/apply", proposal(page))
        assert (page.status, asks(page)) == (403, True)
        page = await owner.form("/settings/apply", proposal(page) | {"my_password": OWNER_PASSWORD})
        assert page.status == 303


async def test_too_many_wrong_passwords_lose_nothing_of_what_was_about_to_be_done(tmp_path):
    async with late(tmp_path) as (b, owner):
        page, statuses = await owner.form("/plugins/extra/switch", {}), []
        for _ in range(6):
            page = await owner.form("/settings/apply", proposal(page) | {"my_password": "wrong one"})
            statuses.append(page.status)
        assert statuses[0] == 422
        assert statuses[-1] == 429
        await b.clock.advance(600)
        page = await owner.form("/settings/apply", proposal(page) | {"my_password": OWNER_PASSWORD})
        assert page.status == 303


@pytest.mark.parametrize("path", ["/plugins/rollback", "/plugins/safe-mode"])
async def test_pages_that_bring_plugins_back_ask_and_say_what_was_wrong(tmp_path, path):
    async with late(tmp_path) as (_, owner):
        page = await owner.get(path)
        assert (page.status, asks(page)) == (200, True)
        for password, status in (("", 403), ("wrong one", 422), (OWNER_PASSWORD, 409)):
            page = await owner.form(path, {"my_password": password} if password else {})
            assert page.status == status
            assert "Nothing was changed" in page.body().decode()
            # There is nothing to go back to here, but it was asked with the password: it is not asked for again.
            assert asks(page) == (status != 409)
        assert not asks(await owner.get("/plugins/restart"))


async def test_the_doctor_asks_before_it_mends_for_good(tmp_path):
    dropped = []

    async def drop():
        dropped.append(1)
        return "dropped"

    async with late(tmp_path) as (b, owner):
        b.app.host.faults.note(
            Fault(
                "gone",
                "tables",
                "its tables take 2 GB",
                "",
                lasts=True,
                fix=Fix("drop everything of gone", drop),
            )
        )
        found = (await owner.get("/api/v1/doctor")).value["checks"]
        (key,) = [c["id"] for c in found if c["fix"] and "drop everything" in c["fix"]["says"]]
        assert (await owner.post(f"/api/v1/doctor/{key}/fix")).value["code"] == "confirm_password"
        assert asks(await owner.get(f"/doctor/{key}/fix"))
        page = await owner.form(f"/doctor/{key}/fix", {"my_password": "wrong one"})
        assert (page.status, asks(page), dropped) == (422, True, [])
        assert (await owner.form(f"/doctor/{key}/fix", {"my_password": OWNER_PASSWORD})).status == 303
        assert dropped == [1]


async def test_the_second_step_of_the_setup_asks_when_the_first_was_long_ago_and_keeps_what_was_typed(
    tmp_path,
):
    async with late(tmp_path, "[plugins.ntp]\nenabled = false\nlisten = ['127.0.0.1:0']\n") as (b, owner):
        b.app.host.changes.restart = lambda: None
        page = await owner.get("/setup/pool")
        assert not asks(page)
        page = await owner.form("/setup/pool", {"role": "ntp"})
        assert (page.status, asks(page)) == (403, True)
        assert 'value="ntp" checked' in page.body().decode()
        page = await owner.form("/setup/pool", {"role": "ntp", "my_password": OWNER_PASSWORD})
        assert (page.status, page.headers["Location"]) == (303, "/setup/server")


async def test_the_form_of_a_token_keeps_what_was_filled_in(tmp_path):
    async with late(tmp_path) as (_, owner):
        form = {
            "label": "a script", "scope": "servers:read", "scopes": "dns:read", "days": "7", "addresses": "192.0.2.1",
        }  # fmt: skip
        for password, status in (("", 403), ("wrong one", 422)):
            page = await owner.form("/account/tokens", form | {"my_password": password})
            text = page.body().decode()
            assert (page.status, asks(page), 'aria-invalid="true"' in text) == (status, True, status == 422)
            for value in ("a script", "dns:read", "7", "192.0.2.1"):
                assert f'value="{value}"' in text
            assert 'value="servers:read" checked' in text
        page = await owner.form("/account/tokens", form | {"my_password": OWNER_PASSWORD})
        assert "Your new token" in page.body().decode()


async def test_on_the_page_of_people_the_form_that_was_refused_says_so(tmp_path):
    async with late(tmp_path) as (b, owner):
        await b.user("viewer", "vic")
        forget(b)
        key = b.people.asked("vic").id
        page = await owner.form(f"/users/{key}/role", {"role": "operator", "my_password": "wrong one"})
        assert (page.status, asks(page)) == (422, True)
        (invalid,) = re.findall(r'<input id="([^"]+)"[^>]*aria-invalid="true"', page.body().decode())
        assert invalid == f"rm-{key}"
        (opened,) = re.findall(r'<details class="card" open>.*?</details>', page.body().decode(), re.DOTALL)
        assert "<option selected>operator" in opened
        page = await owner.form(f"/users/{key}/role", {"role": "operator", "my_password": OWNER_PASSWORD})
        assert (page.status, b.people.asked("vic").role) == (200, "operator")


@pytest.mark.parametrize("path", ["/tls/renew", "/tls/upload"])
async def test_the_page_of_certificates_keeps_what_was_filled_in_but_the_key(tmp_path, path):
    async with late(tmp_path) as (_, owner):
        form = {"authority": "yes", "certificate": "-----BEGIN", "key": "of the kingdom"}
        for password, status in (("", 403), ("wrong one", 422)):
            page = await owner.form(path, form | {"my_password": password})
            text = page.body().decode()
            assert (page.status, asks(page)) == (status, True)
            assert "Nothing was changed" in text
            assert "-----BEGIN</textarea>" in text
            assert "of the kingdom" not in text


async def test_a_password_counts_with_the_spaces_that_it_has(tmp_path):
    async with late(tmp_path) as (b, _):
        spaced = f" {OWNER_PASSWORD} "
        assert (await b.locally("POST", "/api/v1/users/ada/reset", {"password": spaced})).status == 200
        owner = b.visitor()
        assert (await owner.post("/api/v1/session", {"name": "ada", "password": spaced})).status == 200
        forget(b)
        assert (await owner.form("/plugins/rollback", {"my_password": spaced})).status == 409
