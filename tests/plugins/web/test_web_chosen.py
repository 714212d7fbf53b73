"""The servers chosen in the table: paused, resumed, weighed and tagged together; what became of each is told."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.errors import Invalid
from appliance.api.services import Prober
from appliance_web.chosen import order_of
from tests.plugins.web.html_check import read
from tests.plugins.web.test_web_browser import window
from tests.plugins.web.test_web_many import LIST
from tests.plugins.web.test_web_wizard import answering, members, registry
from tests.plugins.web.visiting import visited

DECLARED = """[plugins.members.verify]
trusted_networks = []
[[plugins.members.member]]
address = "127.0.0.9"
port = 11123
"""


@asynccontextmanager
async def looking(tmp_path):
    """A browser at a pool whose servers are not trusted beforehand."""
    config = "[plugins.members.verify]\ntrusted_networks = []\n"
    more = {"plugins": ("web", "members"), "provide": {Prober: answering()}, "config": config}
    async with window(tmp_path / "state", None, **more) as (visitor, chromium), chromium.tab() as tab:
        await visitor.app.until_running("members")
        yield visitor, tab


async def both(visitor):
    """Two servers, and the fields that choose them."""
    await visitor.post("/members/import", {"text": LIST, "do": "add"})
    return {f"m-{m['id']}": "yes" for m in await members(visitor) if not m["declared"]}


async def test_the_chosen_are_paused_together_and_resumed(tmp_path):
    async with registry(tmp_path) as visitor:
        chosen = await both(visitor)
        status, _, where = await visitor.post("/members/bulk", chosen | {"verb": "pause", "hours": "8"})
        assert (status, where) == (303, "/members?done=paused-many")
        assert {m["state"] for m in await members(visitor)} == {"paused"}
        assert all(m["paused_until"] for m in await members(visitor))
        assert (await visitor.post("/members/bulk", chosen | {"verb": "resume"}))[
            2
        ] == "/members?done=resumed-many"
        assert "paused" not in {m["state"] for m in await members(visitor)}
        for wrong in ({"verb": "pause"}, chosen, chosen | {"verb": "remove"}):
            assert (await visitor.post("/members/bulk", wrong))[0] == 422


async def test_the_chosen_get_a_weight_and_each_is_told_what_it_was(tmp_path):
    async with registry(tmp_path) as visitor:
        chosen = await both(visitor)
        status, page, _ = await visitor.post("/members/bulk", chosen | {"verb": "weight", "netspeed": "250"})
        assert status == 200
        assert read(page).complaints == []
        assert "2 servers done" in page
        assert page.count("weight 250, was 1\u202f000") == 2
        assert {m["netspeed"] for m in await members(visitor)} == {250}
        page = (await visitor.post("/members/bulk", chosen | {"verb": "weight", "netspeed": "250"}))[1]
        assert page.count("its weight was 250 already") == 2
        for wrong in ("", "-1", "1.5", "many", "9" * 10, "\u0663"):
            assert (await visitor.post("/members/bulk", chosen | {"verb": "weight", "netspeed": wrong}))[
                0
            ] == 422
        assert {m["netspeed"] for m in await members(visitor)} == {250}


async def test_tags_are_added_to_those_that_are_there_and_taken_away(tmp_path):
    async with registry(tmp_path) as visitor:
        chosen = await both(visitor)
        first = dict(list(chosen.items())[:1])
        await visitor.post("/members/bulk", first | {"verb": "tag", "tags": "pier"})
        page = (await visitor.post("/members/bulk", chosen | {"verb": "tag", "tags": "quay, pier quay"}))[1]
        assert "tags pier, quay; added: quay<" in page
        assert "tags quay, pier; added: quay, pier<" in page
        assert all(set(m["tags"]) == {"pier", "quay"} for m in await members(visitor))
        assert (
            "it had quay already"
            in (await visitor.post("/members/bulk", first | {"verb": "tag", "tags": "quay"}))[1]
        )
        page = (await visitor.post("/members/bulk", chosen | {"verb": "untag", "tags": "pier"}))[1]
        assert page.count("tags quay; taken away: pier") == 2
        assert [m["tags"] for m in await members(visitor)] == [["quay"]] * 2
        assert (await visitor.post("/members/bulk", chosen | {"verb": "tag", "tags": " , "}))[0] == 422


async def test_a_refusal_stops_nobody_else_and_says_whose_it_is(tmp_path):
    """A declared server is changed in its file alone, and one is gone by now; the two others are weighed all the same."""
    provide = {Prober: answering()}
    async with visited(
        tmp_path, None, plugins=("web", "members"), provide=provide, config=DECLARED
    ) as visitor:
        await visitor.app.until_running("members")
        chosen = await both(visitor)
        (declared,) = [m for m in await members(visitor) if m["declared"]]
        order = {f"m-{declared['id']}": "yes", "m-<b>x": "yes", "verb": "weight", "netspeed": "7"}
        status, page, _ = await visitor.post("/members/bulk", order | chosen)
        assert status == 200
        assert "2 servers done, 2 refused" in page
        assert "configuration file" in page
        assert "it is not there" in page
        assert "<b>x" not in page
        assert sorted(m["netspeed"] for m in await members(visitor)) == [7, 7, 1000]
        status, page, _ = await visitor.post("/members/bulk", {"m-<b>x": "yes", "verb": "pause"})
        assert status == 404
        assert "None done, 1 refused" in page
        assert read(page).complaints == []


async def test_a_weight_that_nobody_may_have_is_refused_by_the_operation_itself(tmp_path):
    async with registry(tmp_path) as visitor:
        status, page, _ = await visitor.post(
            "/members/bulk", await both(visitor) | {"verb": "weight", "netspeed": "999999999"}
        )
        assert status == 422
        assert "is not a whole number from 0 (watched only) to" in page


@given(st.dictionaries(st.sampled_from(["verb", "netspeed", "tags", "hours"]), st.text(max_size=12) | st.sampled_from(["typed", "weight", "tag", "untag", "5", "0"])))  # fmt: skip
def test_any_form_is_an_order_in_full_or_refused(form):
    try:
        order = order_of(form)
    except Invalid:
        return
    assert order.verb in ("pause", "resume", "weight", "tag", "untag")
    assert order.tags or order.verb not in ("tag", "untag")
    assert 0 <= order.netspeed < 10**9


def test_the_enter_key_means_the_field_that_is_filled():
    assert order_of({"verb": "typed", "netspeed": "5", "tags": ""}).verb == "weight"
    assert order_of({"verb": "typed", "netspeed": "", "tags": "a"}).verb == "tag"
    for unclear in ({"netspeed": "5", "tags": "a"}, {"netspeed": "", "tags": ""}, {}):
        with pytest.raises(Invalid, match="say what to do"):
            order_of({"verb": "typed", **unclear})


@pytest.mark.parametrize("scripts", [True, False])
async def test_enter_in_the_weight_field_sets_the_weight_and_pauses_nobody(tmp_path, scripts):
    async with looking(tmp_path) as (visitor, tab):
        await both(visitor)
        await tab.look(width=320, scripts=scripts)
        await tab.open(visitor.base + "/members")
        await tab.evaluate(
            "document.querySelectorAll('input[form=bulk][type=checkbox]').forEach((box) => box.click())"
        )
        await tab.fill("input[name=netspeed]", "40")
        enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        await tab.ask("Input.dispatchKeyEvent", type="keyDown", text="\r", **enter)
        await tab.until("document.body && document.body.textContent.includes('2 servers done')")
        assert {(m["netspeed"], m["state"]) for m in await members(visitor)} == {(40, "unverified")}
        assert tab.complaints == []


async def test_what_is_chosen_and_typed_stays_when_the_table_comes_anew(tmp_path):
    async with looking(tmp_path) as (visitor, tab):
        first, second = await both(visitor)
        await tab.open(visitor.base + "/members")
        await tab.until("document.body.dataset.stream === 'live'")
        await tab.evaluate(f"document.querySelector('input[name={first}]').click()")
        # As if the page had come with it: what the page says of itself may change.
        await tab.evaluate(f"document.querySelector('input[name={second}]').defaultChecked = true")
        await tab.fill("input[name=netspeed]", "40")
        await tab.evaluate("document.activeElement.blur(); document.querySelector('#table').dataset.old = 1")
        await visitor.post("/members/bulk", {second: "yes", "verb": "pause", "hours": "8"})
        await tab.until(
            "!document.querySelector('#table').dataset.old && document.querySelector('#table').textContent.includes('paused')"
        )
        left = "[...document.querySelectorAll('#table input')].map((one) => one.type === 'checkbox' ? one.checked : one.value)"
        kept = await tab.evaluate(left)
        assert kept.count(True) == 1
        assert await tab.evaluate(f"document.querySelector('input[name={first}]').checked")
        assert "40" in kept
        assert tab.complaints == []
