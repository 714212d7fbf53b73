"""The API's manners over real HTTP: problems, tags and conditions, keys against doing it twice, pages of lists, methods, kinds."""

from __future__ import annotations

import asyncio
import json
import types
from contextlib import asynccontextmanager

import aiohttp
import pytest
from pydantic import BaseModel

from appliance.api.contrib import ProbeKind, Route
from appliance.api.model import Sample
from appliance.api.plugin import PluginInfo, hookimpl
from appliance.core.conditional import current, tag, unchanged
from appliance.core.paging import offsets
from appliance.core.routes import Reply
from appliance.dataplane.interface import Endpoint
from appliance.testing import FakeClock, wait_until
from appliance_web import repeats
from appliance_web.repeats import Repeats
from tests.plugins.web.visiting import Visitor, visited
from tests.plugins.web.whole_box import whole
from tests.support.wait import wait_for

OURS = {"Sec-Fetch-Site": "same-origin", "Accept": "*/*"}


class Colour(BaseModel):
    colour: str


class Kettle:
    """A thing with state, looked at and changed; and how often."""

    def __init__(self):
        self.colour, self.changes, self.made = "blue", 0, 0
        self.slow = asyncio.Event()

    async def look(self, request):
        return Reply({"colour": self.colour, "temperature": self.made}, revision=self.colour)

    async def change(self, request):
        await asyncio.sleep(0)
        self.colour, self.changes = request.body.colour, self.changes + 1
        return {"colour": self.colour}

    async def make(self, request):
        self.made += 1
        if request.query.get("wait"):
            await self.slow.wait()
        secret = {"Cache-Control": "no-store"} if request.query.get("secret") else {}
        return Reply({"made": self.made}, 201, {"Location": "/p/kettle/thing", **secret})

    async def fail(self, request):
        self.made += 1
        raise ZeroDivisionError("the secret reason")

    def plugin(self):
        module = types.ModuleType("kettle")
        module.plugin = PluginInfo(id="kettle", title="Kettle", api=1)

        @hookimpl
        def routes(ctx):
            return (
                Route("GET", "thing", self.look, "servers:read"),
                Route("PATCH", "thing", self.change, "servers:write", body=Colour),
                Route("POST", "thing", self.make, "servers:write", status=201),
                Route("POST", "fail", self.fail, "servers:write"),
            )

        module.routes = routes
        return module


@asynccontextmanager
async def kettle(tmp_path):
    thing = Kettle()
    async with visited(tmp_path, plugins=("web", thing.plugin())) as visitor:
        yield thing, visitor


async def ask(visitor: Visitor, method: str, path: str, body=None, **headers: str):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with visitor.session.request(method, visitor.base + path, json=body, headers=OURS | named) as reply:
        return reply.status, await reply.text(), reply.headers


# -- problems --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("GET", "/api/v1/nothing", {}, 404, "not_found"),
        ("DELETE", "/p/kettle/thing", {}, 405, "method_not_allowed"),
        ("TRACE", "/p/kettle/thing", {}, 405, "method_not_allowed"),
        ("GET", "/health", {"Host": "evil.example"}, 421, "unknown_host"),
        ("POST", "/p/kettle/thing", {"Sec-Fetch-Site": "cross-site"}, 403, "cross_site"),
        ("POST", "/api/v1/plugins/web/retry", {}, 401, "login_required"),
        ("PATCH", "/p/kettle/thing", {"If-Match": '"red.x"'}, 412, "precondition_failed"),
        ("POST", "/p/kettle/fail", {}, 500, "internal"),
        ("POST", "/p/kettle/thing", {"Idempotency-Key": ""}, 400, "bad_idempotency_key"),
    ],
)
async def test_every_refusal_is_a_problem_with_the_request_s_id_and_a_page_that_explains_it(
    tmp_path, method, path, headers, status, code
):
    async with kettle(tmp_path) as (_, visitor):
        async with visitor.session.request(
            method,
            visitor.base + path,
            json={"colour": "red"} if method == "PATCH" else None,
            headers=OURS | headers,
        ) as reply:
            found = json.loads(await reply.text())
            assert (reply.status, found["status"], found["code"]) == (status, status, code)
            assert reply.headers["Content-Type"] == "application/problem+json"
            assert found["request_id"] == reply.headers["X-Request-Id"]
            assert "secret reason" not in str(found)
        page, _, anchor = found["type"].partition("#")
        status, text, _ = await visitor.get(page)
        assert status == 200
        assert f'id="{anchor}"' in text


