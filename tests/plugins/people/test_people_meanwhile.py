"""What is revoked is over at once, also for what was begun before: a body on its way, a stream that is listened to."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from appliance_web import listener
from tests.plugins.people.bed import OWNER_PASSWORD
from tests.plugins.people.test_people_attacks import JSON, MEMBER, OURS, Attack, victim
from tests.plugins.web.visiting import address

ADMIN = {"name": "bob", "role": "admin", "password": f"{OWNER_PASSWORD} of bob"}


@asynccontextmanager
async def begun(box, head, *, method="POST", path="/api/v1/members", body=b""):
    """A request that was sent up to the first byte of its body."""
    host, port = address(box.app).removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        fields = ["Host: 127.0.0.1", *head, *([f"Content-Length: {len(body)}"] if body else [])]
        writer.write("\r\n".join([f"{method} {path} HTTP/1.1", *fields, "", ""]).encode() + body[:1])
        await writer.drain()
        yield reader, writer
    finally:
        writer.close()


async def bob(box):
    """Somebody who may change members; his cookie and a token of his."""
    await box.app.post("/api/v1/users", ADMIN)
    body = b'{"name": "bob", "password": "%s"}' % ADMIN["password"].encode()
    _, head, _ = await box.send(Attack("", 200, "", "", path="/api/v1/session", head=(JSON, OURS), body=body))
    cookie = next(
        line.split(b": ")[1].split(b";")[0].decode() for line in head.splitlines() if b"et-Cookie: " in line
    )
    made = await box.app.post(
        "/api/v1/tokens", {"label": "x", "scopes": ["servers:*", "*:read"], "user": "bob"}
    )
    return cookie, made


async def is_signed_out(box, _cookie, _token):
    """By somebody who looks after users."""
    sessions = await box.app.get("/api/v1/sessions", all="true")
    ended = [s["id"] for s in sessions if s["user"] == "bob"]
    assert (await box.app.ask("DELETE", f"/api/v1/sessions/{ended[0]}")).status == 204


async def is_removed(box, _cookie, _token):
    assert (await box.app.ask("DELETE", "/api/v1/users/bob")).status == 204


async def becomes_a_viewer(box, _cookie, _token):
    assert (await box.app.ask("PATCH", "/api/v1/users/bob", body={"role": "viewer"})).status == 200


async def has_a_new_password(box, _cookie, _token):
    assert (await box.app.ask("POST", "/api/v1/users/bob/reset", body={})).status == 200


async def is_revoked(box, _cookie, token):
    assert (await box.app.ask("DELETE", f"/api/v1/tokens/{token['id']}")).status == 204


@pytest.mark.parametrize(
    ("by", "meanwhile", "status"),
    [
        ("cookie", is_signed_out, 401),
        ("cookie", is_removed, 401),
        ("cookie", becomes_a_viewer, 403),
        ("cookie", has_a_new_password, 401),
        ("token", is_removed, 401),
        ("token", becomes_a_viewer, 403),
        ("token", is_revoked, 401),
    ],
)
async def test_what_comes_slowly_is_not_done_for_who_was_sent_away_meanwhile(
    tmp_path, monkeypatch, by, meanwhile, status
):
    reading, read = asyncio.Event(), listener.body_of

    async def told(raw, most):
        if raw.path == "/api/v1/members":
            reading.set()
        return await read(raw, most)

    monkeypatch.setattr(listener, "body_of", told)
    async with victim(tmp_path) as box:
        cookie, token = await bob(box)
        shown = (
            (f"Cookie: {cookie}", OURS) if by == "cookie" else (f"Authorization: Bearer {token['token']}",)
        )
        async with begun(box, (JSON, *shown), body=MEMBER) as (reader, writer):
            async with asyncio.timeout(60):
                await reading.wait()
            await meanwhile(box, cookie, token)
            writer.write(MEMBER[1:])
            async with asyncio.timeout(60):
                head = await reader.readuntil(b"\r\n\r\n")
        assert int(head.split()[1]) == status
        assert await box.app.get("/api/v1/members") == []
        row = (await box.rows())[-1]
        assert (row["address"], row["status"]) == ("127.0.0.1", status)


@pytest.mark.parametrize("meanwhile", [is_signed_out, is_removed, becomes_a_viewer, has_a_new_password])
async def test_a_live_page_ends_with_its_session(tmp_path, meanwhile):
    async with victim(tmp_path) as box:
        cookie, token = await bob(box)
        head = (f"Cookie: {cookie}",)
        async with begun(box, head, method="GET", path="/api/v1/events") as (reader, _):
            async with asyncio.timeout(60):
                await reader.readuntil(b"retry: 3000\n\n")
                await meanwhile(box, cookie, token)
                await box.app.post("/api/v1/members", {"address": "192.0.2.67", "force": True})
                assert b"192.0.2.67" not in await reader.read()  # to its end


async def test_a_live_page_goes_on_while_its_session_does(tmp_path):
    async with victim(tmp_path) as box:
        cookie, _ = await bob(box)
        async with begun(box, (f"Cookie: {cookie}",), method="GET", path="/api/v1/events") as (reader, _):
            async with asyncio.timeout(60):
                await reader.readuntil(b"retry: 3000\n\n")
                await box.app.post("/api/v1/members", {"address": "192.0.2.67", "force": True})
                await reader.readuntil(b"event: member\n")
