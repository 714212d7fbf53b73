"""The route table: one place decides who may do what, what is valid, and what an error looks like."""

import dataclasses
import ipaddress
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, model_validator

from appliance.api.actor import NOBODY, Actor, acting, covers, local
from appliance.api.contrib import Route
from appliance.api.errors import Conflict
from appliance.api.model import Level
from appliance.core.plain_json import plain, to_json
from appliance.core.routes import Reply, Request, RouteTable


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    weight: int = 1


class Query(BaseModel):
    model_config = ConfigDict(extra="forbid")
    limit: int = 10


async def echo(request):
    return {
        "params": dict(request.params),
        "query": request.query_model,
        "body": request.body,
        "actor": request.actor.name,
    }


async def conflict(request):
    raise Conflict("it is taken")


async def broken(request):
    raise ZeroDivisionError("secret detail")


def table() -> RouteTable:
    made = RouteTable()
    made.mount(
        "things",
        (
            Route("GET", "/api/v1/things/{id}", echo, "read", "One thing"),
            Route("GET", "/api/v1/things/special", conflict, "read"),
            Route("POST", "/api/v1/things", echo, "operate", body=Body),
            Route("GET", "/api/v1/things", echo, "public", query=Query),
            Route("GET", "broken", broken, "public"),
            Route("DELETE", "/api/v1/things/{id}", echo, "admin"),
        ),
    )
    return made


async def ask(method, path, role="admin", content=b"", **query):
    return await table().dispatch(
        Request(method, path, actor=acting(role, "me"), content=content, query=query)
    )


async def test_a_fixed_path_beats_one_with_a_parameter():
    reply = await ask("GET", "/api/v1/things/special")
    assert (reply.status, reply.value["code"]) == (409, "conflict")
    assert reply.content_type == "application/problem+json"


async def test_parameters_are_decoded():
    reply = await ask("GET", "/api/v1/things/2001%3Adb8%3A%3A1")
    assert reply.value["params"] == {"id": "2001:db8::1"}


@pytest.mark.parametrize(
    ("method", "path", "role", "status"),
    [
        ("GET", "/api/v1/things/1", "public", 403),
        ("GET", "/api/v1/things/1", "viewer", 200),
        ("POST", "/api/v1/things", "viewer", 403),
        ("DELETE", "/api/v1/things/1", "operator", 403),
        ("DELETE", "/api/v1/things/1", "admin", 200),
        ("PUT", "/api/v1/things/1", "admin", 405),
        ("GET", "/nowhere", "admin", 404),
        ("HEAD", "/api/v1/things/1", "viewer", 200),
    ],
)
async def test_role_method_and_path_decide(method, path, role, status):
    assert (await ask(method, path, role)).status == status


async def test_who_signed_in_and_may_not_is_refused_and_who_did_not_is_asked_to():
    stranger = await table().dispatch(Request("GET", "/api/v1/things/1"))
    assert (stranger.value["code"], stranger.headers["WWW-Authenticate"][:6]) == ("login_required", "Bearer")
    reply = await ask("DELETE", "/api/v1/things/1", "viewer")
    assert (reply.status, reply.value["code"]) == (403, "refused")
    assert "things:admin" in reply.value["detail"]


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ("", "the plugin things does not say who may use GET /p/things/x"),
        ("everybody", 'the plugin things, GET /p/things/x: "everybody" is no scope'),
        ("things:*", "is no scope"),
        ("Things:read", "is no scope"),
    ],
)
def test_a_route_without_a_scope_is_a_mistake_that_names_its_plugin(scope, said):
    with pytest.raises(ValueError, match=r".") as wrong:
        RouteTable().mount("things", (Route("GET", "x", echo, scope),))
    assert said in str(wrong.value)


@pytest.mark.parametrize(
    ("grants", "scope", "covered"),
    [
        ({"servers:read"}, "servers:read", True),
        ({"servers:read"}, "servers:write", False),
        ({"servers:*"}, "servers:write", True),
        ({"*:read"}, "servers:read", True),
        ({"*:read"}, "servers:write", False),
        ({"*:read"}, "users:read", False),
        ({"*:*"}, "plugins:write", False),
        ({"*:*", "plugins:*"}, "plugins:write", True),
        ({"*:*"}, "public", False),
        ({"servers:read"}, "servers:*", False),
        ({"*:*"}, "*:read", True),
        ({"*:read"}, "*:*", False),
        (set(), "public", False),
    ],
)
def test_what_grants_cover(grants, scope, covered):
    assert covers(grants, scope) is covered


async def test_a_browsers_request_from_elsewhere_changes_nothing_but_a_token_is_no_browsers():
    def post(actor):
        return table().dispatch(
            Request(
                "POST", "/api/v1/things", actor=actor, content=b'{"name": "n"}', foreign="of evil.example"
            )
        )

    reply = await post(acting("owner"))
    assert (reply.status, reply.value["code"]) == (403, "cross_site")
    # Who may not anyway is told that first: it is what a program without a token has to hear.
    assert (await post(NOBODY)).value["code"] == "login_required"
    assert (await post(acting("viewer"))).value["code"] == "refused"
    assert (await post(dataclasses.replace(acting("owner"), kind="token"))).status == 200
    looked = Request("GET", "/api/v1/things", actor=NOBODY, foreign="of evil.example")
    assert (await table().dispatch(looked)).status == 200


class Watching:
    """A witness that remembers."""

    def __init__(self):
        self.seen = []

    async def saw(self, request, mounted, status):
        self.seen.append((mounted.id, status))