async def test_a_body_of_another_kind_is_refused(tmp_path):
    async with kettle(tmp_path) as (thing, visitor):
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            async with visitor.session.patch(
                visitor.base + "/p/kettle/thing",
                data=b'{"colour": "red"}',
                headers={**OURS, "Content-Type": kind},
            ) as reply:
                assert (reply.status, (await reply.json(content_type=None))["code"]) == (
                    415,
                    "unsupported_media_type",
                )
        for kind in ("application/json", "application/json; charset=utf-8", "application/merge-patch+json"):
            async with visitor.session.patch(
                visitor.base + "/p/kettle/thing",
                data=b'{"colour": "red"}',
                headers={**OURS, "Content-Type": kind},
            ) as reply:
                assert reply.status == 200
        assert thing.changes == 3


async def test_options_and_head(tmp_path):
    async with kettle(tmp_path) as (_, visitor):
        status, text, headers = await ask(visitor, "OPTIONS", "/p/kettle/thing")
        assert (status, text, headers["Allow"]) == (204, "", "GET, HEAD, OPTIONS, PATCH, POST")
        assert "Access-Control-Allow-Origin" not in headers
        _, body, looked = await ask(visitor, "GET", "/p/kettle/thing")
        status, text, headers = await ask(visitor, "HEAD", "/p/kettle/thing")
        assert (status, text) == (200, "")
        assert headers["Content-Length"] == str(len(body))
        assert headers["ETag"] == looked["ETag"]


async def test_text_says_in_which_letters_it_is_written(tmp_path):
    async with visited(tmp_path) as visitor:
        _, page, _ = await visitor.get("/")
        paths = ["/", *("/static/" + part.split('"')[0] for part in page.split('"/static/')[1:])]
        for path in paths:
            kind = (await visitor.get(path))[2]["content-type"]
            assert kind.endswith("; charset=utf-8"), (path, kind)


# -- tags and conditions ---------------------------------------------------------------------------------------------


async def test_an_update_of_something_that_changed_meanwhile_is_refused(tmp_path):
    """What the tag's reader could change is compared, not what changes by itself, such as a temperature."""
    async with kettle(tmp_path) as (thing, visitor):
        _, _, headers = await ask(visitor, "GET", "/p/kettle/thing")
        seen = headers["ETag"]
        thing.made += 1
        assert (await ask(visitor, "GET", "/p/kettle/thing", If_None_Match=seen))[0] == 200
        assert (await ask(visitor, "PATCH", "/p/kettle/thing", {"colour": "red"}, If_Match=seen))[0] == 200
        status, text, _ = await ask(visitor, "PATCH", "/p/kettle/thing", {"colour": "green"}, If_Match=seen)
        assert (status, json.loads(text)["code"]) == (412, "precondition_failed")
        assert (await ask(visitor, "PATCH", "/p/kettle/thing", {"colour": "white"}, If_Match="*"))[0] == 200
        assert (await ask(visitor, "POST", "/p/kettle/fail", If_Match="*"))[0] == 412
        assert (thing.colour, thing.changes) == ("white", 2)


async def test_of_two_updates_of_the_same_state_one_wins(tmp_path):
    async with kettle(tmp_path) as (thing, visitor):
        _, _, headers = await ask(visitor, "GET", "/p/kettle/thing")
        answers = await asyncio.gather(
            *(
                ask(visitor, "PATCH", "/p/kettle/thing", {"colour": f"c{n}"}, If_Match=headers["ETag"])
                for n in range(6)
            )
        )
        assert sorted(status for status, *_ in answers) == [200, 412, 412, 412, 412, 412]
        assert thing.changes == 1


