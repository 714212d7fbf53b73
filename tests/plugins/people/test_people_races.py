"""Two changes of people at one moment: neither is undone by the other, and what is kept says the same as what is known."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from appliance_people import keeping
from appliance_people.accounts import owners
from tests.plugins.people.bed import OWNER_PASSWORD, box

SIGN_IN = "/api/v1/session"


@asynccontextmanager
async def slow_box(tmp_path):
    """Each change takes its time on the way to the disk, so that others come in between."""
    async with box(tmp_path) as b:
        write = b.people.store.write

        async def slowly(change):
            for _ in range(20):
                await asyncio.sleep(0)
            return await write(change)

        b.people.store = type("SlowStore", (), {"write": staticmethod(slowly), "read": b.people.store.read})()
        yield b


async def kept_as_known(b):
    users, sessions, _, _ = await b.people.store.read(keeping.everything)
    assert {user.id: user for user in users} == b.people.users
    assert {session.id for session in sessions} == set(b.people.sessions)


async def test_two_owners_who_demote_each_other_leave_the_box_an_owner(tmp_path):
    async with slow_box(tmp_path) as b:
        ada, eve = await b.owner(), await b.user("owner", "eve")
        done = await asyncio.gather(
            ada.ask("PATCH", "/api/v1/users/eve", {"role": "viewer"}),
            eve.ask("PATCH", "/api/v1/users/ada", {"role": "viewer"}),
        )
        assert sorted(reply.status for reply in done) == [200, 409]
        assert len(owners(b.people.users)) == 1
        await kept_as_known(b)


async def test_two_owners_who_remove_each_other_leave_the_box_an_owner(tmp_path):
    async with slow_box(tmp_path) as b:
        ada, eve = await b.owner(), await b.user("owner", "eve")
        done = await asyncio.gather(
            ada.ask("DELETE", "/api/v1/users/eve"), eve.ask("DELETE", "/api/v1/users/ada")
        )
        assert sum(reply.status == 204 for reply in done) == 1
        assert len(owners(b.people.users)) == 1
        await kept_as_known(b)


async def test_two_users_of_one_name_at_one_moment_are_one(tmp_path):
    async with slow_box(tmp_path) as b:
        ada = await b.owner()
        bodies = [{"name": name, "role": "viewer"} for name in ("bob", "BOB", " bob ")]
        done = await asyncio.gather(*(ada.post("/api/v1/users", body) for body in bodies))
        assert sorted(reply.status for reply in done) == [201, 409, 409]
        assert len(b.people.users) == 2
        await kept_as_known(b)


async def test_a_role_that_is_taken_while_somebody_signs_in_stays_taken(tmp_path):
    async with slow_box(tmp_path) as b:
        ada, bob = await b.owner(), await b.user("admin", "bob")
        body = {"name": "bob", "password": f"{OWNER_PASSWORD} of bob"}
        real = b.people.hashing.matches
        compared = asyncio.Event()

        async def tells(password, kept):
            found = await real(password, kept)
            compared.set()
            return found

        b.people.hashing.matches = tells

        async def demote():
            await compared.wait()
            return await ada.ask("PATCH", "/api/v1/users/bob", {"role": "viewer"})

        signed_in, demoted = await asyncio.gather(b.visitor().post(SIGN_IN, body), demote())
        assert (signed_in.status, demoted.status) == (200, 200)
        assert b.people.find("bob").role == "viewer"
        assert (await bob.get("/api/v1/users")).status == 403
        await kept_as_known(b)


async def test_a_new_password_is_not_undone_by_who_signs_in_with_the_old_one(tmp_path):
    async with slow_box(tmp_path) as b:
        ada = await b.owner()
        await b.user("viewer", "bob")
        old, new = f"{OWNER_PASSWORD} of bob", "another lantern soup"
        thieves = [b.visitor(f"10.1.{i}.1") for i in range(6)]

        async def reset():
            return await ada.post("/api/v1/users/bob/reset", {"password": new})

        await asyncio.gather(reset(), *(t.post(SIGN_IN, {"name": "bob", "password": old}) for t in thieves))
        for thief in thieves:
            assert (await thief.get(SIGN_IN)).status == 401
        assert (await b.visitor().post(SIGN_IN, {"name": "bob", "password": new})).status == 200
        await kept_as_known(b)


async def test_who_knows_the_old_password_alone_does_not_outrun_a_reset(tmp_path):
    async with slow_box(tmp_path) as b:
        ada, thief = await b.owner(), await b.user("viewer", "bob")
        old, new = f"{OWNER_PASSWORD} of bob", "another lantern soup"
        real = b.people.hashing.matches

        async def meanwhile(password, kept):
            found = await real(password, kept)
            b.people.hashing.matches = real
            assert (await ada.post("/api/v1/users/bob/reset", {"password": new})).status == 200
            return found

        b.people.hashing.matches = meanwhile
        body = {"old_password": old, "new_password": "a lantern of thieves"}
        reply = await thief.post("/api/v1/session/password", body)
        assert (reply.status, reply.value["code"]) == (409, "conflict")
        assert (await b.visitor().post(SIGN_IN, {"name": "bob", "password": new})).status == 200
        await kept_as_known(b)


@pytest.mark.parametrize(
    "spelling", ["bob{}", "{}bob", "BOB{}"], ids=["spaces behind", "spaces before", "another case"]
)
async def test_another_spelling_of_a_name_buys_no_further_tries(tmp_path, spelling):
    async with box(tmp_path) as b:
        await b.owner()
        await b.user("viewer", "bob")
        spaces = [" ", "  ", "\t", "\u00a0", "\u2003", "\u3000", " \u2003"]
        found = [
            (
                await b.visitor(f"10.2.{i}.1").post(
                    SIGN_IN, {"name": spelling.format(s), "password": "wrong guess"}
                )
            ).status
            for i, s in enumerate(spaces)
        ]
        assert found == [401] * 3 + [429] * 4


async def test_the_id_of_a_user_buys_no_further_tries_either(tmp_path):
    async with box(tmp_path) as b:
        await b.owner()
        await b.user("viewer", "bob")
        names = ["bob", b.people.find("bob").id] * 3
        found = [
            (await b.visitor(f"10.2.{i}.1").post(SIGN_IN, {"name": name, "password": "wrong guess"})).status
            for i, name in enumerate(names)
        ]
        assert found == [401] * 3 + [429] * 3
