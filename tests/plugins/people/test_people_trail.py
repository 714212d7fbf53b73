"""The audit trail of a running appliance: through every door, whatever came of it, and never with a secret in it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from appliance.api.errors import StoreError
from appliance_people import keeping
from appliance_people.audit import sealed
from appliance_people.trail import STRANGERS_AT_ONCE
from tests.plugins.people.bed import AFAR, LAN, OWNER_PASSWORD, box
from tests.support.wait import wait_for


async def test_who_did_what_from_where_with_which_result(tmp_path):
    async with box(tmp_path, plugins=("people", "members")) as b:
        owner = await b.owner()
        await owner.post("/api/v1/members", {"address": "192.0.2.1", "force": True})
        await owner.post("/api/v1/members", {"address": ""})
        await b.locally("POST", "/api/v1/users", {"name": "eve", "role": "viewer"})
        program = b.visitor(AFAR)
        program.bearer = (await owner.post("/api/v1/tokens", {"scopes": ["servers:read"]})).value["token"]
        await program.post("/api/v1/members", {"address": "192.0.2.2"})
        rows = list(reversed(await b.rows()))
        told = [(r["action"], r["actor"], r["kind"], r["address"], r["status"]) for r in rows]
        assert told == [
            ("POST /api/v1/setup/claim", "ada", "session", LAN, 200),
            ("POST /api/v1/members", "ada", "session", LAN, 201),
            ("POST /api/v1/members", "ada", "session", LAN, 422),
            ("POST /api/v1/users", "local:root", "local", "", 201),
            ("POST /api/v1/tokens", "ada", "session", LAN, 201),
            ("POST /api/v1/members", rows[5]["actor"], "token", AFAR, 403),
        ]
        assert rows[1]["via"] in b.people.sessions
        assert rows[5]["via"] in b.people.tokens
        assert json.loads(rows[1]["after"])["address"] == "192.0.2.1"
        assert rows[3]["target"] == "eve"
        assert len({r["request"] for r in rows}) == 6


async def test_before_and_after_of_a_change(tmp_path):
    async with box(tmp_path) as b:
        await b.owner()
        await b.user("viewer", "eve")
        await b.locally("PATCH", "/api/v1/users/eve", {"role": "admin"})
        row = (await b.rows())[0]
        assert (row["target"], json.loads(row["before"]), json.loads(row["after"])) == (
            "eve",
            {"role": "viewer"},
            {"role": "admin"},
        )


async def test_before_and_after_of_a_member_and_of_the_configuration(tmp_path):
    config = tmp_path / "timeball.toml"
    config.write_text('[plugins.web]\nlisten = "127.0.0.1:0"\n')
    async with box(tmp_path / "state", plugins=("people", "members", "web"), config_file=config) as b:
        reply = await b.locally("POST", "/api/v1/members", {"address": "192.0.2.1", "force": True})
        key = reply.value["created"][0]["id"]
        await b.locally("PATCH", f"/api/v1/members/{key}", {"netspeed": 250, "note": "in the attic"})
        row = (await b.rows())[0]
        assert row["target"] == f"192.0.2.1 {key}"
        assert json.loads(row["before"]) == {"netspeed": 1000, "note": ""}
        assert json.loads(row["after"]) == {"netspeed": 250, "note": "in the attic"}
        await b.locally("DELETE", f"/api/v1/members/{key}")
        row = (await b.rows())[0]
        assert json.loads(row["before"])["netspeed"] == 250
        assert row["after"] == ""
        reply = await b.locally("PATCH", "/api/v1/config", {"set": {"plugins.web.reads_per_minute": 777}})
        assert reply.status == 200, reply.value
        row = (await b.rows())[0]
        assert json.loads(row["before"]) == {"plugins.web.reads_per_minute": None}
        assert json.loads(row["after"]) == {"plugins.web.reads_per_minute": 777}


async def test_a_forged_form_is_refused_and_leaves_a_row(tmp_path):
    async with box(tmp_path) as b:
        owner = await b.owner()
        owner.headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
        reply = await owner.form("/api/v1/users", {"name": "eve", "role": "admin"})
        assert (reply.status, reply.value["code"]) == (403, "cross_site")
        assert (await owner.ask("DELETE", "/api/v1/session")).value["code"] == "cross_site"
        rows = await b.rows()
        assert [(r["action"], r["actor"], r["status"]) for r in rows[:2]] == [
            ("DELETE /api/v1/session", "ada", 403),
            ("POST /api/v1/users", "ada", 403),
        ]
        assert [user.name for user in b.people.users.values()] == ["ada"]


async def test_no_secret_is_written_down(tmp_path, caplog):
    async with box(tmp_path) as b:
        caplog.set_level("INFO")
        code, _ = b.claim.current()
        owner = await b.owner()
        await b.visitor().post("/api/v1/session", {"name": "ada", "password": "a wrong one of mine"})
        await owner.form("/api/v1/session", {"name": "ada", "password": "posted as a form"})
        made = (
            await b.locally("POST", "/api/v1/users", {"name": "eve", "password": "another lantern soup"})
        ).value
        reset = (await b.locally("POST", "/api/v1/users/eve/reset", {})).value["password"]
        text = json.dumps(await b.rows()) + caplog.text.replace(code, "", 1)
        for secret in (
            OWNER_PASSWORD,
            "a wrong one of mine",
            "posted as a form",
            "another lantern soup",
            reset,
            code,
        ):
            assert secret not in text
        assert "password" not in made
        assert "(hidden)" in text


async def test_a_failed_sign_in_leaves_a_row_with_the_name_that_was_tried(tmp_path):
    async with box(tmp_path) as b:
        await b.owner()
        name = "<script>alert(1)</script>\u2028"
        await b.visitor(AFAR).post("/api/v1/session", {"name": name, "password": "x"})
        row = (await b.rows())[0]
        assert (row["actor"], row["target"], row["address"], row["status"]) == (
            "nobody",
            name,
            AFAR,
            401,
        )


async def test_strangers_cannot_fill_the_disk_with_refusals(tmp_path):
    async with box(tmp_path, plugins=("people", "members")) as b:
        await b.owner()
        for _ in range(STRANGERS_AT_ONCE + 40):
            await b.visitor(AFAR).post("/api/v1/members", {"address": "192.0.2.1"})
        assert len(await b.rows(limit=1000)) == 1 + STRANGERS_AT_ONCE
        await b.locally("POST", "/api/v1/users-unlock", {"user": "ada"})
        assert (
            json.loads((await b.rows())[0]["after"])["refusals_of_strangers_only_counted_before_this"] == 40
        )


async def test_pages_filters_and_csv(tmp_path):
    async with box(tmp_path) as b:
        owner = await b.owner()
        for i in range(5):
            await b.locally("POST", "/api/v1/users", {"name": f"={i}+1", "role": "viewer"})
        first = (await owner.get("/api/v1/audit", limit=2)).value
        assert [r["seq"] for r in first["rows"]] == [6, 5]
        second = (await owner.get("/api/v1/audit", limit=2, before=first["next_before"])).value
        assert [r["seq"] for r in second["rows"]] == [4, 3]
        assert (await owner.get("/api/v1/audit", limit=2, before=2)).value["next_before"] is None
        assert [r["seq"] for r in (await owner.get("/api/v1/audit", actor="ADA")).value["rows"]] == [1]
        assert len((await owner.get("/api/v1/audit", words="users")).value["rows"]) == 5
        assert (await owner.get("/api/v1/audit", since=9e9)).value["rows"] == []
        text = (await owner.get("/api/v1/audit.csv")).body().decode()
        assert ",'=0+1," in text
        assert (await owner.get("/api/v1/audit", limit=0)).status == 422


async def test_the_database_itself_refuses_to_change_or_remove_a_row(tmp_path):
    async with box(tmp_path) as b:
        await b.owner()
    with sqlite3.connect(tmp_path / "timeball.db") as db:
        for statement in ("update people__audit set actor = 'eve'", "delete from people__audit"):
            with pytest.raises(sqlite3.IntegrityError, match="only added to"):
                db.execute(statement)
    db.close()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("update people__audit set actor = 'eve' where seq = 2", "content is not what was written"),
        ("delete from people__audit where seq = 2", "row 2 missing before it"),
        (
            "update people__audit set seq = 100 where seq = 2; update people__audit set seq = 2 where seq = 3; update people__audit set seq = 3 where seq = 100",
            "content is not",
        ),
        ("delete from people__audit where seq >= 3", "written and are missing at the end"),
        ("delete from people__audit", "rows 1 to 4 were written and are missing at the end"),
    ],
)
async def test_what_somebody_with_the_database_in_his_hands_did_is_found(tmp_path, damage, said):
    async with box(tmp_path) as b:
        await b.owner()
        for i in range(3):
            await b.locally("POST", "/api/v1/users", {"name": f"u{i}", "role": "viewer"})
        assert (await b.locally("GET", "/api/v1/audit/verify")).value == {
            "whole": True,
            "rows": 4,
            "findings": [],
        }
    with sqlite3.connect(tmp_path / "timeball.db") as db:
        db.executescript(
            "drop trigger people__audit_no_update; drop trigger people__audit_no_delete;" + damage
        )
    db.close()
    async with box(tmp_path) as b:
        value = (await b.locally("GET", "/api/v1/audit/verify")).value
        assert not value["whole"]
        assert said in value["findings"][0]["what"]
    # Whoever looks signs in first, which is a row: it must not close the gap.
    for _ in range(2):
        async with box(tmp_path) as b:
            await b.locally("POST", "/api/v1/users", {"name": "late", "role": "viewer"})
            assert not (await b.locally("GET", "/api/v1/audit/verify")).value["whole"]


async def test_the_trail_is_verified_by_itself_and_the_doctor_tells_what_was_done_to_it(tmp_path, caplog):
    async def doctors(b):
        checks = (await b.locally("GET", "/api/v1/doctor")).value["checks"]
        return next(one for one in checks if "audit" in one["id"])

    async def looked(b):
        return (await b.locally("GET", "/api/v1/audit")).value["verified"]

    async with box(tmp_path) as b:
        await b.owner()
        assert await looked(b) is None
        await b.clock.advance(301)
        verified = await wait_for(lambda: looked(b), "the first look")
        assert (verified["whole"], verified["rows"]) == (True, 1)
        assert (await doctors(b))["level"] == "ok"
        await b.locally("POST", "/api/v1/users", {"name": "bob", "role": "viewer"})
        await b.clock.advance(3600)
        assert await looked(b) == verified, "once a day"
    with closing(sqlite3.connect(tmp_path / "timeball.db")) as db:
        db.executescript(
            "drop trigger people__audit_no_update; update people__audit set actor = 'eve' where seq = 1"
        )
    async with box(tmp_path) as b:
        await b.clock.advance(301)
        assert (await wait_for(lambda: looked(b), "the first look"))["whole"] is False
        told = await doctors(b)
        assert told["level"] == "info"
        assert told["evidence"][0] == "row 1: its content is not what was written"
        assert caplog.text.count("the audit trail is not whole: row 1") == 1


async def test_a_row_that_somebody_else_added_is_found(tmp_path):
    """It follows the chain as it should; only who writes the chain knows that it is none of his."""
    async with box(tmp_path) as b:
        await b.owner()
        (newest,) = await b.app.store.read(keeping.rows_after(0, 10))
        forged = sealed(replace(newest, seq=2, actor="eve", action="POST /api/v1/users"), newest.hash)
        await b.app.store.write(keeping.add_rows([forged]))
        value = (await b.locally("GET", "/api/v1/audit/verify")).value
        assert value["findings"] == [{"seq": 2, "what": "somebody else has written it, and what follows it"}]


async def test_rows_wait_for_a_disk_that_is_full_and_what_was_done_is_done(tmp_path):
    async with box(tmp_path) as b:
        await b.owner()
        real = b.trail._store

        class Full:
            read = real.read

            async def write(self, fn):
                raise StoreError("the disk is full")

        b.trail._store = Full()
        assert (await b.locally("POST", "/api/v1/users-unlock", {"user": "x"})).status == 200
        assert (await b.locally("POST", "/api/v1/users-unlock", {"user": "y"})).status == 200
        b.trail._store = real
        await b.trail.flush()
        assert [r["target"] for r in await b.rows()][:2] == ["account:y", "account:x"]
        assert (await b.locally("GET", "/api/v1/audit/verify")).value["whole"]
