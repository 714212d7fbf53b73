"""`timeball member` and `timeball zone` against a running appliance, over its admin socket."""

from __future__ import annotations

import asyncio
import json

import pytest
from click.testing import CliRunner

from appliance.api.services import Prober
from appliance.cli import build
from appliance.testing import running
from appliance_members.spans import parse_date, parse_span

DECLARED = '[[plugins.members.member]]\naddress = "127.0.0.11"\nzones = ["@", "a.harbour"]\n'


@pytest.fixture
async def timeball(tmp_path, prober):
    """Run one command; returns the click result. JSON output is decoded into `.value`."""
    async with running(
        ["members"], DECLARED, state_dir=tmp_path, provide={Prober: prober}, admin_socket=True
    ) as app:
        await app.until_running("members")
        cli = build()

        async def run(*words: str, code: int = 0, stdin: str | None = None):
            arguments = [*words, "--state-dir", str(tmp_path)]
            done = await asyncio.to_thread(CliRunner().invoke, cli, arguments, input=stdin)
            assert done.exit_code == code, f"{words}: {done.exit_code} {done.output} {done.exception!r}"
            done.value = json.loads(done.stdout) if "--json" in words and code == 0 else None
            return done

        yield run


async def test_the_list_is_a_plain_list_with_the_contracted_keys(timeball):
    (row,) = (await timeball("member", "list", "--json")).value
    assert {"id", "address", "port", "netspeed", "zones", "score", "in_pool", "reason"} <= row.keys()
    shown = (await timeball("member", "show", "127.0.0.11", "--json")).value
    assert shown["probes"] == []
    text = (await timeball("member", "list")).stdout
    assert text.startswith("0 of 1 member in the answers.")
    assert "\x1b" not in text


async def test_a_server_is_checked_added_changed_paused_and_removed(timeball, servers):
    added = await timeball(
        "member",
        "add",
        f"127.0.0.31:{servers.port}",
        "--zone",
        "@",
        "--zone",
        "b",
        "--operator",
        "me",
        "--json",
    )
    (row,) = added.value["created"]
    assert row["zones"] == ["@", "b"]
    for key in (row["id"], "127.0.0.31", f"127.0.0.31:{servers.port}"):
        assert (await timeball("member", "show", key, "--json")).value["id"] == row["id"]
    changed = await timeball(
        "member", "set", row["id"], "--netspeed", "0", "--tag", "x", "--operator", "", "--json"
    )
    assert (changed.value["netspeed"], changed.value["tags"], changed.value["operator"]) == (0, ["x"], "")
    assert (await timeball("member", "pause", row["id"], "--for", "2h", "--json")).value[
        "paused_until"
    ] is not None
    assert (await timeball("member", "resume", row["id"], "--json")).value["state"] == "active"
    assert (await timeball("member", "rm", row["id"], "--in", "30d", "--json")).value["remove_at"] is not None
    assert (await timeball("member", "rm", row["id"], "--cancel", "--json")).value["remove_at"] is None
    assert "removed" in (await timeball("member", "rm", row["id"])).stdout
    await timeball("member", "show", row["id"], code=5)


async def test_refusals_have_their_exit_codes_and_say_what_would_be_right(timeball, servers):
    bad = await timeball("member", "add", "127.0.0.36", "--port", str(servers.port), code=1)
    assert "its stratum is 12" in bad.stderr and "force" in bad.stderr
    assert (
        "forced although"
        in (await timeball("member", "add", "127.0.0.36", "--port", str(servers.port), "--force")).stdout
    )
    assert "multicast" in (await timeball("member", "add", "224.0.0.1", code=1)).stderr
    assert "change it there" in (await timeball("member", "rm", "127.0.0.11", code=6)).stderr
    assert (
        "change it there" in (await timeball("member", "set", "127.0.0.11", "--netspeed", "5", code=6)).stderr
    )
    await timeball("member", "pause", "127.0.0.11")
    await timeball("member", "show", "../../etc/passwd", code=5)
    await timeball("member", "set", "127.0.0.11", code=2)
    await timeball("member", "pause", "127.0.0.11", "--for", "soon", code=2)
    await timeball("member", "add", "127.0.0.31", "--port", "70000", code=2)


async def test_a_list_goes_out_and_comes_in_again(timeball, servers, tmp_path):
    text = f"address;port;zones\n127.0.0.31;{servers.port};@ b\n127.0.0.35;{servers.port};\n"
    assert "1 of 2" not in (await timeball("member", "import", "-", stdin=text, code=1)).stdout
    told = await timeball("member", "import", "-", "--partial", stdin=text)
    assert "1 member added." in told.stdout and "refused" in told.stdout
    out = (await timeball("member", "export")).stdout
    assert out.splitlines()[0] == "address,port,name,netspeed,zones,tags,operator,note,paused"
    assert len(out.splitlines()) == 3
    rows = (await timeball("member", "export", "--json")).value
    assert {r["address"] for r in rows} == {"127.0.0.11", "127.0.0.31"}
    file = tmp_path / "members.json"
    file.write_text(json.dumps(rows))
    await timeball("member", "import", str(file), "--force", code=6)
    file.write_text("[")
    await timeball("member", "import", str(file), code=1)
    file.write_bytes(b"\xff\xfe")
    await timeball("member", "import", str(file), code=1)


async def test_zones_are_shown_as_a_tree(timeball):
    lines = (await timeball("zone", "list")).stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["@", "harbour", "a.harbour"]
    assert lines[3].startswith("    a.harbour")
    (apex, *_) = (await timeball("zone", "list", "--json")).value
    assert apex["registered"] == {"4": 1, "6": 0}


async def test_a_member_without_proof_says_how_to_give_one(timeball):
    await timeball("member", "verify", "127.0.0.11", "--http", code=6)


async def test_without_an_appliance_the_command_says_so(tmp_path):
    done = await asyncio.to_thread(
        CliRunner().invoke, build(), ["member", "list", "--state-dir", str(tmp_path)]
    )
    assert done.exit_code == 3


@pytest.mark.parametrize(
    ("text", "seconds"), [("90m", 5400), ("2h", 7200), ("1d12h", 129600), ("1.5 h", 5400), ("2w", 1209600)]
)
def test_spans_of_time(text, seconds):
    assert parse_span(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "2 parsecs", "-1h", "2h and", "1e5s"])
def test_what_is_no_span_of_time(text):
    with pytest.raises(ValueError):
        parse_span(text)


def test_dates_are_utc_unless_they_say_otherwise():
    assert parse_date("1970-01-02") == 86400
    assert parse_date("1970-01-02T01:00+01:00") == 86400
    with pytest.raises(ValueError):
        parse_date("tomorrow")
