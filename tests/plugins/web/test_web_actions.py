"""Forms do what the API does, as the reader, and say what came of it."""

from __future__ import annotations

import sys
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.contrib import Route
from appliance.api.errors import Conflict, Invalid
from appliance.api.plugin import PluginInfo, hookimpl
from appliance.core.routes import Reply, Request
from appliance_web.actions import member_body, read_form
from tests.plugins.web.html_check import read
from tests.plugins.web.visiting import visited


def fake_members_api(seen):
    """A plugin with the operations that the forms call; what they were asked is kept in `seen`."""

    async def add(request):
        import json

        body = json.loads(request.content)
        seen.append(("add", body, request.actor.name, request.actor.may("servers:write")))
        if body["address"] == "192.0.2.66":
            raise Conflict("192.0.2.66 gave no answer: timeout <b>")
        if body["address"] == "192.0.2.67":
            raise Invalid("this cannot be a member", errors={"zones": "no such <zone>", "odd": "strange"})
        if body["address"] == "192.0.2.68":
            return Reply({"created": [], "refused": [], "present": ["m00001"], "checks": []}, 201)
        return Reply({"created": [{"id": "m00002"}], "refused": [], "present": [], "checks": []}, 201)

    async def verb(request):
        seen.append((request.path, request.content, request.actor.name, request.actor.may("servers:write")))
        if request.params["id"] == "m00005":
            raise Conflict("it is declared in the configuration")
        return {}

    async def probe(request):
        seen.append((request.path, request.content, request.actor.name, request.actor.may("servers:write")))
        samples = [
            {"offset_s": 0.0004, "rtt_s": 0.01, "error": None},
            {"offset_s": None, "rtt_s": None, "error": "timeout <i>"},
        ]
        return {
            "verdict": "Stratum 2, +400 µs from our clock.",
            "why": "offset +400 µs",
            "step": 1,
            "warnings": ["odd <u>"],
            "samples": samples,
        }

    module = types.ModuleType("fake_members_api")
    module.plugin = PluginInfo(id="fakeapi", title="Fake", api=1)

    @hookimpl
    def routes(ctx):
        one = "/api/v1/members/{id}"
        return [
            Route("POST", "/api/v1/probe", probe, "operate"),
            Route("POST", "/api/v1/members", add, "operate", also=(201,)),
            *(Route("POST", f"{one}/{v}", verb, "operate") for v in ("pause", "resume")),
        ]

    routes.__module__ = "fake_members_api"
    module.routes = routes
    sys.modules["fake_members_api"] = module
    return module


async def post(visitor, path, **fields):
    async with visitor.session.post(
        visitor.base + path, data=fields, headers={"Origin": visitor.base}, allow_redirects=False
    ) as reply:
        return reply.status, await reply.text(), reply.headers.get("Location", "")


async def test_adding_leads_to_the_new_member_with_a_word_about_it(tmp_path):
    seen = []
    async with visited(tmp_path, plugins=("web", fake_members_api(seen))) as visitor:
        status, _, where = await post(
            visitor,
            "/members/add",
            address=" 192.0.2.1 ",
            netspeed="500",
            zones="@, de rack1.berlin",
            tags="",
            operator="Harbour",
        )
        assert (status, where) == (303, "/members/m00002?done=added")
        assert seen == [
            (
                "add",
                {
                    "address": "192.0.2.1",
                    "netspeed": 500,
                    "zones": ["@", "de", "rack1.berlin"],
                    "operator": "Harbour",
                },
                "nobody",
                True,
            )
        ]
        _, text, _ = await visitor.get(where)
        assert "The server was added" in text


@pytest.mark.parametrize(
    ("address", "status", "words"),
    [
        ("192.0.2.66", 409, ["192.0.2.66 gave no answer: timeout &lt;b&gt;", "Add it whatever the check finds"]),
        ("192.0.2.67", 422, ["no such &lt;zone&gt;", "odd", "strange"]),
        ("192.0.2.68", 409, ["It is a member already: m00001"]),
        ("", 422, ["give an address or a host name"]),
    ],
)  # fmt: skip
async def test_a_refusal_shows_the_form_again_with_the_reason_and_what_was_typed(
    tmp_path, address, status, words
):
    async with visited(tmp_path, plugins=("web", fake_members_api([]))) as visitor:
        got, text, _ = await post(visitor, "/members/add", address=address, note='typed "before" <i>')
        assert got == status
        for word in words:
            assert word in text
        assert 'value="typed &#34;before&#34; &lt;i&gt;"' in text
        assert read(text).complaints == []