async def test_a_fault_inside_an_operation_is_witnessed_too(caplog):
    async def broken(request):
        raise RuntimeError("a fault")

    class Fragile(BaseModel):
        @model_validator(mode="before")
        @classmethod
        def _break(cls, value):
            raise RuntimeError("a fault in judging the body")

    made = RouteTable()
    made.witness = Watching()
    made.mount(
        "things", (Route("POST", "a", broken, "public"), Route("POST", "b", echo, "public", body=Fragile))
    )
    assert (await made.dispatch(Request("POST", "/p/things/a"))).status == 500
    with pytest.raises(RuntimeError):
        await made.dispatch(Request("POST", "/p/things/b", content=b"{}"))
    assert made.witness.seen == [("POST /p/things/a", 500), ("POST /p/things/b", 500)]


async def test_a_risky_operation_wants_the_password_again():
    made = RouteTable()
    made.mount("things", (Route("POST", "x", echo, "admin", confirm=True),))
    stale = Actor("ada", "session", acting("owner").grants, "owner")
    assert (await made.dispatch(Request("POST", "/p/things/x", actor=stale))).value[
        "code"
    ] == "confirm_password"
    assert (await made.dispatch(Request("POST", "/p/things/x", actor=local("root")))).status == 200


class Witness:
    def __init__(self):
        self.seen = []

    async def saw(self, request, mounted, status):
        self.seen.append((mounted.id, request.actor.name, status))


async def test_what_changes_something_has_a_witness_whatever_came_of_it():
    made = table()
    made.witness = witness = Witness()
    owner, viewer = acting("owner", "ada"), acting("viewer", "eve")
    for request in (
        Request("POST", "/api/v1/things", actor=owner, content=b'{"name": "n"}'),
        Request("POST", "/api/v1/things", actor=owner, content=b"{}"),
        Request("POST", "/api/v1/things", actor=viewer, content=b"{}"),
        Request("GET", "/api/v1/things/1", actor=owner),
        Request("GET", "/api/v1/things/1", actor=NOBODY),
        Request("PUT", "/nowhere", actor=owner),
    ):
        await made.dispatch(request)
    assert witness.seen == [
        ("POST /api/v1/things", "ada", 200),
        ("POST /api/v1/things", "ada", 422),
        ("POST /api/v1/things", "eve", 403),
    ]


@pytest.mark.parametrize(
    ("content", "status", "word"),
    [
        (b"{", 400, "not JSON"),
        (b"\xff", 400, "not JSON"),
        (b"[" * 100_000, 400, "not JSON"),
        (b"{}", 422, "name"),
        (b'{"name": "x", "wait": 1}', 422, "unknown; known: name, weight"),
        (b'{"name": "x", "weight": "heavy"}', 422, "weight"),
        (b"[]", 422, "body"),
        (b'{"name": "x"}', 200, ""),
    ],
)
async def test_a_body_is_valid_or_refused_field_by_field(content, status, word):
    reply = await ask("POST", "/api/v1/things", content=content)
    assert reply.status == status
    assert word in reply.body().decode()


async def test_a_query_is_validated_too():
    assert (await ask("GET", "/api/v1/things", limit="5")).value["query"].limit == 5
    assert (await ask("GET", "/api/v1/things", limit="many")).status == 422


async def test_an_accident_inside_tells_an_incident_number_and_nothing_else(caplog):
    reply = await ask("GET", "/p/things/broken")
    assert reply.status == 500
    assert "secret detail" not in reply.body().decode()
    incident = reply.value["detail"].split()[-1]
    assert incident in caplog.text
    assert "secret detail" in caplog.text


def test_the_document_is_made_once_for_all_who_ask_and_anew_when_routes_come_or_go():
    """It takes a quarter of a second, and strangers may ask a thousand times a minute."""
    made = table()
    first = made.openapi_json()
    assert made.openapi_json() is first
    made.openapi()["paths"].clear()
    assert made.openapi() == json.loads(first)
    made.mount("more", (Route("GET", "/api/v1/more", echo, "public"),))
    assert "/api/v1/more" in made.openapi()["paths"]
    made.unmount("more")
    assert made.openapi_json() == first


def test_the_document_describes_every_operation():
    document = table().openapi()
    assert document["openapi"] == "3.1.0"
    assert set(document["paths"]) == {
        "/api/v1/things/{id}",
        "/api/v1/things/special",
        "/api/v1/things",
        "/p/things/broken",
    }
    assert document["paths"]["/api/v1/things/{id}"]["get"]["x-scope"] == "things:read"
    names = [op["operationId"] for path in document["paths"].values() for op in path.values()]
    assert len(names) == len(set(names))
    json.dumps(document)


@dataclasses.dataclass
class Point:
    x: float
    level: Level
    raw: bytes


def test_what_json_cannot_say_becomes_null_wherever_it_stands_and_nothing_that_was_given_changes():
    def told(odd):
        return [{"a": 1, "b": odd}, {"a": odd, 2: "two"}, [0.5, odd], (odd,)]

    value = told(float("inf"))
    assert plain(value) == plain(told(None))
    assert value == told(float("inf"))
    assert plain(told(Level.OK)) == plain(told("ok"))


def test_values_become_plain_json():
    value = [Point(float("nan"), Level.OK, b"\x7f\x00"), {1: ipaddress.ip_address("::1")}, Body(name="n")]
    assert plain(value) == [
        {"x": None, "level": "ok", "raw": "7f00"},
        {"1": "::1"},
        {"name": "n", "weight": 1},
    ]
    with pytest.raises(TypeError):
        plain(object())


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda s: st.lists(s) | st.dictionaries(st.text(), s),
    )
)
def test_whatever_is_plain_is_valid_json(value):
    json.loads(to_json(value))


def test_a_reply_of_text_is_sent_as_it_is():
    assert Reply("a,b\n", content_type="text/csv").body() == b"a,b\n"
    assert Reply(None, 204).body() == b""