def test_tags():
    whole, revised = tag(b"x"), tag(b"x", "r1")
    assert unchanged(whole, f'"a", {whole}')
    assert unchanged(revised, f"W/{revised}")
    assert not unchanged(revised, '"r1.other"')
    assert current(revised, '"r1.other"')
    assert not current(revised, '"r2.x"')
    assert not current(revised, "")
    assert current(whole, whole.removeprefix("W/"))


# -- done once -------------------------------------------------------------------------------------------------------


async def test_a_request_that_is_sent_twice_is_done_once(tmp_path):
    """Also when the second comes after a restart; another key, another body and another address are other requests."""
    async with kettle(tmp_path) as (thing, visitor):
        first = await ask(visitor, "POST", "/p/kettle/thing", {"a": 1}, Idempotency_Key="k1")
        again = await ask(visitor, "POST", "/p/kettle/thing", {"a": 1}, Idempotency_Key="k1")
        assert first[:2] == again[:2] == (201, '{"made":1}')
        assert "Idempotency-Replayed" not in first[2]
        assert (again[2]["Idempotency-Replayed"], again[2]["Location"]) == ("true", "/p/kettle/thing")
        assert (
            json.loads((await ask(visitor, "POST", "/p/kettle/thing", {"a": 2}, Idempotency_Key="k1"))[1])[
                "code"
            ]
            == "idempotency_key_reused"
        )
        assert (await ask(visitor, "POST", "/p/kettle/thing", {"a": 1}, Idempotency_Key="k2"))[
            1
        ] == '{"made":2}'
        assert (await ask(visitor, "POST", "/p/kettle/thing", {"a": 1}))[1] == '{"made":3}'
    async with kettle(tmp_path) as (thing, visitor):
        assert (await ask(visitor, "POST", "/p/kettle/thing", {"a": 1}, Idempotency_Key="k1"))[
            1
        ] == '{"made":1}'
        assert thing.made == 0


async def test_the_second_does_not_overtake_the_first(tmp_path):
    async with kettle(tmp_path) as (thing, visitor):
        first = asyncio.create_task(ask(visitor, "POST", "/p/kettle/thing?wait=1", Idempotency_Key="k"))  # noqa: TID251
        await wait_until(lambda: thing.made, "the first to be under way")
        status, text, _ = await ask(visitor, "POST", "/p/kettle/thing?wait=1", Idempotency_Key="k")
        assert (status, json.loads(text)["code"]) == (409, "request_under_way")
        thing.slow.set()
        assert (await first)[0] == 201
        assert (await ask(visitor, "POST", "/p/kettle/thing?wait=1", Idempotency_Key="k"))[:2] == (
            201,
            '{"made":1}',
        )


async def test_what_failed_is_tried_again_and_secrets_are_not_written_down(tmp_path):
    async with kettle(tmp_path) as (thing, visitor):
        for made in (1, 2):
            assert (await ask(visitor, "POST", "/p/kettle/fail", Idempotency_Key="f"))[0] == 500
            assert thing.made == made
        assert (await ask(visitor, "POST", "/p/kettle/thing?secret=1", Idempotency_Key="s"))[0] == 201
        status, text, _ = await ask(visitor, "POST", "/p/kettle/thing?secret=1", Idempotency_Key="s")
        assert status == 409
        assert "not kept" in text
        assert thing.made == 3


async def test_kept_answers_end(tmp_path, monkeypatch):
    monkeypatch.setattr(repeats, "KEPT", 5)
    from appliance.store.database import Database

    clock = FakeClock()
    async with Database(tmp_path / "db", clock) as store:
        await store.write(repeats.create)
        kept = Repeats(store, lambda: clock.wall_ns() / 1e9)
        for number in range(20):
            ticket = await kept.begin("me", str(number), "POST", "/x", b"")
            await kept.end(ticket, Reply({"n": number}))
            clock.wall_offset_ns += 10**9
        rows = await store.read(lambda db: next(db.query(f"select count(*) n from {repeats.TABLE}"))["n"])
        assert rows == 5
        assert isinstance(await kept.begin("me", "19", "POST", "/x", b""), Reply)
        assert not isinstance(await kept.begin("you", "19", "POST", "/x", b""), Reply)
        clock.wall_offset_ns += 86401 * 10**9
        assert not isinstance(await kept.begin("me", "19", "POST", "/x", b""), Reply)


