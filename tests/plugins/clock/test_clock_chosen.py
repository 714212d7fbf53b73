"""Time servers that people choose: as they write them, as they are handed on, and as chronyd has them in the end."""

from __future__ import annotations

import os
import subprocess

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from appliance.testing import running
from appliance_clock import chosen, cli
from appliance_clock.config import ClockConfig
from appliance_clock.named_source import TimeSource, parse_source
from tests.support.tree import ROOT
from tests.support.wait import wait_for


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("ntp.example.org", "server ntp.example.org iburst"),
        ("server 192.0.2.1 prefer", "server 192.0.2.1 iburst prefer"),
        ("pool 2.example.org", "pool 2.example.org iburst"),
        ("2001:db8::1 nts port 4460", "server 2001:db8::1 iburst nts port 4460"),
        ("  ntp.example.org.   iburst ", "server ntp.example.org. iburst"),
    ],
)
def test_sources_are_read_as_people_write_them(text, line) -> None:
    assert parse_source(text).line() == line


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected a name"), ("pool", "expected a name"), ("pool 192.0.2.1", "is an address"), ("192.0.2.1:123", "neither"),
        ("192.0.2.256", "neither"), ("-x.example", "neither"), ("a b", "expected \"nts\""), ("a key 7", "got 'key'"),
        ("a port 0", "port"), ("a port", "port"), ("fe80::1%eth0", "neither"), ("a\nbindcmdaddress 0.0.0.0", "got"), ("a/b", "neither"),
    ],
)  # fmt: skip
def test_what_is_no_source_says_what_would_be_right(text, says) -> None:
    with pytest.raises(ValueError, match=says):
        parse_source(text)


@given(st.text(max_size=60))
def test_whatever_is_taken_is_one_line_that_the_root_script_passes(text) -> None:
    """Two programs look at it; what the one takes the other must not drop."""
    try:
        line = parse_source(text).line()
    except ValueError:
        return
    assert line.isascii()
    assert "\n" not in line
    import re

    assert re.fullmatch(r"(server|pool) [A-Za-z0-9:_.-]+ iburst( nts)?( prefer)?( port [0-9]{1,5})?", line)


def test_the_root_script_passes_all_that_can_be_chosen(tmp_path) -> None:
    sources = [
        "ntp.example.org nts prefer port 4123",
        "pool 2.example.org",
        "2001:db8::1",
        "192.0.2.1 prefer",
        "_ntp.x.example.org.",
    ]
    chosen.write(tmp_path, ClockConfig(time_sources=sources, default_sources=False, dhcp_sources=False))
    (tmp_path / "leases").mkdir()
    (tmp_path / "leases" / "2").write_text("NTP=192.0.2.99\n")
    (tmp_path / "default").write_text("pool default.example.org iburst\n")
    subprocess.run(
        ["/bin/sh", ROOT / "packaging" / "libexec" / "time-sources"], check=True, timeout=60,
        env=os.environ | {
            "TIMEBALL_CHOSEN_SOURCES": str(tmp_path / chosen.FILE), "TIMEBALL_DEFAULT_SOURCES": str(tmp_path / "default"),
            "TIMEBALL_LEASES": str(tmp_path / "leases"), "TIMEBALL_SOURCES_FOLDER": str(tmp_path / "run"), "TIMEBALL_CHRONYC": "true",
        },
    )  # fmt: skip
    handed = "".join(path.read_text() for path in (tmp_path / "run").iterdir())
    assert handed.splitlines() == [parse_source(one).line() for one in sources]


async def test_a_change_is_written_at_once_and_what_chronyd_lacks_is_told(tmp_path) -> None:
    async with running(
        ["clock"], {"plugins": {"clock": {"time_sources": ["192.0.2.1"]}}}, state_dir=tmp_path
    ) as app:
        file = tmp_path / "clock" / chosen.FILE
        await wait_for(file.exists, "the choice to be written")
        assert "server 192.0.2.1 iburst\n" in file.read_text()
        ctx = app.host.supervised["clock"].ctx
        ctx.config_changes.set(ClockConfig(time_sources=["pool 2.example.org"]))
        await wait_for(lambda: "pool 2.example.org iburst" in file.read_text(), "the change")
        ctx.config_changes.set(ClockConfig())
        await wait_for(lambda: file.read_text() == "", "nothing to hand on")


def test_nothing_is_written_where_nothing_was_chosen(tmp_path) -> None:
    assert not chosen.write(tmp_path, ClockConfig())
    assert not (tmp_path / chosen.FILE).exists()


def test_sources_that_chronyd_does_not_have_are_named() -> None:
    config = ClockConfig(time_sources=["NTP.example.org", "2001:DB8::1", "pool p.example.org", "192.0.2.7"])
    assert (
        chosen.not_taken(config, {"ntp.example.org", "2001:db8::1", "p.example.org.", "192.0.2.7", ""}) == []
    )
    assert "192.0.2.7" in chosen.not_taken(config, {"ntp.example.org", "2001:db8::1", "p.example.org"})[0]


class Admin:
    """The appliance as the command sees it."""

    value: list[str]

    def get(self, path):
        return {"value": list(self.value)}

    def patch(self, path, body):
        Admin.value = body["set"]["plugins.clock.time_sources"]
        return {"change": {"id": 1}}


@pytest.fixture
def command(monkeypatch):
    Admin.value = ["192.0.2.1"]
    monkeypatch.setattr(cli, "admin", Admin)
    group = click.Group()
    cli.register(group)
    return lambda *words: CliRunner().invoke(group, ["clock", "source", *words], obj={})


def test_sources_are_chosen_on_the_command_line(command) -> None:
    assert command("add", "ntp.example.org", "--nts").exit_code == 0
    assert Admin.value == ["192.0.2.1", "ntp.example.org nts"]
    assert command("add", "ntp.example.org", "--prefer", "--port", "4123").exit_code == 0
    assert Admin.value == ["192.0.2.1", "ntp.example.org prefer port 4123"]
    assert command("rm", "192.0.2.1").exit_code == 0
    assert Admin.value == ["ntp.example.org prefer port 4123"]
    assert command("list").output == "ntp.example.org prefer port 4123\n"
    refused = command("rm", "192.0.2.9")
    assert refused.exit_code == 5
    assert command("add", "pool.example.org", "--pool").exit_code == 0
    assert "neither" in command("add", "a/b").output


def test_a_source_is_a_value() -> None:
    assert TimeSource("server", "a") == parse_source("a")
