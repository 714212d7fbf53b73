"""What the frame around a page says is not a page's to change."""

from __future__ import annotations

import types

import pytest

from appliance import PluginInfo, hookimpl
from appliance.api.contrib import Route
from appliance.api.services import Frame
from tests.plugins.web.visiting import visited

FRAMES_OWN = [
    "asset", "banner", "charts", "clock", "health", "help", "navigation", "notice", "now", "safe_mode", "version",
    "visitor",
]  # fmt: skip


class Guest:
    """A plugin whose page gives one value of the name that the address says."""

    def __init__(self):
        self.said = ""

    async def page(self, request):
        name = request.params["name"]
        try:
            return await self.frame.page(
                request, "guest/guest.html", "Guest", here="/guest", **{name: "mine"}
            )
        except TypeError as error:
            self.said = str(error)
            raise

    def plugin(self, folder):
        (folder / "guest.html").write_text(
            '{% extends "base.html" %}{% block main %}<h1>{{ story|default("nothing") }}</h1>{% endblock %}'
        )
        module = types.ModuleType("guest")
        module.plugin = PluginInfo(id="guest", title="Guest", api=1)

        @hookimpl
        def routes(ctx):
            self.frame = ctx.get(Frame)
            self.frame.add_templates("guest", folder)
            return [Route("GET", "/guest/{name}", self.page, "public", page=True)]

        module.routes = routes
        return module


async def test_a_page_that_would_speak_for_the_frame_is_refused_with_the_name_it_took(tmp_path, caplog):
    folder = tmp_path / "templates"
    folder.mkdir()
    guest = Guest()
    async with visited(tmp_path / "state", plugins=("web", guest.plugin(folder))) as visitor:
        status, text, _ = await visitor.get("/guest/story")
        assert (status, "<h1>mine</h1>" in text) == (200, True)
        for name in FRAMES_OWN:
            status, text, _ = await visitor.get(f"/guest/{name}")
            assert (status, "mine" in text) == (500, False), name
            assert f"given {name}, which the frame" in guest.said
            assert guest.said in caplog.text, "whoever wrote the page reads it in the log"


@pytest.mark.parametrize("name", ["title", "request"])
async def test_what_is_an_argument_of_its_own_is_no_value(tmp_path, name):
    guest = Guest()
    async with visited(tmp_path / "state", plugins=("web", guest.plugin(tmp_path))) as visitor:
        assert (await visitor.get(f"/guest/{name}"))[0] == 500