# -- lists -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "offset", "total", "relations"),
    [
        (10, 0, 25, {"first": "0", "next": "10"}),
        (10, 10, 25, {"first": "0", "prev": "0", "next": "20"}),
        (10, 20, 25, {"first": "0", "prev": "10"}),
        (10, 5, 12, {"first": "0", "prev": "0"}),
        (10, 0, 10, {}),
        (None, 0, 1000, {}),
    ],
)
def test_pages_lead_to_each_other(limit, offset, total, relations):
    headers = offsets("/api/v1/x", {"q": "a b"}, limit=limit, offset=offset, total=total)
    assert headers["X-Total-Count"] == str(total)
    found = {}
    for part in filter(None, headers.get("Link", "").split(", ")):
        url, _, relation = part.partition("; ")
        assert url.startswith("</api/v1/x?q=a+b&")
        found[relation.split('"')[1]] = url.rpartition("offset=")[2].rstrip(">")
    assert found == relations


async def test_whatever_says_that_it_has_pages_leads_to_the_next(tmp_path):
    """From the document: `Link` is not only promised."""
    async with (
        whole(tmp_path, "demo", history=False) as box,
        aiohttp.ClientSession(
            cookies=dict([box.cookie]), cookie_jar=aiohttp.CookieJar(unsafe=True)
        ) as session,
    ):
        box.app.host.shared.contribute(
            "strangers", {"probe_kinds": [ProbeKind("banner", banner, title="Banner", interval_s=2)]}
        )
        ntp = Endpoint.parse((await box.app.get("/api/v1/ntp"))["listen"][0])
        for source in ("127.0.0.7", "127.0.0.8"):
            assert await asked_for_time(source, ntp)
        document = await box.app.get("/api/v1/openapi.json")
        promised = [
            path
            for path, item in document["paths"].items()
            if "Link" in item.get("get", {}).get("responses", {}).get("200", {}).get("headers", {})
        ]
        assert {
            "/api/v1/members",
            "/api/v1/log",
            "/api/v1/log.csv",
            "/api/v1/audit",
            "/api/v1/ntp/clients",
        } <= set(promised)
        for path in promised:
            url, seen = path.replace("{id}", box.member) + "?limit=1", set()

            async def page(url: str) -> tuple[str, str | None]:
                async with session.get(box.base + url) as reply:
                    assert reply.status == 200, url
                    following = reply.links.get("next")
                    return await reply.text(), str(following["url"].relative()) if following else None

            async def two(url=url):
                return (await page(url))[1]

            following = await wait_for(two, f"a second page of {path}")
            seen = {(await page(url))[0], (await page(following))[0]}
            assert len(seen) == 2, f"the next page of {path} is another one"


async def banner(target, timeout_s):
    return Sample(error="cut off", text="220 smtp", value=1.0)


async def asked_for_time(source: str, ntp: Endpoint) -> bytes:
    """The answer to one NTP request from that address."""
    loop, arrived = asyncio.get_running_loop(), asyncio.Event()
    said: list[bytes] = []

    class Client(asyncio.DatagramProtocol):
        def datagram_received(self, data, address):
            said.append(data)
            arrived.set()

    transport, _ = await loop.create_datagram_endpoint(
        Client, local_addr=(source, 0), remote_addr=(ntp.host, ntp.port)
    )
    try:
        transport.sendto(bytes([0x23]) + bytes(39) + b"\x00\x00\x00\x00\x00\x00\x00\x01")
        await asyncio.wait_for(arrived.wait(), 30)
    finally:
        transport.close()
    return said[0]


async def test_a_browser_s_second_origin_gets_no_live_stream(tmp_path):
    async with visited(tmp_path) as visitor:
        for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            async with visitor.session.get(
                visitor.base + "/api/v1/events", headers={**headers, "Accept": "*/*"}
            ) as reply:
                assert reply.status == 403
        async with visitor.session.get(visitor.base + "/api/v1/events") as reply:
            assert reply.status == 200
            assert isinstance(reply, aiohttp.ClientResponse)
