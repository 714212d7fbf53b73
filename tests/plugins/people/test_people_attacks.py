"""Attacks against the real listener: each is refused with a clear error, leaves a row in the audit trail, and changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass

import pytest

from appliance.testing import running
from appliance_people.claim import Claim
from appliance_people.trail import Trail
from appliance_people.turned_away import AT_ONCE, MINUTE_S, Refusal, TurnedAway
from appliance_web import doorman, listener
from tests.plugins.people.bed import OWNER_PASSWORD
from tests.plugins.web.visiting import address

CONFIG = """
[plugins.web]
listen = "127.0.0.1:0"
trust_loopback = "no"
changes_per_minute = 30
"""
MEMBER = b'{"address": "192.0.2.66", "force": true}'
JSON = "Content-Type: application/json"
OURS = "Sec-Fetch-Site: same-origin"


@dataclass
class Attack:
    """One attempt.

    Attributes:
        head: fields besides Host; {cookie} and {token} are filled in with what was stolen.
        answer: HTTP status; 0 when the connection just ends.
        code: of the problem.
        row: what the audit trail calls it.
        actor: beginning of the name that stands there.
        raw: all of it, in place of a request made from the rest.
        times: it is sent so often at most, until the answer is as it should be.
    """

    name: str
    answer: int
    code: str
    row: str
    actor: str = "nobody"
    method: str = "POST"
    path: str = "/api/v1/members"
    host: str = "127.0.0.1"
    head: tuple[str, ...] = ()
    body: bytes = MEMBER
    raw: bytes = b""
    times: int = 1

    def request(self, cookie, token):
        if self.raw:
            return self.raw.replace(b"{cookie}", cookie.encode())
        sized = not any(field.startswith(("Content-Length", "Transfer-Encoding")) for field in self.head)
        fields = [f"Host: {self.host}", *self.head, *([f"Content-Length: {len(self.body)}"] if sized else [])]
        head = "\r\n".join([f"{self.method} {self.path} HTTP/1.1", *fields, "", ""])
        return head.replace("{cookie}", cookie).replace("{token}", token).encode() + self.body


COOKIE, TOKEN = "Cookie: {cookie}", "Authorization: Bearer {token}"
FORM = "Content-Type: application/x-www-form-urlencoded"
HEAD = (
    b"POST /api/v1/members HTTP/1.1\r\nHost: 127.0.0.1\r\nSec-Fetch-Site: same-origin\r\nCookie: {cookie}\r\n"
)
ADD = "POST /api/v1/members"
ATTACKS = [
    Attack("a page of a second origin", 403, "cross_site", ADD, "ada", head=(COOKIE, JSON, "Origin: http://127.0.0.1:9")),
    Attack("a page without an origin", 403, "cross_site", ADD, "ada", head=(COOKIE, JSON, "Origin: null")),
    Attack("a program with a cookie", 403, "cross_site", ADD, "ada", head=(COOKIE, JSON)),
    Attack("a name that was rebound to us", 421, "unknown_host", "refused unknown_host", head=(COOKIE, JSON, "Origin: http://evil.example"), host="evil.example"),
    Attack("a forged form", 403, "cross_site", "POST /members/add", "ada", path="/members/add", head=(COOKIE, FORM, "Sec-Fetch-Site: cross-site"), body=b"address=192.0.2.66&force=1"),
    Attack("a forged form for the API", 403, "cross_site", ADD, "ada", head=(COOKIE, "Content-Type: text/plain", "Sec-Fetch-Site: cross-site")),
    Attack("a stolen token that may only look", 403, "refused", ADD, "ada's token reader", head=(TOKEN, JSON)),
    Attack("a token made up", 401, "login_required", "refused login_required", head=("Authorization: Bearer timeball_x_y", JSON)),
    Attack("nobody at all", 401, "login_required", ADD, head=(OURS, JSON)),
    Attack("nobody, who says not where it comes from", 401, "login_required", ADD, head=(JSON,)),
    Attack("a body too large", 413, "too_large", "refused too_large", "ada", head=(COOKIE, JSON, OURS), body=b"x" * 200_000),
    Attack("a body that is said to be too large", 413, "too_large", "refused too_large", "ada", head=(COOKIE, JSON, OURS, "Content-Length: 9999999999")),
    Attack("a body that is no JSON", 400, "bad_request", ADD, "ada", head=(COOKIE, JSON, OURS), body=b'{"address": "192.0.2.66"'),
    Attack("a body that is nested without end", 400, "bad_request", ADD, "ada", head=(COOKIE, JSON, OURS), body=b"[" * 60_000),
    Attack("a body of another shape", 422, "invalid", ADD, "ada", head=(COOKIE, JSON, OURS), body=b'{"address": "192.0.2.66", "owner": "me"}'),
    Attack("a body of another kind", 415, "unsupported_media_type", ADD, "ada", head=(COOKIE, OURS, FORM), body=b"address=192.0.2.66"),
    Attack("a body that is packed", 415, "unsupported_media_type", "refused unsupported_media_type", head=(COOKIE, JSON, OURS, "Content-Encoding: gzip")),
    Attack("chunks that are none", 400, "malformed", "refused malformed", head=(COOKIE, JSON, OURS, "Transfer-Encoding: chunked"), body=b"zz\r\nabc\r\n"),
    Attack("a head that is none", 400, "malformed", "refused malformed", raw=b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    Attack("two lengths", 400, "malformed", "refused malformed", raw=HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    Attack("a head too large", 431, "head_too_large", "refused head_too_large", raw=HEAD + b"X: " + b"x" * 20_000 + b"\r\n\r\n"),
    Attack("a method of ours to trace", 405, "method_not_allowed", "refused method_not_allowed", method="TRACE", head=(COOKIE,), body=b""),
    Attack("a body that does not come", 408, "too_slow", "refused too_slow", "ada", head=(COOKIE, JSON, OURS, "Content-Length: 40"), body=b"{"),
    Attack("a head that does not come", 0, "", "refused too_slow", raw=HEAD),
    Attack("a token over plain HTTP through somebody in between", 403, "plain_http", "refused plain_http", head=(TOKEN, JSON, "X-Forwarded-For: 203.0.113.9")),
    Attack("plain HTTP through somebody in between", 403, "https_required", "refused https_required", head=(COOKIE, JSON, OURS, "X-Forwarded-For: 203.0.113.9")),
    Attack("more changes than a minute has room for", 429, "too_many_requests", "refused too_many_requests", head=(OURS, JSON), times=1000),
]  # fmt: skip


class Victim:
    """The box, with an owner who is signed in and a token that may only look."""

    def __init__(self, app):
        self.app = app
        self.trail = app.host.services.get(Trail)
        self.cookie = self.token = ""

    async def settle(self):
        code, _ = self.app.host.services.get(Claim).current()
        body = json.dumps({"code": code, "name": "ada", "password": OWNER_PASSWORD}).encode()
        claim = Attack("", 200, "", "", path="/api/v1/setup/claim", head=(JSON, OURS), body=body)
        status, head, _ = await self.send(claim)
        assert status == 200
        self.cookie = next(
            line.split(b": ")[1].split(b";")[0].decode()
            for line in head.splitlines()
            if b"et-Cookie: " in line
        )
        self.token = (await self.app.post("/api/v1/tokens", {"label": "reader", "scopes": ["*:read"]}))[
            "token"
        ]

    async def send(self, attack):
        """Status, head and problem of the answer; status 0 when the connection just ended."""
        host, port = address(self.app).removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            async with asyncio.timeout(60):
                with contextlib.suppress(ConnectionError):
                    writer.write(attack.request(self.cookie, self.token))
                    await writer.drain()
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                except (asyncio.IncompleteReadError, ConnectionError):
                    return 0, b"", {}
                length = next(
                    int(line[15:]) for line in head.splitlines() if line.lower().startswith(b"content-length")
                )
                body = await reader.readexactly(length)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        return int(head.split()[1]), head, json.loads(body or b"{}")

    async def state(self):
        """All that an attack could change."""
        paths = ("members", "users", "config", "tls")
        found = {path: await self.app.get(f"/api/v1/{path}") for path in paths}
        tokens = await self.app.get("/api/v1/tokens", all="true")
        return found | {"tokens": [token["id"] for token in tokens]}

    async def rows(self):
        await self.trail.write_refusals(end=True)
        return list(reversed((await self.app.get("/api/v1/audit", limit=1000))["rows"]))


@contextlib.asynccontextmanager
async def victim(tmp_path):
    async with running(["people", "web", "members"], CONFIG, state_dir=tmp_path) as app:
        await app.until_running()
        found = Victim(app)
        await found.settle()
        yield found


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.name)
async def test_an_attack_is_refused_told_and_written_down_and_changes_nothing(tmp_path, monkeypatch, attack):
    monkeypatch.setattr(listener, "BODY_S", 1.0)
    monkeypatch.setattr(listener, "SLOWEST_BYTES_PER_S", 1e9)
    if attack.answer == 0:
        monkeypatch.setattr(doorman, "FIRST_REQUEST_S", 1.0)
    async with victim(tmp_path) as box:
        before, old = await box.state(), await box.rows()
        for _ in range(attack.times):
            status, head, problem = await box.send(attack)
            if status == attack.answer:
                break
        assert (status, problem.get("code", "")) == (attack.answer, attack.code)
        if status:
            assert len(problem["detail"]) > 10
            assert problem["request_id"].encode() in head
        assert await box.state() == before
        row = (await box.rows())[-1]
        assert row["seq"] > old[-1]["seq"]
        assert (row["action"], row["status"]) == (attack.row, attack.answer or 408)
        assert row["actor"].startswith(attack.actor)
        assert row["address"] == "127.0.0.1"
        if status:
            assert row["request"] == problem["request_id"]
        assert (await box.app.get("/api/v1/audit/verify"))["whole"]


async def test_a_flood_of_refusals_leaves_one_row_and_a_number(tmp_path):
    async with victim(tmp_path) as box:
        old = len(await box.rows())
        for _ in range(20):
            assert (await box.send(ATTACKS[3]))[0] == 421
        first, rest = (await box.rows())[old:]
        assert (first["target"], first["after"]) == ("POST /api/v1/members", "")
        assert json.loads(rest["after"]) == {"count": 19, "within_s": MINUTE_S}


def refusal(address="192.0.2.1", reason="unknown_host"):
    return Refusal(reason, 421, address, "GET /", "r")


def test_the_first_is_told_at_once_and_the_rest_when_its_minute_is_over():
    counted = TurnedAway()
    for second in range(5):
        counted.refused(refusal(), 100.0 + second)
    counted.refused(refusal(reason="malformed"), 105.0)
    assert [(line.refusal.reason, line.more) for line in counted.due(106.0)] == [
        ("unknown_host", 0),
        ("malformed", 0),
    ]
    assert counted.due(159.9) == []
    assert [(line.refusal.reason, line.more) for line in counted.due(160.0)] == [("unknown_host", 4)]
    assert counted.due(1000.0) == []
    counted.refused(refusal(), 1000.0)
    assert len(counted.due(1000.0)) == 1


def test_however_many_come_from_however_many_addresses_the_rows_of_a_day_are_bounded_and_all_are_counted():
    counted, rows, told, sent = TurnedAway(), 0, 0, 0
    for minute in range(1440):
        for number in range(200):
            counted.refused(refusal(f"10.{minute % 256}.{number}.{minute // 256}"), minute * 60.0)
            counted.refused(refusal(f"10.{minute % 256}.{number}.{minute // 256}"), minute * 60.0)
            sent += 2
        lines = counted.due(minute * 60.0 + 59)
        rows += len(lines)
        told += sum(line.more or sum(line.others.values()) or 1 for line in lines)
    lines = counted.due(1e9)
    rows += len(lines)
    told += sum(line.more or sum(line.others.values()) or 1 for line in lines)
    assert told == sent
    assert rows <= 2 * AT_ONCE + 3 * 1441


def test_addresses_of_one_ipv6_network_are_one():
    counted = TurnedAway()
    for host in range(1000):
        counted.refused(refusal(f"2001:db8::{host:x}"), 0.0)
    assert [line.more for line in counted.due(0.0, end=True)] == [0, 999]
