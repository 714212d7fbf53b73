"""What the operations answer is what their document says, field by field, for an owner whom the contract test does not play."""

from __future__ import annotations

import json

import jsonschema_rs

from tests.plugins.people.bed import OWNER_PASSWORD, box


def documented(b):
    """The plugin's operations by method and path, from the live table."""
    return {
        (m.route.method, m.path): m.route
        for m in b.table.routes()
        if m.plugin == "people" and not m.route.page
    }


def checking(b):
    routes = documented(b)

    def check(reply, method, path):
        route = routes[method, path]
        assert reply.status == route.status, (method, path, reply.value)
        jsonschema_rs.validate(dict(route.returns), json.loads(reply.body()))
        return reply.value

    return check


async def test_every_answer_has_the_documented_shape_and_status(tmp_path):
    async with box(tmp_path) as b:
        check = checking(b)
        check(await b.locally("GET", "/api/v1/setup/code"), "GET", "/api/v1/setup/code")
        visitor = b.visitor()
        code, _ = b.claim.current()
        claim = {"code": code, "name": "ada", "password": OWNER_PASSWORD}
        check(await visitor.post("/api/v1/setup/claim", claim), "POST", "/api/v1/setup/claim")
        sign_in = {"name": "ada", "password": OWNER_PASSWORD}
        check(await visitor.post("/api/v1/session", sign_in), "POST", "/api/v1/session")
        again = {"password": OWNER_PASSWORD}
        check(await visitor.post("/api/v1/session/confirm", again), "POST", "/api/v1/session/confirm")
        eve = {"name": "eve", "role": "viewer"}
        assert "password" in check(await visitor.post("/api/v1/users", eve), "POST", "/api/v1/users")
        token = {"scopes": ["servers:read"]}
        check(await visitor.post("/api/v1/tokens", token), "POST", "/api/v1/tokens")
        role = {"role": "operator"}
        check(await visitor.ask("PATCH", "/api/v1/users/eve", role), "PATCH", "/api/v1/users/{id}")
        check(await visitor.post("/api/v1/users/eve/reset", {}), "POST", "/api/v1/users/{id}/reset")
        check(await visitor.post("/api/v1/users-unlock", {"user": "eve"}), "POST", "/api/v1/users-unlock")
        looked = (
            "session", "sessions", "tokens", "users", "roles", "audit", "audit/verify", "setup",
        )  # fmt: skip
        for path in looked:
            check(await visitor.get(f"/api/v1/{path}"), "GET", f"/api/v1/{path}")
        new = {"old_password": OWNER_PASSWORD, "new_password": "another lantern soup"}
        check(await visitor.post("/api/v1/session/password", new), "POST", "/api/v1/session/password")
        check(await visitor.ask("DELETE", "/api/v1/sessions"), "DELETE", "/api/v1/sessions")


async def test_every_operation_says_what_it_answers(tmp_path):
    async with box(tmp_path) as b:
        silent = [
            key for key, route in documented(b).items()
            if route.returns is None and route.status != 204 and route.produces == ("application/json",)
        ]  # fmt: skip
        assert silent == []
