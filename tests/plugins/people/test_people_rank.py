"""Nobody acts upon somebody who may more: not on the account, nor on its sessions, tokens and failed tries, whatever the door."""

from __future__ import annotations

import pytest

from appliance.api.actor import ROLES, acting
from appliance.api.errors import Refused
from appliance_people import passwords
from appliance_people.accounts import ROLES_OF_PEOPLE
from appliance_people.users import Users
from tests.plugins.people.bed import box

WEB = '[plugins.web]\nlisten = "127.0.0.1:0"\n'
#: Of no password that anybody knows.
HASH = f"$argon2id$v=19$m=32768,t=2,p=1$c2FsdHNhbHQ${'A' * 43}"
#: Every operation that acts upon somebody: what it is aimed with, and a body that it would take.
ACTS_ON_PEOPLE = {
    "DELETE /api/v1/sessions/{id}": ("session", None),
    "DELETE /api/v1/tokens/{id}": ("token", None),
    "DELETE /api/v1/users/{id}": ("account", None),
    "PATCH /api/v1/users/{id}": ("account", {"role": "viewer"}),
    "POST /api/v1/tokens": ("user", {"user": "NAME", "scopes": ["self:read"], "label": "x"}),
    "POST /api/v1/users": ("role", {"name": "new one", "role": "ROLE"}),
    "POST /api/v1/users-unlock": ("user", {"user": "NAME"}),
    "POST /api/v1/users/{id}/reset": ("account", {}),
    "POST /account/sessions": ("session", {"id": "SESSION"}),
    "POST /account/tokens/revoke": ("token", {"id": "TOKEN"}),
    "POST /users": ("role", {"name": "new one", "role": "ROLE"}),
    "POST /users/{id}/remove": ("account", {}),
    "POST /users/{id}/reset": ("account", {}),
    "POST /users/{id}/role": ("account", {"role": "viewer"}),
}
#: These are about whoever asks, and can be aimed at nobody.
OF_ONES_OWN = {
    "DELETE /api/v1/session",
    "DELETE /api/v1/sessions",
    "POST /account/password",
    "POST /account/tokens",
    "POST /api/v1/session",
    "POST /api/v1/session/confirm",
    "POST /api/v1/session/password",
    "POST /api/v1/setup/claim",
    "POST /login",
    "POST /logout",
    "POST /setup",
    "POST /setup/pool",
    "POST /setup/server",
}


async def test_every_operation_on_people_is_aimed_at_each_role_by_each_role(tmp_path):
    """A new operation of the plugin has to be put into one of the two tables above."""
    async with box(tmp_path, WEB, ("people", "web")) as b:
        await b.owner()
        unsafe = {m.id: m for m in b.table.routes() if m.plugin == "people" and m.route.unsafe}
        assert unsafe.keys() == ACTS_ON_PEOPLE.keys() | OF_ONES_OWN
        askers = {role: await b.user(role, f"{role} who asks") for role in ROLES_OF_PEOPLE}
        for name, (_, body) in ACTS_ON_PEOPLE.items():
            for number, victim in enumerate(ROLES_OF_PEOPLE):
                for asker, visitor in askers.items():
                    target = await victims(b, victim, f"{victim} {len(b.people.users)}")
                    before = state(b, target)
                    reply = await aimed(visitor, unsafe[name], body, target)
                    writes = asker in ("owner", "admin")
                    may = writes and ROLES_OF_PEOPLE.index(asker) <= number
                    what = f"{name} by {asker} at {victim}: {reply.status} {reply.value}"
                    assert (reply.status < 300) == may, what
                    if not may:
                        assert reply.status in (403, 404), what
                        assert state(b, target) == before, what
                    if writes and not may:
                        text = reply.body().decode()
                        assert "more than" in text, what
                    await b.locally("DELETE", f"/api/v1/users/{target['account']}")
                    if b.people.find("new one"):
                        await b.locally("DELETE", "/api/v1/users/new one")


async def victims(b, role, name):
    """Somebody with a session and a token, who also mistyped a password: made beside the door, which would take its time."""
    user = await Users(b.people).add_user(acting("owner"), name, role, "", password_hash=HASH)
    done = await b.people.begin_session(user, "192.168.7.9", "")
    made = await b.locally("POST", "/api/v1/tokens", {"user": name, "scopes": ["self:read"], "label": "y"})
    assert made.status == 201, made.value
    return {
        "account": user.id, "user": name, "role": role, "session": done.session.id, "token": made.value["id"],
    }  # fmt: skip


def state(b, target):
    """All that is known of somebody, and how many there are."""
    people, key = b.people, target["account"]
    mine = [t.id for t in people.tokens.values() if t.account == key]
    return people.users.get(key), [s.id for s in people.sessions_of(key)], mine, sorted(people.users)


async def aimed(visitor, mounted, body, target):
    kind, _ = ACTS_ON_PEOPLE[mounted.id]
    words = {
        "NAME": target["user"],
        "ROLE": target["role"],
        "SESSION": target["session"],
        "TOKEN": target["token"],
    }
    filled = body and {
        key: words.get(value, value) if isinstance(value, str) else value for key, value in body.items()
    }
    path = mounted.path.replace("{id}", target.get(kind, ""))
    if mounted.route.page:
        return await visitor.form(path, filled)
    return await visitor.ask(mounted.route.method, path, filled)


async def test_an_admins_token_ends_no_session_of_an_owner(tmp_path):
    async with box(tmp_path) as b:
        ada = await b.owner()
        admin = await b.user("admin", "bea")
        made = await admin.post("/api/v1/tokens", {"scopes": ["users:*", "self:*"], "label": "wide"})
        program = b.visitor()
        program.bearer = made.value["token"]
        (session,) = [s for s in b.people.sessions.values() if b.people.users[s.account].name == "ada"]
        reply = await program.ask("DELETE", f"/api/v1/sessions/{session.id}")
        assert (reply.status, "ada is an owner" in reply.value["detail"]) == (403, True)
        assert (await ada.get("/api/v1/session")).status == 200


async def test_a_password_is_not_set_anew_for_who_was_made_an_owner_meanwhile(tmp_path, monkeypatch):
    """Hashing takes a while: what was looked at before may be another one after."""
    async with box(tmp_path) as b:
        await b.owner()
        await b.user("viewer", "vic")
        users, user = Users(b.people), b.people.asked("vic")

        async def promoted(password, name):
            await b.locally("PATCH", "/api/v1/users/vic", {"role": "owner"})
            return await b.people.hashing.hashed(password)

        monkeypatch.setattr(b.people, "hash_new", promoted)
        with pytest.raises(Refused, match="more than admin may"):
            await users.reset_password(acting("admin"), user, passwords.generated())
        assert b.people.asked("vic").password == user.password


async def test_the_page_offers_an_admin_neither_the_owners_account_nor_their_role(tmp_path):
    async with box(tmp_path, WEB, ("people", "web")) as b:
        await b.owner()
        admin, owner = await b.user("admin", "bea"), b.people.asked("ada")
        page = (await admin.get("/users")).body().decode()
        assert f'action="/users/{owner.id}/' not in page
        assert "only another owner changes this account" in page
        assert "<option>owner" not in page
        assert "<option>operator" in page
    assert {"owner", "admin"} == {r for r in ROLES if "users:*" in ROLES[r]}
