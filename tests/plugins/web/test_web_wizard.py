"""Adding a server step by step, with the real member registry behind it and a stand-in for the network."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager

import pytest

from appliance.api.model import Sample
from appliance.api.services import Prober
from appliance_web.views.preview import inclusion, with_one_more
from tests.plugins.web.html_check import read
from tests.plugins.web.test_web_browser import OVERFLOW, window
from tests.plugins.web.test_web_checks import FakeProber
from tests.plugins.web.visiting import visited
from tests.support.wait import wait_for


def answering(*samples):
    prober = FakeProber(*samples)
    prober.go.set()
    return prober


@asynccontextmanager
async def registry(tmp_path, prober=None, *, trusted=""):
    provide = {Prober: prober or answering()}
    nobody_is_trusted = f"[plugins.members.verify]\ntrusted_networks = [{trusted}]\n"
    async with visited(
        tmp_path, None, plugins=("web", "members"), provide=provide, config=nobody_is_trusted
    ) as visitor:
        await visitor.app.until_running("members")
        yield visitor


async def members(visitor):
    return json.loads((await visitor.get("/api/v1/members"))[1])


async def test_five_steps_lead_to_a_member_and_each_page_is_whole(tmp_path):
    async with registry(tmp_path) as visitor:
        assert read((await visitor.get("/members/add"))[1]).complaints == []
        status, _, where = await visitor.post(
            "/members/add/look", {"address": "127.0.0.1:11123, [::1]:11123"}
        )
        assert status == 303
        draft = re.fullmatch(r"/members/add/([\w-]+)/check", where)[1]
        page = (await visitor.get(where))[1]
        assert "127.0.0.1" in page
        assert "::1" in page
        at = f"/members/add/{draft}"
        for step, form, following in (
            ("check", {"take-0": "yes"}, "place"),
            ("place", {"zones": "@ harbour", "netspeed": "500", "operator": "Harbour"}, "owner"),
            ("owner", {"method": "later"}, "preview"),
        ):
            assert read((await visitor.get(f"{at}/{step}"))[1]).complaints == []
            assert (await visitor.post(f"{at}/{step}", form))[::2] == (303, f"{at}/{following}")
        assert read((await visitor.get(f"{at}/preview"))[1]).complaints == []
        status, _, where = await visitor.post(f"{at}/preview", {})
        assert (status, where.endswith("?done=added")) == (303, True)
        (member,) = await members(visitor)
        assert (member["address"], member["port"], member["netspeed"], member["zones"], member["operator"]) == (
            "127.0.0.1", 11123, 500, ["@", "harbour"], "Harbour",
        )  # fmt: skip
        assert (await visitor.get(f"{at}/preview"))[0] == 404, "a draft that is added is over"


async def test_one_may_go_back_and_finds_what_was_said(tmp_path):
    async with registry(tmp_path) as visitor:
        at = (await visitor.post("/members/add/look", {"address": "127.0.0.1:11123"}))[2].rpartition("/")[0]
        await visitor.post(f"{at}/place", {"zones": "harbour", "note": 'said "so" <b>'})
        page = (await visitor.get(f"{at}/place"))[1]
        assert 'value="harbour"' in page
        assert "said &#34;so&#34; &lt;b&gt;" in page
        assert "go on with 127.0.0.1:11123" in (await visitor.get("/members/add"))[1]


async def test_what_cannot_be_a_server_is_said_where_it_was_typed(tmp_path):
    async with registry(tmp_path) as visitor:
        for typed, words in (
            ("", "give an address or a host name"),
            ("224.0.0.1", "multicast"),
            ("<b>", "neither an address nor a host name"),
            ("192.0.2.1:99999", "a port is a number"),
        ):
            status, page, _ = await visitor.post("/members/add/look", {"address": typed})
            assert status == 422
            assert words in page
            assert "<b>," not in page
            assert read(page).complaints == []
        at = (await visitor.post("/members/add/look", {"address": "127.0.0.1:11123"}))[2].rpartition("/")[0]
        assert (await visitor.post(f"{at}/check", {}))[0] == 422
        status, page, _ = await visitor.post(f"{at}/place", {"netspeed": "much"})
        assert (status, "a whole number, please" in page) == (422, True)


async def test_a_server_that_fails_the_check_is_refused_with_the_reason_and_may_be_insisted_on(tmp_path):
    async with registry(tmp_path, answering(Sample(error="timeout"))) as visitor:
        at = (await visitor.post("/members/add/look", {"address": "127.0.0.1:11123"}))[2].rpartition("/")[0]
        status, page, _ = await visitor.post(f"{at}/preview", {})
        assert status == 409
        assert "gave no answer: timeout" in page
        assert "Add it whatever the check finds" in page
        assert (await visitor.post(f"{at}/preview", {"force": "yes"}))[0] == 303
        assert len(await members(visitor)) == 1


async def test_a_proof_is_asked_for_and_shown_once(tmp_path):
    async with registry(tmp_path) as visitor:
        at = (await visitor.post("/members/add/look", {"address": "127.0.0.1:11123"}))[2].rpartition("/")[0]
        await visitor.post(f"{at}/owner", {"method": "http"})
        status, _, where = await visitor.post(f"{at}/preview", {})
        assert (status, where) == (303, f"{at}/done")
        page = (await visitor.get(where))[1]
        assert "fetch the path /verify/" in page
        assert read(page).complaints == []


async def test_a_draft_of_somebody_else_is_nobodys(tmp_path):
    async with registry(tmp_path) as visitor:
        assert (await visitor.get("/members/add/nothing/check"))[0] == 404
        at = (await visitor.post("/members/add/look", {"address": "127.0.0.1"}))[2].rpartition("/")[0]
        assert (await visitor.get(f"{at}/elsewhere"))[0] == 404


async def test_a_server_is_changed_removed_later_and_kept_after_all(tmp_path):
    async with registry(tmp_path) as visitor:
        await visitor.post("/members/add", {"address": "127.0.0.1:11123", "force": "yes"})
        (one,) = await members(visitor)
        at = f"/members/{one['id']}"
        assert read((await visitor.get(at))[1]).complaints == []
        assert (await visitor.post(f"{at}/change", {"netspeed": "250", "zones": "@ pier", "note": ""}))[
            2
        ] == f"{at}?done=changed"
        assert (await visitor.post(f"{at}/remove-at", {"days": "30"}))[2] == f"{at}?done=leaving"
        page = (await visitor.get(at))[1]
        assert "It will be removed in 30 d" in page
        assert (await visitor.post(f"{at}/keep", {}))[2] == f"{at}?done=kept"
        (one,) = await members(visitor)
        assert (one["netspeed"], one["zones"], one["remove_at"]) == (250, ["@", "pier"], None)
        assert (await visitor.post(f"{at}/remove-at", {"days": "0"}))[0] == 422
        assert (await visitor.post(f"{at}/change", {"netspeed": "lots"}))[0] == 422
        status, page, _ = await visitor.post(f"{at}/verify", {"method": "http"})
        assert (status, "curl http" in page) == (200, True)


async def test_a_badge_says_the_state_and_may_stand_on_other_pages(tmp_path):
    async with visited(tmp_path, 7, hostile=True) as visitor:
        status, text, headers = await visitor.get("/badge/m00001")
        assert (status, headers["content-type"].partition(";")[0]) == (200, "image/svg+xml")
        assert "in the pool, 19.6" in text
        assert "script" not in text
        assert headers["cross-origin-resource-policy"] == "cross-origin"
        assert "style" not in text


@pytest.mark.parametrize("scripts", [True, False])
async def test_the_steps_work_with_and_without_a_script(tmp_path, scripts):
    async with (
        window(
            tmp_path / "state", None, plugins=("web", "members"), provide={Prober: answering()},
            config="[plugins.members.verify]\ntrusted_networks = []\n",
        ) as (visitor, chromium),
        chromium.tab() as tab,
    ):  # fmt: skip
        await visitor.app.until_running("members")
        await tab.look(width=320, scripts=scripts)
        await tab.open(visitor.base + "/members/add")
        await tab.evaluate("document.querySelector('#f-address').value = '127.0.0.1:11123'")
        await tab.click("main button.primary")
        await tab.until(
            "!!document.querySelector('.said') && document.querySelector('.said').innerText.startsWith('Good time')"
        )
        for heading in (
            "Where does it belong?",
            "Whose server is it?",
            "With this server, a client would get …",
        ):
            assert await tab.evaluate(OVERFLOW) <= 0
            await tab.click("main button.primary")
            assert await tab.evaluate("document.querySelector('main h1').innerText") == heading
        await tab.click("main button.primary")
        assert "The server was added" in await tab.evaluate("document.body.innerText")
        assert [c for c in tab.complaints if "Skippable" not in c] == []


def test_nobody_is_in_more_than_every_answer():
    assert inclusion([1, 1], 4) == [1.0, 1.0]
    assert inclusion([1, 1, 1, 1], 2) == [0.5] * 4
    assert inclusion([10, 1, 1], 2) == [1.0, 0.5, 0.5]
    assert sum(inclusion([5, 4, 3, 2, 1], 3)) == pytest.approx(3)
    assert inclusion([0, 0, 0], 2) == [0.0] * 3


def test_the_preview_is_what_the_name_server_draws():
    """The same weights give the probabilities that its own table has."""
    from appliance_dns.selection import ONE, Choice
    from appliance_dns.selection import inclusion as drawn

    weights = [3000, 1000, 1000, 500, 250, 10]
    choices = [Choice(f"192.0.2.{i}", w, "") for i, w in enumerate(weights)]
    theirs = [p / ONE for p in drawn(choices, 4)]
    assert inclusion(weights, 4) == pytest.approx(theirs, abs=1e-3)
    rows = [{"id": str(i), "in": True, "weight": w} for i, w in enumerate(weights[:-1])]
    assert with_one_more(rows, 10, 4).chance == pytest.approx(theirs[-1], abs=1e-3)


@pytest.mark.parametrize("good", [True, False], ids=["good", "refused"])
async def test_going_on_is_what_one_wants_first_only_when_an_address_gave_time(tmp_path, good):
    sample = Sample(offset_s=0.0004, rtt_s=0.004, stratum=2, leap=0) if good else Sample(error="refused")
    async with registry(tmp_path, answering(sample)) as visitor:
        where = (await visitor.post("/members/add/look", {"address": "127.0.0.1:9 [::1]:9"}))[2]

        async def over() -> bool:
            return 'aria-busy="true"' not in (await visitor.get(where))[1]

        await wait_for(over, "the check to end")
        page = (await visitor.get(where))[1]
        [first] = re.findall(r'<button type="submit"[^>]*class="primary"[^>]*>([^<]+)', page)
        assert first == ("Next: zone and weight" if good else "Ask again")
        assert ("None of them gives time that the pool could use" in page) is not good
        assert ("Go on all the same" in page) is not good
        assert read(page).complaints == []
        preview = (await visitor.get(where.replace("/check", "/preview")))[1]
        assert "<b>127.0.0.1</b>" in preview, "each result stands beside its address"
        assert ('<button type="submit" class="primary">Add 2 servers' in preview) is good


async def test_nobody_is_asked_whose_a_server_in_a_trusted_network_is(tmp_path):
    async with registry(tmp_path, trusted='"127.0.0.0/8"') as visitor:
        at = (await visitor.post("/members/add/look", {"address": "127.0.0.1:9 [::1]:9"}))[2].rpartition("/")[
            0
        ]
        await visitor.post(f"{at}/check", {"take-0": "yes", "take-1": "yes"})
        assert "Next: ownership" in (await visitor.get(f"{at}/place"))[1]
        assert (await visitor.post(f"{at}/place", {}))[2] == f"{at}/owner", "one of them has to be proven"
        await visitor.post(f"{at}/check", {"take-0": "yes"})
        assert "Next: the answers" in (await visitor.get(f"{at}/place"))[1]
        assert (await visitor.post(f"{at}/place", {}))[2] == f"{at}/preview"
        page = (await visitor.get(f"{at}/owner"))[1]
        assert "Nothing to prove: it lies in a network that this pool trusts." in page
        assert 'type="radio"' not in page
        assert read(page).complaints == []
        assert "vouched" not in (await visitor.get(f"{at}/preview"))[1]
        await visitor.post(f"{at}/preview", {})
        (member,) = await members(visitor)
        assert member["state"] == "active"
