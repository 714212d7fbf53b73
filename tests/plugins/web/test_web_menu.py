"""The navigation: what a reader may open, in groups that fit a screen, folded away without a script."""

from __future__ import annotations

import re

import pytest

from appliance.api.actor import NOBODY, ROLES, acting
from appliance.api.contrib import Menu, Route
from appliance.core.routes import RouteTable
from appliance_web.views.menu import FEW, navigation
from tests.plugins.web.whole_box import whole
from tests.support.browser import browser
from tests.support.programs import need


async def nothing(request):
    return {}


def table(*pages):
    """Routes of pages, each (path, scope, name, group)."""
    found = RouteTable()
    found.mount(
        "some", tuple(Route("GET", p, nothing, s, page=True, menu=Menu(n, g)) for p, s, n, g in pages)
    )
    return found.routes()


MANY = table(
    *((f"/{n}", "servers:read", f"Page {n}", "first") for n in range(5)),
    ("/use", "public", "Use it", "pool"),
    ("/settings", "config:read", "Settings", "box"),
    ("/odd", "some:read", "A title that is much too long for anybody's row", "pool"),
)


def shown(found):
    return [e.path for e in found.first], {
        title: [e.path for e in entries] for title, entries in found.groups
    }


def test_pages_stand_in_their_groups_and_the_current_one_gives_its_name_to_the_fold():
    found = navigation(acting("owner"), MANY, "/settings")
    first, groups = shown(found)
    assert first == ["/0", "/1", "/2", "/3", "/4"]
    assert groups == {"Pool": ["/odd", "/use"], "This box": ["/settings"]}
    assert found.here == "Settings"
    assert all(len(e.name) <= 24 for _, entries in found.groups for e in entries)
    assert navigation(acting("owner"), MANY, "/1").here == ""


def test_nobody_sees_what_he_may_not_open_and_few_pages_stand_in_one_row():
    first, groups = shown(navigation(acting("viewer"), MANY))
    assert "/settings" not in str(groups)
    assert len(first) == 5
    assert shown(navigation(NOBODY, MANY)) == (["/use"], {})
    assert shown(navigation(None, MANY))[1] == {"Pool": ["/odd", "/use"]}, "what is no secret that it exists"


@pytest.mark.parametrize("role", ROLES)
async def test_every_entry_of_the_real_one_opens_for_whoever_sees_it(tmp_path, role):
    import dataclasses

    from appliance.core.routes import Request
    from appliance.testing import running
    from tests.plugins.people.test_people_matrix import CONFIG, Watched

    async with running(None, CONFIG, state_dir=tmp_path) as app:
        await app.until_running("web", "people")
        routes = app.host.services.get(RouteTable)
        actor = NOBODY if role == "public" else dataclasses.replace(acting(role), account="u1")
        found = navigation(actor, routes.routes(), "/")
        entries = [*found.first, *(e for _, group in found.groups for e in group)]
        assert entries
        assert len(found.first) <= FEW, "the row is full: a new page belongs into a group"
        watched = Watched(routes)
        for entry in entries:
            watched.path, watched.reached = entry.path, False
            await routes.dispatch(Request("GET", entry.path, actor=actor))
            assert watched.reached, entry


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
async def test_the_fold_opens_and_leads_on_with_and_without_a_script(tmp_path, scripts):
    async with whole(tmp_path, "empty") as box, browser(need("chromium")) as chromium, chromium.tab() as tab:
        await box.enter(tab)
        for width in (1280, 320):
            await tab.look(width=width, height=700, scripts=scripts)
            await tab.open(box.base + "/")
            link = "document.querySelector('.panel a[href=\"/settings\"]')"
            assert not await tab.evaluate(f"{link}.checkVisibility()")
            await tab.click(".more > summary", leads=False)
            box_ = await tab.evaluate(
                f"(({{x, y, width, height}}) => [x, y, x + width, y + height])({link}.getBoundingClientRect())"
            )
            assert 0 <= box_[0] < box_[2] <= width, "on the screen"
            if scripts:
                await tab.evaluate(f"{link}.focus()")
                await tab.press("Escape", 27)
                assert await tab.evaluate("document.querySelector('.more').open") is False
                assert await tab.evaluate("document.activeElement.tagName") == "SUMMARY"
                await tab.click(".more > summary", leads=False)
            await tab.click(".panel a[href='/settings']")
            assert await tab.evaluate("location.pathname") == "/settings"
            text = await tab.evaluate("document.querySelector('.more > summary').innerText")
            assert re.sub(r"\s", "", text) == ("Settings" if width > 500 else "Menu")
        assert tab.complaints == []
