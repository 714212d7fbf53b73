"""Servers have owners: somebody with the role member reaches the own ones and no others, whatever the door."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from appliance.api.actor import ROLES, acting
from appliance.api.errors import Conflict
from appliance.api.services import Prober
from appliance.core.clock import SystemClock
from appliance.core.routes import NARROWED, Request, RouteTable
from appliance.testing import running
from appliance_members.registry import Entry, Holder, Registry
from tests.plugins.people.bed import box
from tests.plugins.people.test_people_matrix import CONFIG, Watched
from tests.plugins.web.test_web_checks import FakeProber
from tests.support.wait import wait_for

WEB = """
[plugins.web]
listen = "127.0.0.1:0"
"""
QUICK = f"""{WEB}
[plugins.clock]
source = "local"
[plugins.monitor]
interval_s = 1
samples = 1
timeout_s = 0.2
"""
#: What a member may use of what has owners. A new route that lets members in has to be added here.
LETS_MEMBERS_IN = {
    "DELETE /api/v1/members/{id}",
    "GET /",
    "GET /api/v1/checks/{check}",
    "GET /api/v1/events",
    "GET /api/v1/log",
    "GET /api/v1/log.csv",
    "GET /api/v1/log/export",
    "GET /api/v1/lookup",
    "GET /api/v1/members",
    "GET /api/v1/members/export",
    "GET /api/v1/members/{id}",
    "GET /api/v1/members/{id}/chart",
    "GET /api/v1/members/{id}/history",
    "GET /api/v1/members/{id}/history.csv",
    "GET /api/v1/members/{id}/probes",
    "GET /api/v1/members/{id}/turns",
    "GET /api/v1/names",
    "GET /api/v1/scores",
    "GET /api/v1/zones",
    "GET /checks/{check}/stream",
    "GET /log",
    "GET /members",
    "GET /members/add",
    "GET /members/add/form",
    "GET /members/add/{draft}/{step}",
    "GET /members/import",
    "GET /members/{id}",
    "GET /scores/{ip}",
    "PATCH /api/v1/members/{id}",
    "POST /api/v1/checks",
    "POST /api/v1/members",
    "POST /api/v1/members/import",
    "POST /api/v1/members/{id}/cancel-removal",
    "POST /api/v1/members/{id}/pause",
    "POST /api/v1/members/{id}/remove-at",
    "POST /api/v1/members/{id}/resume",
    "POST /api/v1/members/{id}/verify",
    "POST /api/v1/probe",
    "POST /members/add",
    "POST /members/add/look",
    "POST /members/add/{draft}/{step}",
    "POST /members/bulk",
    "POST /members/import",
    "POST /members/{id}/change",
    "POST /members/{id}/keep",
    "POST /members/{id}/pause",
    "POST /members/{id}/probe",
    "POST /members/{id}/remove-at",
    "POST /members/{id}/resume",
    "POST /members/{id}/verify",
}


def path_to(mounted, thing):
    """The route's path with `thing` where it names what has an owner."""
    return re.sub(
        r"\{(\w+)(?::[^{}]+)?\}", lambda m: thing if m[1] == mounted.route.own else "x", mounted.path
    )


async def test_every_route_lets_a_member_in_to_the_own_thing_and_to_no_other(tmp_path):
    """Every route with every role, and for each thing: one's own, somebody else's, nobody's, and one that is not there."""
    async with running(None, CONFIG, state_dir=tmp_path) as app:
        await app.until_running("web", "people")
        table = app.host.services.get(RouteTable)
        watched = Watched(table)
        owners = {"mine": "u1", "theirs": "u2", "nobodys": "", "absent": ""}
        table.owners = dict.fromkeys(("servers", "monitors"), owners.__getitem__)
        owned = [m for m in table.routes() if m.route.own]
        assert {m.id for m in owned} == LETS_MEMBERS_IN
        for mounted in owned:
            for role in ROLES:
                whole = acting(role).may(mounted.scope)
                for thing, account in owners.items():
                    actor = dataclasses.replace(acting(role), account="u1")
                    own = role == "member" and (mounted.route.own == NARROWED or account == "u1")
                    watched.path, watched.reached = path_to(mounted, thing), False
                    request = Request(mounted.route.method, watched.path, actor=actor)
                    reply = await table.dispatch(request)
                    assert watched.reached == (whole or own), (
                        f"{mounted.id} as {role} to {thing}: {reply.value}"
                    )
                    assert request.only == ("u1" if own and not whole else "")
                    if not watched.reached:
                        assert reply.status == 403
                        assert ("none of yours" in reply.value["detail"]) == (role == "member")


