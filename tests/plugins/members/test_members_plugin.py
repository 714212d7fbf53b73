"""The plugin in a running appliance: API, live check, verification, restarts, reloads, a database that refuses."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import pytest

from appliance.api.actor import acting
from appliance.api.errors import StoreError
from appliance.api.events import MembersChanged
from appliance.api.model import ClockState, Verdict
from appliance.api.services import Members, Prober, ScoreBoard, TimeSource
from appliance.core.cells import Cell
from appliance.core.clock import FakeClock
from appliance.core.routes import Request
from appliance.testing import running, wait_until
from appliance_members.config import Config
from appliance_members.desk import Desk

DECLARED = """
[[plugins.members.member]]
address = "192.0.2.11"
zones = ["@", "harbour"]
operator = "lighthouse"
"""
ONE = "/api/v1/members/{}"


@asynccontextmanager
async def pool(tmp_path, config="", *, clock=None, **provide):
    kinds = {"prober": Prober, "board": ScoreBoard, "time": TimeSource}
    services = {kinds[name]: service for name, service in provide.items()}
    async with running(["members"], config, state_dir=tmp_path, clock=clock, provide=services) as app:
        await app.until_running("members")
        yield app


def config_of(app, **values):
    """As a reload would: a new configuration for the running plugin."""
    old = app.host.config.plugins["members"]
    app.host.supervised["members"].ctx.config_changes.set(Config(**{**old.model_dump(), **values}))


def by_address(rows):
    return {row["address"]: row for row in rows}


async def add(app, address, status=201, **fields):
    reply = await app.ask("POST", "/api/v1/members", body={"address": address, **fields})
    assert reply.status == status, reply.body()
    return json.loads(reply.body())


async def problem(app, method, path, body=None, *, status, **more):
    reply = await app.ask(method, path, body=body, **more)
    assert reply.status == status, reply.body()
    return json.loads(reply.body())


# -- adding ------------------------------------------------------------------------------------------------------------


async def test_a_good_server_is_added_and_stands_in_the_list_with_the_contracted_keys(
    tmp_path, servers, prober
):
    async with pool(tmp_path, prober=prober) as app:
        told = await add(
            app, f"127.0.0.31:{servers.port}", netspeed=3000, zones=["@", "Harbour"], operator="me"
        )
        assert told["checks"][0]["accepted"] and told["refused"] == []
        (row,) = await app.get("/api/v1/members")
        for key in ("id", "address", "port", "netspeed", "zones", "score", "in_pool", "reason"):
            assert key in row
        assert (row["address"], row["port"], row["netspeed"]) == ("127.0.0.31", servers.port, 3000)
        assert row["zones"] == ["@", "harbour"]
        assert row["verified_by"] == "admin"
        assert row["reason"] == "new: not probed yet"
        shown = await app.get(ONE.format(row["id"]))
        assert "stratum" in shown["evidence"]
        assert shown["probes"] == []
        assert await app.get(ONE.format(f"127.0.0.31%3A{servers.port}")) == shown


async def test_a_bad_server_is_refused_with_figures_and_force_adds_it_with_the_finding(
    tmp_path, servers, prober
):
    async with pool(tmp_path, prober=prober) as app:
        refused = await add(app, "127.0.0.36", status=422, port=servers.port)
        assert refused["code"] == "check_failed"
        assert "stratum is 12" in refused["detail"]
        assert await app.get("/api/v1/members") == []
        told = await add(app, "127.0.0.36", port=servers.port, force=True)
        assert told["checks"][0]["forced"]
        assert (await app.get(ONE.format("127.0.0.36")))["evidence"].startswith("forced: 127.0.0.36")


async def test_a_duplicate_is_refused_before_any_packet_is_sent(tmp_path, servers, prober):
    async with pool(tmp_path, DECLARED, prober=prober) as app:
        told = await add(app, "::ffff:192.0.2.11", status=409)
        assert "declared in" in told["detail"]
        assert prober.asked == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"address": "224.0.0.1"}, "address"),
        ({"address": "192.0.2.01"}, "address"),
        ({}, "address"),
        ({"address": "192.0.2.1", "port": 0}, "port"),
        ({"address": "192.0.2.1:99", "port": 98}, "port"),
        ({"address": "192.0.2.1", "zones": ["0.de"]}, "zones"),
        ({"address": "192.0.2.1", "zones": []}, "zones"),
        ({"address": "192.0.2.1", "netspeed": -1}, "netspeed"),
        ({"address": "192.0.2.1", "name": "not a name"}, "name"),
        ({"address": "192.0.2.1", "colour": "red"}, "colour"),
        ({"address": 5}, "address"),
        ({"address": "192.0.2.1", "tags": ["two words"]}, "tags"),
    ],
)
async def test_a_bad_order_names_the_field_and_changes_nothing(tmp_path, prober, body, field):
    async with pool(tmp_path, prober=prober) as app:
        told = await problem(app, "POST", "/api/v1/members", body, status=422)
        assert field in {e["field"] for e in told["errors"]}
        assert await app.get("/api/v1/members") == []
        assert prober.asked == []


async def test_without_a_monitor_only_force_adds(tmp_path):
    async with pool(tmp_path) as app:
        told = await add(app, "192.0.2.1", status=503)
        assert told["code"] == "no_monitor"
        await add(app, "192.0.2.1", force=True)
        assert len(await app.get("/api/v1/members")) == 1


async def test_a_name_becomes_one_member_for_each_address_that_answers(tmp_path, servers, prober):
    async with pool(tmp_path, prober=prober) as app:

        async def lookup(name):
            return ["127.0.0.31", "127.0.0.39", "127.0.0.35"]

        app.host.services.get(Desk).registrar.lookup = lookup
        told = await add(app, "NTP.example.", port=servers.port)
        assert [r["address"] for r in told["created"]] == ["127.0.0.31", "127.0.0.39"]
        assert {r["name"] for r in told["created"]} == {"ntp.example"}
        assert [r["address"] for r in told["refused"]] == ["127.0.0.35"]
        ambiguous = await problem(app, "GET", ONE.format("ntp.example"), status=404)
        assert "more than one" in ambiguous["detail"]


async def test_a_name_that_nobody_knows_is_refused(tmp_path, prober):
    async with pool(tmp_path, prober=prober) as app:

        async def lookup(name):
            raise OSError(f"{name} could not be looked up: nobody knows it")

        app.host.services.get(Desk).registrar.lookup = lookup
        assert "nobody knows it" in (await add(app, "ntp.example", status=422))["detail"]


async def test_an_unsynchronised_clock_of_ours_does_not_refuse_by_offset(tmp_path, servers, prober):
    class Source:
        def __init__(self):
            self.state = Cell(ClockState.unsynchronised("just started"), clock=FakeClock())

    async with pool(tmp_path, prober=prober, time=Source()) as app:
        told = await add(app, "127.0.0.37", port=servers.port)
        assert any("our own clock" in w for w in told["checks"][0]["warnings"])


# -- changing ----------------------------------------------------------------------------------------------------------


async def test_changes_pauses_and_removal_are_seen_at_once_and_told_on_the_bus(tmp_path):
    async with pool(tmp_path) as app:
        with app.host.bus.subscribe(MembersChanged) as changes:
            (row,) = (await add(app, "192.0.2.1", force=True))["created"]
            path = ONE.format(row["id"])
            changed = json.loads(
                (await app.ask("PATCH", path, body={"netspeed": 0, "tags": ["rack1"]})).body()
            )
            assert (changed["netspeed"], changed["tags"], changed["code"]) == (0, ["rack1"], "watched")
            assert (await app.post(f"{path}/pause"))["state"] == "paused"
            assert (await app.post(f"{path}/resume"))["state"] == "active"
            assert (await app.ask("DELETE", path)).status == 200
            actions = [changes._queue.popleft().action for _ in range(len(changes._queue))]
        assert actions == ["added", "changed", "changed", "changed", "removed"]
        await problem(app, "GET", path, status=404)


async def test_a_declared_member_can_be_paused_but_not_changed_or_removed(tmp_path):
    async with pool(tmp_path, DECLARED) as app:
        (row,) = await app.get("/api/v1/members")
        path = ONE.format(row["id"])
        assert "change it there" in (await problem(app, "DELETE", path, status=409))["detail"]
        await problem(app, "PATCH", path, {"netspeed": 5}, status=409)
        await problem(app, "POST", f"{path}/remove-at", {"in_s": 60}, status=409)
        assert (await app.post(f"{path}/pause"))["reason"].startswith("paused until")
    async with pool(tmp_path, DECLARED) as app:
        (again,) = await app.get("/api/v1/members")
        assert (again["state"], again["id"], again["added_at"]) == ("paused", row["id"], row["added_at"])
        assert (await app.post(f"{path}/resume"))["state"] == "active"


async def test_the_calendar_ends_pauses_lets_members_leave_and_removes_them(tmp_path):
    clock = FakeClock()
    async with pool(tmp_path, clock=clock) as app:
        for address in ("192.0.2.1", "192.0.2.2"):
            await add(app, address, force=True)
        await app.post(ONE.format("192.0.2.1") + "/pause", {"for_s": 100})
        await app.post(ONE.format("192.0.2.2") + "/remove-at", {"in_s": 20 * 86400})
        assert (await app.get(ONE.format("192.0.2.1")))["state"] == "paused"
        roster = app.host.services.get(Members)
        await clock.advance(98)
        assert roster.find("192.0.2.1").state == "paused"
        await clock.advance(4)
        await wait_until(lambda: roster.find("192.0.2.1").state == "active", "the pause to end")
        assert not roster.find("192.0.2.2").leaving
        clock.wall_offset_ns += int(6.1 * 86400e9)
        await clock.advance(2)
        await wait_until(lambda: roster.find("192.0.2.2").leaving, "it to leave")
        assert (await app.get(ONE.format("192.0.2.2")))["code"] == "leaving"
        clock.wall_offset_ns += int(14 * 86400e9)
        await clock.advance(2)
        await wait_until(lambda: len(roster.table.get()) == 1, "it to be removed")


async def test_nobody_is_removed_while_our_own_clock_cannot_be_trusted(tmp_path):
    clock = FakeClock()

    class Source:
        state = Cell(ClockState.unsynchronised("no source"), clock=clock)

    async with pool(tmp_path, clock=clock, time=Source()) as app:
        await add(app, "192.0.2.1", force=True)
        await app.post(ONE.format("192.0.2.1") + "/remove-at", {"in_s": 60, "grace_s": 0})
        clock.wall_offset_ns += int(400 * 86400e9)  # a flat battery, and the clock wakes up in another year
        await clock.advance(3)
        roster = app.host.services.get(Members)
        await wait_until(lambda: roster.find("192.0.2.1").leaving, "it to leave the answers")
        now = clock.monotonic_ns()
        Source.state.set(ClockState(0, 1, b"GPS\0", 0, 0.0, 0.0, 0.0, now))
        await clock.advance(62)
        await wait_until(lambda: not roster.table.get(), "it to be removed")


async def test_a_scheduled_removal_can_be_called_off(tmp_path):
    async with pool(tmp_path) as app:
        await add(app, "192.0.2.1", force=True)
        path = ONE.format("192.0.2.1")
        leaving = await app.post(f"{path}/remove-at", {"in_s": 86400})
        assert leaving["leaving"] and leaving["code"] == "leaving"
        assert not (await app.post(f"{path}/cancel-removal"))["leaving"]
        await problem(app, "POST", f"{path}/cancel-removal", status=409)
        for body in ({}, {"at": 1.0}, {"at": 4e9, "in_s": 5}, {"in_s": -1}, {"at": 1e30}):
            await problem(app, "POST", f"{path}/remove-at", body, status=422)


# -- keeping -----------------------------------------------------------------------------------------------------------


async def test_a_restart_brings_everything_back(tmp_path):
    async with pool(tmp_path, DECLARED) as app:
        await add(
            app,
            "2001:db8::5",
            force=True,
            zones=["a.b"],
            tags=["x"],
            note="n",
            operator="o",
            name="five.example",
            netspeed=7,
        )
        await app.post(ONE.format("2001%3Adb8%3A%3A5") + "/remove-at", {"in_s": 9e6})
        before = await app.get("/api/v1/members")
    async with pool(tmp_path, DECLARED) as app:
        assert await app.get("/api/v1/members") == before
        # the first publication is the state, not news
        assert app.host.services.get(Members).table.age_s() < 60


async def test_a_database_that_cannot_be_written_changes_nothing_and_loses_nothing(tmp_path, monkeypatch):
    async with pool(tmp_path, DECLARED) as app:
        await add(app, "192.0.2.1", force=True)
        before = await app.get("/api/v1/members")

        async def full(fn):
            raise StoreError("the database cannot be written: the disk is full")

        with monkeypatch.context() as patched:
            patched.setattr(app.host.store, "write", full)
            for method, path, body in (
                ("POST", "/api/v1/members", {"address": "192.0.2.2", "force": True}),
                ("PATCH", ONE.format("192.0.2.1"), {"netspeed": 1}),
                ("DELETE", ONE.format("192.0.2.1"), None),
                ("POST", ONE.format("192.0.2.1") + "/pause", {}),
                ("POST", ONE.format("192.0.2.11") + "/pause", {}),
            ):
                told = await problem(app, method, path, body, status=503)
                assert "disk is full" in told["detail"]
            assert await app.get("/api/v1/members") == before
            # what the file says takes effect all the same
            config_of(app, member=[{"address": "192.0.2.77"}])
            roster = app.host.services.get(Members)
            await wait_until(
                lambda: any(m.address == "192.0.2.77" for m in roster.table.get().values()), "the reload"
            )
        await app.post(ONE.format("192.0.2.1") + "/pause")
        ids = {r["id"] for r in await app.get("/api/v1/members")}
        rows = await app.host.store.read(lambda db: {r["id"] for r in db["members__member"].rows})
        assert rows == ids  # the next change that can be written writes what was missed


async def test_half_of_a_change_is_never_kept(tmp_path):
    async with pool(tmp_path) as app:
        await add(app, "192.0.2.1", force=True)

        def break_rows(db):
            db.conn.execute("CREATE TRIGGER no BEFORE INSERT ON members__member WHEN NEW.address = '192.0.2.3' "
                            "BEGIN SELECT RAISE(ABORT, 'no'); END")  # fmt: skip

        await app.host.store.write(break_rows)
        rows = [{"address": f"192.0.2.{n}"} for n in (2, 3, 4)]
        await problem(app, "POST", "/api/v1/members/import", {"members": rows, "force": True}, status=500)
        assert [r["address"] for r in await app.get("/api/v1/members")] == ["192.0.2.1"]
        kept = await app.host.store.read(lambda db: [r["address"] for r in db["members__member"].rows])
        assert kept == ["192.0.2.1"]


async def test_a_reload_adds_changes_and_removes_declared_members_without_a_restart(tmp_path):
    async with pool(tmp_path, DECLARED) as app:
        roster = app.host.services.get(Members)
        config_of(app, member=[{"address": "192.0.2.11", "netspeed": 9}, {"address": "192.0.2.12"}])
        await wait_until(lambda: len(roster.table.get()) == 2, "the new member")
        assert roster.find("192.0.2.11").netspeed == 9
        config_of(app, member=[])
        await wait_until(lambda: not roster.table.get(), "the members to go")


# -- names in the file -------------------------------------------------------------------------------------------------


def resolve_with(monkeypatch, lookup):
    """Every name is looked up by `lookup`, from the start."""
    defaults = {**Desk.__init__.__kwdefaults__, "hosts": lookup}
    monkeypatch.setattr(Desk.__init__, "__kwdefaults__", defaults)


async def test_a_declared_name_that_does_not_resolve_is_a_pending_problem_and_no_failure(
    tmp_path, monkeypatch
):
    clock, answers = FakeClock(), {}

    async def lookup(name):
        if name not in answers:
            raise OSError(f"{name} could not be looked up: unknown")
        return answers[name]

    resolve_with(monkeypatch, lookup)
    config = '[[plugins.members.member]]\nname = "ntp.example"\n'
    async with pool(tmp_path, config, clock=clock) as app:
        roster, status = app.host.services.get(Members), lambda: app.status("members").text
        await wait_until(lambda: "ntp.example" in status(), "the name to be told")
        health = await app.host.refresh_health()
        assert any("ntp.example" in p.text for p in health.problems)
        answers["ntp.example"] = ["192.0.2.1", "2001:db8::1"]
        await clock.advance(31)
        await wait_until(lambda: len(roster.table.get()) == 2, "the addresses")
        assert {m.name for m in roster.table.get().values()} == {"ntp.example"}
        answers["ntp.example"] = ["192.0.2.2", "2001:db8::1"]
        await clock.advance(3601)
        await wait_until(lambda: len(roster.table.get()) == 3, "the new address")
        old = by_address(await app.get("/api/v1/members"))["192.0.2.1"]
        assert any("no longer points here" in w for w in old["warnings"])
        del answers["ntp.example"]
        await clock.advance(3600 * 30)
        assert len(roster.table.get()) == 3  # a resolver that fails takes nobody away
        answers["ntp.example"] = ["192.0.2.2", "2001:db8::1"]
        await clock.advance(3601)
        await wait_until(lambda: len(roster.table.get()) == 2, "the old address to go")
        assert by_address(await app.get("/api/v1/members")).keys() == {"192.0.2.2", "2001:db8::1"}


async def test_a_declared_name_keeps_its_members_over_a_restart_without_dns(tmp_path, monkeypatch):
    async def lookup(name):
        return ["192.0.2.1"]

    async def dead(name):
        raise OSError("no answer")

    config = '[[plugins.members.member]]\naddress = "ntp.example"\nnetspeed = 5\n'
    resolve_with(monkeypatch, lookup)
    async with pool(tmp_path, config) as app:
        roster = app.host.services.get(Members)
        await wait_until(lambda: len(roster.table.get()) == 1, "the address")
    resolve_with(monkeypatch, dead)
    async with pool(tmp_path, config) as app:
        assert app.host.services.get(Members).find("192.0.2.1").netspeed == 5


# -- verification ------------------------------------------------------------------------------------------------------


async def verify(app, token, remote):
    request = Request("GET", f"/verify/{token}", remote=remote)
    return await app.host.routes.dispatch(request)


async def from_the_web(app, method, path, body=None, role="operator"):
    request = Request(
        method,
        path,
        content=json.dumps(body or {}).encode(),
        actor=acting(role, "web:op"),
        remote="192.0.2.200",
    )
    return await app.host.routes.dispatch(request)


async def unverified(app, address="198.51.100.7", **fields):
    reply = await from_the_web(app, "POST", "/api/v1/members", {"address": address, "force": True, **fields})
    assert reply.status == 201, reply.body()
    (row,) = reply.value["created"]
    assert (row["state"], row["in_pool"], row["code"]) == ("unverified", False, "unverified")
    return row


async def test_a_public_server_added_over_the_web_is_watched_until_its_own_address_fetches_the_token(
    tmp_path,
):
    clock = FakeClock()
    async with pool(tmp_path, clock=clock) as app:
        row = await unverified(app)
        ticket = await app.post(ONE.format(row["id"]) + "/verify", {"method": "http"})
        assert len(ticket["token"]) == 32  # 160 bits in base32
        wrong = await verify(app, ticket["token"], "198.51.100.8")
        assert wrong.status == 403
        assert (await verify(app, ticket["token"], "")).status == 403
        assert (await verify(app, "a" * 32, "198.51.100.7")).status == 404
        done = await verify(app, ticket["token"].upper(), "::ffff:198.51.100.7")
        assert done.status == 200, done.body()
        shown = await app.get(ONE.format(row["id"]))
        assert (shown["state"], shown["verified_by"]) == ("active", "http")
        assert (await verify(app, ticket["token"], "198.51.100.7")).status == 404  # once


async def test_tokens_expire_are_renewed_survive_a_restart_and_are_kept_as_hashes(tmp_path):
    clock = FakeClock()
    async with pool(tmp_path, clock=clock) as app:
        row = await unverified(app)
        first = await app.post(ONE.format(row["id"]) + "/verify", {"method": "http"})
        second = await app.post(ONE.format(row["id"]) + "/verify", {"method": "http"})
        assert (await verify(app, first["token"], "198.51.100.7")).status == 404
        kept = await app.host.store.read(lambda db: json.dumps(list(db["members__proof"].rows)))
        assert second["token"] not in kept
    clock = FakeClock()
    async with pool(tmp_path, clock=clock) as app:
        clock.wall_offset_ns += int(71 * 3600e9)
        assert (await verify(app, second["token"], "198.51.100.9")).status == 403  # known after the restart
        clock.wall_offset_ns += int(2 * 3600e9)
        assert (await verify(app, second["token"], "198.51.100.7")).status == 404


async def test_a_token_stays_good_when_its_success_cannot_be_kept(tmp_path, monkeypatch):
    async with pool(tmp_path) as app:
        row = await unverified(app)
        ticket = await app.post(ONE.format(row["id"]) + "/verify", {"method": "http"})

        async def full(fn):
            raise StoreError("the disk is full")

        with monkeypatch.context() as patched:
            patched.setattr(app.host.store, "write", full)
            assert (await verify(app, ticket["token"], "198.51.100.7")).status == 503
        assert (await verify(app, ticket["token"], "198.51.100.7")).status == 200


async def test_a_txt_record_verifies_only_an_address_that_the_name_really_has(tmp_path):
    async with pool(tmp_path) as app:
        desk = app.host.services.get(Desk)
        texts, addresses = {}, ["198.51.100.99"]

        async def lookup_txt(owner):
            return texts.get(owner, [])

        async def lookup(name):
            return addresses

        desk.proofs._lookup, desk.registrar.lookup = lookup_txt, lookup
        row = await unverified(app, name="ntp.example")
        path = ONE.format(row["id"]) + "/verify"
        ticket = await app.post(path, {"method": "txt"})
        assert ticket["owner"] == "_timeball.ntp.example"
        addresses[:] = ["198.51.100.7"]
        assert "no TXT record" in (await problem(app, "POST", path, {"method": "txt"}, status=403))["detail"]
        texts["_timeball.ntp.example"] = ["v=spf1 -all"]
        assert "spf1" in (await problem(app, "POST", path, {"method": "txt"}, status=403))["detail"]
        texts["_timeball.ntp.example"] = ["v=spf1 -all", ticket["token"]]
        addresses[:] = ["198.51.100.99"]
        assert (
            "does not point to" in (await problem(app, "POST", path, {"method": "txt"}, status=403))["detail"]
        )
        addresses[:] = ["198.51.100.7"]
        done = await app.post(path, {"method": "txt"})
        assert done["verified"] and done["member"]["verified_by"] == "txt"


async def test_only_an_administrator_verifies_by_word(tmp_path):
    async with pool(tmp_path) as app:
        row = await unverified(app)
        path = ONE.format(row["id"]) + "/verify"
        assert (await from_the_web(app, "POST", path, {"method": "admin"})).status == 403
        assert (await from_the_web(app, "POST", path, {"method": "admin"}, role="admin")).status == 200
        assert (await app.get(ONE.format(row["id"])))["state"] == "active"


async def test_private_addresses_and_the_console_need_no_proof_and_both_can_be_switched_off(tmp_path):
    strict = "[plugins.members.verify]\ntrusted_networks = []\ntrust_console = false\n"
    async with pool(tmp_path) as app:
        reply = await from_the_web(app, "POST", "/api/v1/members", {"address": "10.1.2.3", "force": True})
        assert reply.value["created"][0]["state"] == "active"
        assert (await add(app, "198.51.100.1", force=True))["created"][0]["state"] == "active"
    async with pool(tmp_path / "strict", strict) as app:
        assert (await add(app, "10.1.2.3", force=True))["created"][0]["state"] == "unverified"


# -- standing, zones, many ---------------------------------------------------------------------------------------------


class Board:
    def __init__(self, clock):
        self.verdicts = Cell({}, clock=clock)

    def stale_after_s(self):
        return 60.0

    def recent(self, member_id, limit=20):
        return [{"ts": 1.0, "offset_s": 0.001, "rtt_s": 0.002, "stratum": 1, "leap": 0, "step": 1.0, "score": 12.0,
                 "error": None, "rule": "offset_ok"}]  # fmt: skip


async def test_verdicts_decide_but_people_decide_first(tmp_path):
    clock = FakeClock()
    board = Board(clock)
    async with pool(tmp_path, DECLARED, clock=clock, board=board) as app:
        (row,) = await app.get("/api/v1/members")
        board.verdicts.set({row["id"]: Verdict(row["id"], 12.3456, True, "score 12.3", "ok")})
        shown = await app.get(ONE.format(row["id"]))
        assert (shown["in_pool"], shown["score"], shown["reason"]) == (True, 12.346, "score 12.3")
        assert shown["probes"][0]["rule"] == "offset_ok"
        zones = {z["zone"]: z for z in await app.get("/api/v1/zones")}
        assert zones["harbour"]["active"] == {"4": 1, "6": 0}
        assert zones["@"]["netspeed"] == 1000
        paused = await app.post(ONE.format(row["id"]) + "/pause")
        assert (paused["in_pool"], paused["code"]) == (False, "paused")


async def test_the_list_is_filtered_sorted_and_paged(tmp_path):
    async with pool(tmp_path) as app:
        for n, speed in ((10, 3), (9, 2), (100, 1)):
            await add(
                app,
                f"10.0.0.{n}",
                force=True,
                netspeed=speed,
                zones=["@" if n < 50 else "far"],
                tags=[f"t{n}"],
            )
        get = app.get
        assert [r["address"][-3:] for r in await get("/api/v1/members")] == ["0.9", ".10", "100"]
        assert [r["netspeed"] for r in await get("/api/v1/members", sort="-netspeed")] == [3, 2, 1]
        assert [r["netspeed"] for r in await get("/api/v1/members", zone="FAR")] == [1]
        assert [r["netspeed"] for r in await get("/api/v1/members", q="T9")] == [2]
        assert [r["netspeed"] for r in await get("/api/v1/members", limit=1, offset=1)] == [3]
        reply = await app.ask("GET", "/api/v1/members", query={"limit": 1})
        assert reply.headers["X-Total-Count"] == "3"
        for bad in ({"state": "happy"}, {"sort": "beauty"}, {"limit": 0}, {"colour": "red"}):
            assert (await app.ask("GET", "/api/v1/members", query=bad)).status == 422


async def test_what_is_exported_can_be_imported_elsewhere_and_here(tmp_path):
    async with pool(tmp_path / "a") as app:
        await add(
            app,
            "2001:db8::1",
            force=True,
            zones=["@", "a.b"],
            tags=["x", "y"],
            note='says "hi", often',
            netspeed=0,
        )
        await add(app, "192.0.2.1:1123", force=True, operator="me", paused=True)
        text, rows = (
            await app.get("/api/v1/members/export", format="csv"),
            await app.get("/api/v1/members/export"),
        )
    for name, body in (("b", {"csv": text}), ("c", {"members": rows})):
        async with pool(tmp_path / name) as app:
            told = json.loads(
                (await app.ask("POST", "/api/v1/members/import", body={**body, "force": True})).body()
            )
            assert len(told["created"]) == 2
            assert await app.get("/api/v1/members/export") == rows
            again = await problem(app, "POST", "/api/v1/members/import", {**body, "force": True}, status=409)
            assert "already a member" in again["detail"]


async def test_an_import_is_all_or_nothing_unless_partial_is_asked_for(tmp_path, servers, prober):
    async with pool(tmp_path, prober=prober) as app:
        rows = [{"address": a, "port": servers.port} for a in ("127.0.0.31", "127.0.0.33", "127.0.0.39")]
        told = await problem(app, "POST", "/api/v1/members/import", {"members": rows}, status=422)
        assert "not synchronised" in json.dumps(told)
        assert await app.get("/api/v1/members") == []
        done = await app.post("/api/v1/members/import", {"members": rows, "partial": True})
        assert len(done["created"]) == 2 and len(done["refused"]) == 1
        bad = await problem(app, "POST", "/api/v1/members/import",
                            {"members": [{"address": "x y"}, {"port": 7}, {"address": "1.2.3.4", "size": 1}]}, status=422)  # fmt: skip
        assert {e["field"].split(",")[0] for e in bad["errors"]} == {"row 1", "row 2", "row 3"}


@pytest.mark.parametrize(
    "text",
    ["", "colour\nred\n", "address,address2\n1,2\n", 'address\n"192.0.2.1\n', "address\n192.0.2.1,7,8\n", "address,port\n192.0.2.1,many\n",
     "\x00", "address\n"],
)  # fmt: skip
async def test_a_file_that_is_not_a_list_of_members_is_refused_whole(tmp_path, text):
    async with pool(tmp_path) as app:
        assert (
            await app.ask("POST", "/api/v1/members/import", body={"csv": text, "force": True})
        ).status == 422
        assert await app.get("/api/v1/members") == []


async def test_health_says_what_is_missing(tmp_path):
    clock = FakeClock()
    board = Board(clock)
    async with pool(tmp_path, clock=clock, board=board) as app:
        figures = app.host.services.get(Desk).figures
        assert "no member" in (await figures.nobody_yet()).text
        (row,) = (await add(app, "192.0.2.1", force=True))["created"]
        yet = await figures.nobody_yet()
        assert "1 new member is judged for the first time" in yet.text
        assert yet.info, "there is nothing to do but wait"
        assert await figures.nobody_is_left() is None
        board.verdicts.set({row["id"]: Verdict(row["id"], 3.0, False, "proving itself", "new")})
        assert (await figures.nobody_yet()).info
        assert (await figures.card())["level"] == "none"
        board.verdicts.set({row["id"]: Verdict(row["id"], -5.0, False, "silent", "low_score")})
        assert await figures.nobody_yet() is None
        assert "1 out" in await figures.nobody_is_left()
        assert (("@", "ipv4", "out"), 1) in list(figures.servers())
        board.verdicts.set({row["id"]: Verdict(row["id"], 15.0, True, "fine", "ok")})
        assert await figures.nobody_is_left() is None
        assert (await figures.card())["level"] == "ok"