async def test_pause_and_resume_go_through_the_api(tmp_path):
    seen = []
    async with visited(tmp_path, plugins=("web", fake_members_api(seen))) as visitor:
        assert (await post(visitor, "/members/m00001/pause", hours="8"))[::2] == (
            303,
            "/members/m00001?done=paused",
        )
        assert (await post(visitor, "/members/m00001/pause", hours=""))[0] == 303
        assert (await post(visitor, "/members/m00001/resume"))[::2] == (303, "/members/m00001?done=resumed")
        assert [(s[0].rpartition("/")[2], s[1]) for s in seen] == [
            ("pause", b'{"for_s": 28800.0}'),
            ("pause", b"{}"),
            ("resume", b""),
        ]
        assert {s[3] for s in seen} == {True}


async def test_a_look_is_shown_on_the_page_it_leads_to(tmp_path):
    """It asks the address and port of the member, and shows each sample; hostile text stays text."""
    seen = []
    async with visited(tmp_path, plugins=("web", fake_members_api(seen))) as visitor:
        assert "moves no score" not in (await visitor.get("/members/m00002"))[1]
        assert (await post(visitor, "/members/m00002/probe"))[::2] == (303, "/members/m00002#look")
        assert seen == [("/api/v1/probe", b'{"target": "10.0.0.2:11123"}', "nobody", True)]
        _, text, _ = await visitor.get("/members/m00002")
        assert "Stratum 2, +400 µs from our clock." in text
        assert "timeout &lt;i&gt;" in text
        assert "odd &lt;u&gt;" in text
        assert read(text).complaints == []
        assert "Stratum 2, +400 µs from our clock." not in (await visitor.get("/members/m00001"))[1]


async def test_what_the_api_refuses_is_a_page_with_the_reason(tmp_path):
    async with visited(tmp_path, plugins=("web", fake_members_api([]))) as visitor:
        status, text, _ = await post(visitor, "/members/m00005/pause")
        assert status == 409
        assert "it is declared in the configuration" in text


async def test_without_the_members_plugin_a_form_says_so(tmp_path):
    async with visited(tmp_path) as visitor:
        status, text, _ = await post(visitor, "/members/add", address="192.0.2.1")
        assert status in (404, 405)
        assert "Not added" in text


def test_only_forms_are_read_as_forms():
    for kind in ("text/plain", "application/json", "multipart/form-data; boundary=x", ""):
        with pytest.raises(Invalid):
            read_form(Request("POST", "/", content=b"a=b", headers={"content-type": kind}))
    with pytest.raises(Invalid):
        read_form(
            Request(
                "POST",
                "/",
                content=b"a=" + b"x" * 100_000,
                headers={"content-type": "application/x-www-form-urlencoded"},
            )
        )
    with pytest.raises(Invalid):
        read_form(
            Request(
                "POST",
                "/",
                content=b"&".join(b"a=b" for _ in range(1000)),
                headers={"content-type": "application/x-www-form-urlencoded"},
            )
        )


@given(st.binary(max_size=300))
def test_any_bytes_are_a_form_or_a_clear_no(content):
    try:
        form = read_form(
            Request(
                "POST", "/", content=content, headers={"content-type": "application/x-www-form-urlencoded"}
            )
        )
    except Invalid:
        return
    body, errors = member_body(form)
    assert isinstance(body["address"], str)
    assert set(errors) <= {"address", "port", "netspeed"}


@pytest.mark.parametrize("text", ["-1", "1e9", "²", "9" * 20, "0x10", "ten"])
def test_numbers_are_numbers(text):
    assert member_body({"address": "192.0.2.1", "netspeed": text})[1] == {
        "netspeed": "a whole number, please"
    }