async def test_who_has_no_account_owns_nothing(tmp_path):
    async with box(tmp_path, plugins=("people", "members")) as b:
        for kind in ("nobody", "session", "token"):
            actor = dataclasses.replace(acting("member"), kind=kind, account="")
            for path in ("/api/v1/members", "/api/v1/members/x"):
                reply = await b.table.dispatch(Request("GET", path, actor=actor))
                assert reply.status == (401 if kind == "nobody" else 403)


async def peopled(b):
    """Two members with a server each, and a server of nobody; the servers by whose they are."""
    ann, bob = await b.user("member", "ann"), await b.user("member", "bob")
    servers = {}
    for number, owner in ((1, "ann"), (2, "bob"), (3, "")):
        body = {
            "address": f"127.0.7.{number}", "port": 65000 + number, "name": f"srv-of-{owner or 'nobody'}.example.org",
            "note": f"note of {owner or 'nobody'}", "zones": ["@", f"zone-{owner or 'nobody'}"], "force": True, "owner": owner,
        }  # fmt: skip
        reply = await b.locally("POST", "/api/v1/members", body)
        assert reply.status == 201, reply.value
        (servers[owner],) = reply.value["created"]
    return ann, bob, servers


def traces(server):
    """What tells of a server, wherever it stands."""
    return [server["id"], server["address"], server["name"], server["note"], server["zones"][1]]


async def test_a_member_sees_nothing_of_others_servers_on_any_page_or_list(tmp_path):
    plugins = ("clock", "people", "members", "monitor", "web")
    async with box(tmp_path, QUICK, plugins, clock=SystemClock()) as b:
        ann, _, servers = await peopled(b)
        rows = []

        async def probed():
            rows[:] = (await b.locally("GET", "/api/v1/log")).value
            return {row["member"] for row in rows} == {s["id"] for s in servers.values()}

        await wait_for(probed, "every server is probed")
        walked = 0
        for mounted in b.table.routes():
            if mounted.route.own != NARROWED or mounted.route.method != "GET" or mounted.route.stream:
                continue
            if "{" in mounted.path or "lookup" in mounted.path:
                continue
            reply = await ann.get(mounted.path)
            assert reply.status == 200, (mounted.path, reply.value)
            text = reply.body().decode()
            for owner in ("bob", ""):
                assert not [t for t in traces(servers[owner]) if t in text], mounted.path
            if not re.search(r"/add|/members/import|/names", mounted.path):
                assert any(t in text for t in traces(servers["ann"])), mounted.path
            walked += 1
        assert walked >= 12
        own = (await ann.get(f"/members/{servers['ann']['id']}")).body().decode()
        assert not [t for t in traces(servers["bob"]) if t in own]
        for query in (
            {"member": servers["bob"]["id"]},
            {"member": servers["bob"]["address"]},
            {"member": "m-absent"},
        ):
            assert (await ann.get("/api/v1/log", **query)).status == 403
        assert (await ann.get("/api/v1/members", owner="bob")).value == []
        assert (await ann.get("/api/v1/members", q="bob")).value == []


async def test_attacks_on_a_strangers_server_are_refused_written_down_and_change_nothing(tmp_path):
    async with box(tmp_path, WEB, ("people", "members", "web")) as b:
        ann, _, servers = await peopled(b)
        before = (await b.locally("GET", "/api/v1/members")).value
        bodies = {"PATCH": {"note": "mine now"}, "DELETE": None}
        for thing in (
            servers["bob"]["id"],
            servers["bob"]["address"],
            servers["bob"]["name"],
            servers[""]["id"],
            "m-absent",
        ):
            for mounted in b.table.routes():
                if mounted.route.own in ("", NARROWED) or not mounted.route.unsafe:
                    continue
                path = path_to(mounted, thing)
                if mounted.route.page:
                    reply = await ann.form(path, {"note": "mine now", "days": "7", "method": "http"})
                else:
                    reply = await ann.ask(mounted.route.method, path, bodies.get(mounted.route.method, {}))
                assert reply.status == 403, (mounted.id, thing, reply.value)
                assert reply.value["detail"].startswith(f"{thing} is none of yours")
                row = (await b.rows(limit=1))[0]
                assert (row["actor"], row["status"], row["action"]) == ("ann", 403, mounted.id)
        for owner in ("bob", ""):
            await ann.form("/members/bulk", {"verb": "pause", f"m-{servers[owner]['id']}": "yes"})
        assert (await b.locally("GET", "/api/v1/members")).value == before


