"""`timeball user`, `token`, `session`, `audit` and `setup` against a running appliance, over its admin socket."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from click.testing import CliRunner

from appliance.cli import build
from appliance.testing import running
from appliance_people.people import People
from tests.plugins.people.bed import OWNER_PASSWORD
from tests.support.tree import ROOT


@pytest.fixture
async def timeball(tmp_path):
    """Run one command; returns the click result. JSON output is decoded into `.value`."""
    async with running(["people"], state_dir=tmp_path, admin_socket=True) as app:
        await app.until_running("people")
        cli = build()

        async def run(*words: str, code: int = 0, stdin: str | None = None):
            arguments = [*words, "--state-dir", str(tmp_path)]
            done = await asyncio.to_thread(CliRunner().invoke, cli, arguments, input=stdin)
            assert done.exit_code == code, f"{words}: {done.exit_code} {done.output} {done.exception!r}"
            done.value = json.loads(done.stdout) if "--json" in words and code == 0 else None
            return done

        run.app = app
        yield run


async def test_the_setup_code_is_told_until_there_is_an_owner(timeball):
    assert re.fullmatch(r"[A-Z2-9]{4}-[A-Z2-9]{4}\n", (await timeball("setup", "code")).stdout)
    assert (await timeball("setup", "code", "--json")).value["good_for_s"] > 0
    await timeball("user", "add", "ada", "--role", "owner", "--password-stdin", stdin=OWNER_PASSWORD + "\n")
    assert "timeball user reset NAME" in (await timeball("setup", "code", code=6)).stderr


async def test_users_come_change_and_go(timeball):
    assert "Make the first owner" in (await timeball("user", "list")).stdout
    await timeball("user", "add", "ada", "--role", "owner", stdin=f"{OWNER_PASSWORD}\n{OWNER_PASSWORD}\n")
    made = (await timeball("user", "add", "eve", "--generate", "--json")).value
    assert re.fullmatch(r"([a-z2-9]{5}-){3}[a-z2-9]{5}", made["password"])
    assert (
        "too easy to guess"
        in (await timeball("user", "add", "x", "--password-stdin", stdin="password1\n", code=1)).stderr
    )
    await timeball("user", "role", "eve", "operator")
    rows = (await timeball("user", "list", "--json")).value
    assert [(r["name"], r["role"]) for r in rows] == [("ada", "owner"), ("eve", "operator")]
    assert "password:" in (await timeball("user", "reset", "eve", "--generate")).stdout
    assert "nobody had to wait" in (await timeball("user", "unlock", "eve")).stdout
    await timeball("user", "unlock", code=2)
    assert "was removed" in (await timeball("user", "rm", "eve")).stdout
    await timeball("user", "rm", "eve", code=5)
    assert "only owner" in (await timeball("user", "rm", "ada", code=6)).stderr


async def test_a_token_is_shown_once_and_revoked(timeball):
    assert "there is none yet" in (await timeball("token", "new", "metrics:read", code=6)).stderr
    await timeball("user", "add", "ada", "--role", "owner", "--generate")
    done = await timeball(
        "token",
        "new",
        "metrics:read",
        "servers:read",
        "--label",
        "x\x1b[31m",
        "--days",
        "0",
        "--address",
        "10.0.0.0/8",
    )
    text = done.stdout.strip()
    assert text.startswith("timeball_")
    assert "for ever" in done.stderr
    listed = (await timeball("token", "list")).stdout
    assert text not in listed
    assert "\x1b[31m" not in listed
    (token,) = (await timeball("token", "list", "--json")).value
    assert (token["scopes"], token["addresses"], token["expires"]) == (
        ["metrics:read", "servers:read"],
        ["10.0.0.0/8"],
        None,
    )
    await timeball("token", "revoke", token["id"])
    assert (await timeball("token", "list", "--json")).value == []
    assert "no such scope" in (await timeball("token", "new", "everything", code=1)).stderr


async def test_sessions_are_listed_and_revoked(timeball):
    await timeball("user", "add", "ada", "--role", "owner", "--password-stdin", stdin=OWNER_PASSWORD + "\n")
    from appliance_people.signing_in import SigningIn
    from appliance_people.users import Users

    people = timeball.app.host.services.get(People)
    signing = SigningIn(people, Users(people))
    done = await signing.sign_in("ada", OWNER_PASSWORD, "192.0.2.1", "tls", "a browser\x1b[31m")
    text = (await timeball("session", "list")).stdout
    assert "192.0.2.1" in text
    assert "\x1b[31m" not in text
    await timeball("session", "revoke", done.session.id)
    assert people.sessions == {}
    await timeball("session", "revoke", done.session.id, code=5)


async def test_the_audit_trail_is_listed_and_verified(timeball, tmp_path):
    await timeball("user", "add", "ada", "--role", "owner", "--generate")
    await timeball("user", "add", "eve", "--generate")
    text = (await timeball("audit", "list")).stdout
    assert "POST /api/v1/users" in text
    assert "local:" in text
    assert [r["target"] for r in (await timeball("audit", "list", "-n", "1", "--json")).value["rows"]] == [
        "eve"
    ]
    assert "is whole: 2 rows" in (await timeball("audit", "verify")).stdout
    (tmp_path / "people" / "audit-head.json").write_text(json.dumps({"seq": 9, "hash": "0" * 64}))
    done = await timeball("audit", "verify", code=8)
    assert "rows 3 to 9 were written and are missing at the end" in done.stderr


def test_the_line_in_the_manual_is_what_the_filter_that_it_names_finds():
    manual = (ROOT / "appliance/docs/security.md").read_text()
    named = re.search(r"`(packaging/fail2ban/filter\.conf)`", manual)[1]
    pattern = re.search(r"^failregex = (.*)$", (ROOT / named).read_text(), re.MULTILINE)[1]
    line = re.search(r"^sign-in failed: .*$", manual, re.MULTILINE)[0]
    found = re.match(
        pattern.replace("<HOST>", r"(?P<host>[0-9a-fA-F.:]+)"), f"box timeball[1]: login: {line}"
    )
    assert found["host"] == "203.0.113.9"
