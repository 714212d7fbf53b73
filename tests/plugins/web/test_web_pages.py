"""Every page, in every state of the pool, is a whole page that needs no script and trusts nobody's text."""

from __future__ import annotations

import time

import aiohttp
import pytest

from tests.plugins.web import fake_pool
from tests.plugins.web.html_check import read
from tests.plugins.web.visiting import visited
from tests.plugins.web.whole_box import whole

PAGES = (
    "/",
    "/members",
    "/members/add",
    "/time",
    "/clock",
    "/use",
    "/dns",
    "/log",
    "/plugins",
    "/help",
    "/api",
    "/status",
    "/tls",
)


@pytest.mark.parametrize("members", [None, 0, 7, 500])
async def test_every_page_is_whole_in_every_state(tmp_path, members):
    """No registry, no member, a few, very many: 200, balanced HTML, nothing inline, nothing from elsewhere."""
    async with visited(tmp_path, members) as visitor:
        for path in PAGES + (("/members/m00000", "/members/m00003?range=1y") if members else ()):
            status, text, headers = await visitor.get(path)
            assert status == 200, (path, text)
            assert headers["content-type"] == "text/html; charset=utf-8"
            found = read(text)
            assert found.complaints == [], path
            assert found.elements <= 3000, path


async def test_every_link_of_every_page_leads_somewhere(tmp_path):
    async with visited(tmp_path) as visitor:
        seen, waiting = set(), ["/"]
        while waiting:
            path = waiting.pop()
            if path in seen or path.startswith(("/api/", "/scores/", "http")):
                continue
            seen.add(path)
            status, text, _ = await visitor.get(path)
            assert status in (200, 303), path
            if path.startswith("/help") and path != "/help/web":
                continue  # links inside the manual are the manual's own business
            links = [link.partition("#")[0] for link in read(text).links]
            base = path.partition("?")[0]
            waiting += [
                base + link if link.startswith("?") else link
                for link in links
                if link and not link.startswith("http")
            ]
        assert len(seen) > 15


async def test_missing_parts_are_said_in_words(tmp_path):
    """Without registry, monitor, DNS and clock the pages stand and say what is missing."""
    async with visited(tmp_path, None) as visitor:
        _, text, _ = await visitor.get("/")
        assert "The member registry is not running" in text
        assert "no clock source" in text
        assert "DNS is not running" in (await visitor.get("/dns"))[1]
        status, text, _ = await visitor.get("/members/m00000")
        assert status == 404
        assert "the member registry is not running" in text


async def test_no_member_yet_explains_itself(tmp_path):
    async with visited(tmp_path, 0) as visitor:
        for path in ("/", "/members"):
            _, text, _ = await visitor.get(path)
            assert "No servers yet" in text
            assert 'href="/members/add"' in text


async def test_hostile_text_stays_text(tmp_path):
    """Names, operators, notes, zones, reasons, rules and errors come from the network."""
    async with visited(tmp_path, 7, hostile=True) as visitor:
        for path in (
            "/",
            "/members",
            "/members/m00001",
            "/log",
            "/members?q=%3Cscript%3Ealert(1)%3C/script%3E&zone=%22%3E%3Cscript%3E",
        ):
            _, text, _ = await visitor.get(path)
            assert "<script>alert" not in text
            assert "\x1b" not in text
            found = read(text)
            assert found.complaints == [], path
            assert "<script>alert('x')</script>" in found.text or path == "/log" or "?q" in path


async def test_an_unknown_address_is_a_page_for_people_and_a_problem_for_programs(tmp_path):
    async with visited(tmp_path) as visitor:
        status, text, _ = await visitor.get("/nothing/here")
        assert status == 404
        assert "There is nothing at this address" in text
        assert read(text).complaints == []
        status, text, headers = await visitor.get("/api/v1/nothing")
        assert status == 404
        assert headers["content-type"].startswith("application/problem+json")
        status, _, headers = await visitor.get("/nothing", Accept="application/json")
        assert headers["content-type"].startswith("application/problem+json")


async def test_a_fault_inside_is_a_page_with_an_incident_and_no_details(tmp_path):
    broken = fake_pool.FakeMembers([], __import__("appliance.core.clock", fromlist=["x"]).SystemClock())
    broken.table = None
    async with visited(tmp_path, 3, provide={fake_pool.Members: broken}) as visitor:
        status, text, _ = await visitor.get("/members")
        assert status == 500
        assert "Something went wrong inside" in text
        assert "incident" in text
        assert "NoneType" not in text
        assert (await visitor.get("/plugins"))[0] == 200


async def test_members_are_found_by_address_and_old_addresses_lead_here(tmp_path):
    async with visited(tmp_path) as visitor:
        status, _, headers = await visitor.get("/scores/10.0.0.3")
        assert (status, headers["location"]) == (303, "/members/m00003")
        status, _, headers = await visitor.get("/members/10.0.0.3")
        assert (status, headers["location"]) == (303, "/members/m00003")


async def test_five_hundred_members_are_answered_fast(tmp_path):
    """The table of 500 members, sorted by its most expensive column; a generous bound, the figure is printed."""
    async with visited(tmp_path, 500) as visitor:
        took = []
        for _ in range(30):
            start = time.perf_counter()
            status, _, _ = await visitor.get("/members?sort=-offset")
            took.append(time.perf_counter() - start)
            assert status == 200
        took.sort()
        print(f"members page, 500 members: median {took[15] * 1e3:.1f} ms, p95 {took[28] * 1e3:.1f} ms")  # noqa: T201
        assert took[15] < 1.0


async def test_plugin_cards_that_fail_hang_or_lie_do_not_take_the_page_along(tmp_path):
    import asyncio
    import sys
    import types

    from appliance.api.contrib import Panel
    from appliance.api.plugin import PluginInfo, hookimpl

    async def hang():
        await asyncio.Event().wait()

    async def fail():
        raise RuntimeError("secret detail")

    async def lie():
        return {
            "verdict": fake_pool.HOSTILE,
            "level": "wonderful",
            "facts": [[fake_pool.HOSTILE, None], "nonsense", [1]],
            "spark": ["x", 1, 2.5],
        }

    async def table():
        return {"columns": ["a", "b"], "rows": [[1, True], [fake_pool.HOSTILE, 2.5], "nonsense"]}

    module = types.ModuleType("odd_cards")
    module.plugin = PluginInfo(id="odd", title="Odd", api=1)

    @hookimpl
    def panels(ctx):
        return [
            Panel("hang", "Hangs", hang, link="javascript:alert(1)"), Panel("fail", "Fails", fail), Panel("lie", fake_pool.HOSTILE, lie, link="/members"),
            Panel("table", "Table", table, kind="table"),
        ]  # fmt: skip

    panels.__module__ = "odd_cards"
    module.panels = panels
    sys.modules["odd_cards"] = module
    async with visited(tmp_path, 3, plugins=("web", module)) as visitor:
        status, text, _ = await visitor.get("/")
        assert status == 200
        assert read(text).complaints == []
        assert "did not answer in time" in text
        assert "the log says why" in text
        assert "secret detail" not in text


async def test_a_server_that_the_file_declares_leads_whoever_may_change_the_file_to_where_that_is_done(
    tmp_path,
):
    link = '<a href="/settings/members/list/member">change it there</a>'
    async with whole(tmp_path, "demo", history=False) as box, aiohttp.ClientSession() as session:
        for cookies, leads in ((dict([box.cookie]), True), ({}, False)):
            async with session.get(f"{box.base}/members/{box.member}", cookies=cookies) as reply:
                assert (link in await reply.text()) is leads