async def test_who_adds_as_a_member_owns_what_he_added_and_may_change_and_remove_it(tmp_path):
    prober = FakeProber()
    prober.go.set()
    async with box(
        tmp_path, "[plugins.members]\nmax_members_each = 3\n", ("people", "members"), provide={Prober: prober}
    ) as b:
        ann, bob, servers = await peopled(b)
        reply = await ann.post("/api/v1/members", {"address": "127.0.8.1"})
        assert reply.status == 201, reply.value
        (mine,) = reply.value["created"]
        assert mine["owner"] == "ann"
        key = mine["id"]
        assert (await ann.ask("PATCH", f"/api/v1/members/{key}", {"netspeed": 7})).value["netspeed"] == 7
        assert (await ann.post(f"/api/v1/members/{key}/pause", {})).value["state"] == "paused"
        assert (await bob.get(f"/api/v1/members/{key}")).status == 403
        imported = await ann.post("/api/v1/members/import", {"members": [{"address": "127.0.8.2"}]})
        assert [m["owner"] for m in imported.value["created"]] == ["ann"]
        for body, why in (
            ({"address": "127.0.8.3"}, "plugins.members.max_members_each"),
            ({"address": "127.0.8.3", "owner": "bob"}, "what you add is your own"),
            ({"address": "127.0.8.3", "force": True}, "the live check finds holds for you"),
        ):
            reply = await ann.post("/api/v1/members", body)
            assert reply.status in (403, 409)
            assert why in reply.value["detail"]
        assert (await ann.ask("DELETE", f"/api/v1/members/{key}")).status == 200
        assert {m["id"] for m in (await ann.get("/api/v1/members")).value} == {
            servers["ann"]["id"], imported.value["created"][0]["id"],
        }  # fmt: skip


async def test_an_operator_sees_all_and_gives_and_takes_and_the_next_request_knows(tmp_path):
    async with box(tmp_path, plugins=("people", "members")) as b:
        ann, bob, servers = await peopled(b)
        oper = await b.user("operator", "otto")
        assert {m["owner"] for m in (await oper.get("/api/v1/members")).value} == {"ann", "bob", ""}
        key = servers["ann"]["id"]
        for who in (ann, bob):
            assert (await who.ask("PUT", f"/api/v1/members/{key}/owner", {"owner": "bob"})).status == 403
        given = await oper.ask("PUT", f"/api/v1/members/{key}/owner", {"owner": "BOB"})
        assert (given.status, given.value["owner"]) == (200, "bob")
        assert (await b.rows(limit=1))[0]["after"] == json.dumps({"owner": "BOB"}, separators=(",", ":"))
        assert (await ann.get(f"/api/v1/members/{key}")).status == 403
        assert (await bob.get(f"/api/v1/members/{key}")).status == 200
        assert (await oper.ask("PUT", f"/api/v1/members/{key}/owner", {"owner": ""})).value["owner"] == ""
        assert (await bob.get(f"/api/v1/members/{key}")).status == 403
        wrong = await oper.ask("PUT", f"/api/v1/members/{key}/owner", {"owner": "nobody-knows-him"})
        assert wrong.status == 422
        assert wrong.value["errors"][0]["field"] == "owner"


async def test_a_token_of_a_member_reaches_no_further_and_one_to_look_changes_nothing(tmp_path):
    async with box(tmp_path, plugins=("people", "members")) as b:
        ann, _, servers = await peopled(b)
        made = await ann.post("/api/v1/tokens", {"scopes": ["servers:read-own"], "label": "looks"})
        assert made.status == 201, made.value
        assert (await ann.post("/api/v1/tokens", {"scopes": ["servers:read"]})).status in (403, 422)
        program = b.visitor()
        program.bearer = made.value["token"]
        assert [m["id"] for m in (await program.get("/api/v1/members")).value] == [servers["ann"]["id"]]
        assert (await program.get(f"/api/v1/members/{servers['bob']['id']}")).status == 403
        pause = await program.post(f"/api/v1/members/{servers['ann']['id']}/pause", {})
        assert pause.status == 403
        # What an operator's token could do it can no longer once its owner is a member.
        otto = await b.user("operator", "otto")
        wide = (await otto.post("/api/v1/tokens", {"scopes": ["servers:read", "servers:write"]})).value[
            "token"
        ]
        await b.locally("PATCH", "/api/v1/users/otto", {"role": "member"})
        program.bearer = wide
        assert (await program.get("/api/v1/members")).value == []
        assert (await program.get(f"/api/v1/members/{servers['bob']['id']}")).status == 403


async def test_what_belonged_to_a_user_who_is_removed_belongs_to_nobody(tmp_path):
    async with box(tmp_path, plugins=("people", "members")) as b:
        _, _, servers = await peopled(b)
        assert (await b.locally("DELETE", "/api/v1/users/ann")).status == 204
        again = await b.user("member", "ann")

        async def free():
            return (await b.locally("GET", f"/api/v1/members/{servers['ann']['id']}")).value["owner"] == ""

        await wait_for(free, "nobody owns it")
        assert (await again.get("/api/v1/members")).value == [], (
            "a new account of the same name is another one"
        )


async def test_a_member_may_have_only_so_many_addresses_looked_at(tmp_path):
    prober = FakeProber()
    prober.go.set()
    async with box(tmp_path, WEB, ("people", "members", "web"), provide={Prober: prober}) as b:
        ann, bob, _ = await peopled(b)
        targets = [{"address": f"127.0.9.{n}"} for n in range(15)]
        statuses = []
        for _ in range(5):
            reply = await ann.post("/api/v1/checks", {"targets": targets})
            statuses.append(reply.status)
            if reply.status == 201:
                check = reply.value["id"]

                async def over(check=check):
                    return (await ann.get(f"/api/v1/checks/{check}")).value["done"]

                await wait_for(over, "the check is over")
                assert (await bob.get(f"/api/v1/checks/{check}")).status == 404
        assert statuses == [201] * 4 + [429]
        row = next(r for r in await b.rows() if r["action"] == "POST /api/v1/checks" and r["status"] == 201)
        assert (row["actor"], "127.0.9.0 port 123" in row["target"]) == ("ann", True)
        for nobody in ("224.0.0.1", "::ffff:224.0.0.1", "::ffff:255.255.255.255"):
            assert (await ann.post("/api/v1/checks", {"targets": [{"address": nobody}]})).status == 422


def test_the_limit_counts_what_is_there_and_holds_for_one_holder_alone():
    ann = Holder("u1", most=2)
    registry = Registry().add([Entry("", "192.0.2.1"), Entry("", "192.0.2.2")], ann)
    with pytest.raises(Conflict, match="max_members_each"):
        registry.add([Entry("", "192.0.2.3")], ann)
    assert len(registry.add([Entry("", "192.0.2.3")], Holder("u2", most=2)).entries) == 3
    assert len(registry.add([Entry("", "192.0.2.3")]).entries) == 3


def test_a_declared_member_keeps_its_owner_when_the_file_is_read_again():
    registry = Registry().declare([Entry("", "192.0.2.1")], 1.0)
    (key,) = registry.entries
    registry = registry.give(key, "u1").declare([Entry("", "192.0.2.1", netspeed=5)], 2.0)
    assert registry.entries[key].owner == "u1"
    assert registry.disown("u1").entries[key].owner == ""
    assert registry.disown("u2") is registry


def test_what_several_members_share_is_somebodys_only_when_all_are_his():
    registry = (
        Registry()
        .add([Entry("", "192.0.2.1", 123)], Holder("u1"))
        .add([Entry("", "192.0.2.1", 124)], Holder("u2"))
    )
    assert {e.owner for e in registry.matching("192.0.2.1")} == {"u1", "u2"}
    assert {e.owner for e in registry.matching("192.0.2.1:124")} == {"u2"}
    assert registry.matching("no such name") == []
