"""People break simulated members over the API and the command line."""

from __future__ import annotations

import json
import socket

import pytest
from pydantic import ValidationError

from appliance.api.model import PluginState
from appliance.testing import running, wait_until
from appliance_demo.cli import register
from appliance_demo.config import DemoConfig, SimulatedMember
from appliance_demo.service import Playground

ENABLED = {"plugins": {"demo": {"enabled": True, "port": 0}}}


def test_by_default_there_are_three_and_the_last_is_300_ms_wrong():
    members = DemoConfig().member
    assert [member.address for member in members] == ["127.0.0.11", "127.0.0.12", "127.0.0.13"]
    assert [member.fault().describe() for member in members] == ["good", "good", "300 ms ahead"]


def test_a_member_anywhere_but_on_loopback_is_refused():
    with pytest.raises(ValidationError, match="loopback"):
        SimulatedMember(address="192.0.2.1")


async def test_it_is_off_unless_asked_for(tmp_path):
    async with running(["demo"], state_dir=tmp_path) as app:
        assert app.status("demo").state is PluginState.DISABLED


async def test_a_member_is_broken_and_healed_over_the_api(tmp_path):
    async with running(["demo"], ENABLED, state_dir=tmp_path) as app:
        await app.until_running("demo")
        assert [m["does"] for m in await app.get("/api/v1/demo")] == ["good", "good", "300 ms ahead"]
        assert "127.0.0.13 300 ms ahead" in app.status("demo").text
        changed = await app.post("/api/v1/demo/127.0.0.11", {"fault": {"silent": True}})
        assert (changed["does"], changed["fault"]) == ("silent", {"silent": True})
        await wait_until(lambda: "127.0.0.11 silent" in app.status("demo").text, "the status to say so")
        healed = await app.post("/api/v1/demo/127.0.0.13", {"fault": {}})
        assert (healed["does"], healed["fault"]) == ("good", {})


@pytest.mark.parametrize(
    ("address", "body", "status"),
    [
        ("127.0.0.99", {"fault": {}}, 404),
        ("nonsense", {"fault": {}}, 404),
        ("127.0.0.11", {"fault": {"loss": 2}}, 422),
        ("127.0.0.11", {"fault": {"offset": 1}}, 422),
        ("127.0.0.11", {"kiss": "RATE"}, 422),
    ],
)
async def test_what_makes_no_sense_is_refused_and_changes_nothing(tmp_path, address, body, status):
    async with running(["demo"], ENABLED, state_dir=tmp_path) as app:
        await app.until_running("demo")
        before = await app.get("/api/v1/demo")
        assert (await app.ask("POST", f"/api/v1/demo/{address}", body=body)).status == status
        assert await app.get("/api/v1/demo") == before


async def test_who_may_only_look_cannot_break_anything(tmp_path):
    async with running(["demo"], ENABLED, state_dir=tmp_path) as app:
        await app.until_running("demo")
        reply = await app.ask("POST", "/api/v1/demo/127.0.0.11", body={"fault": {}}, role="viewer")
        assert reply.status == 403


async def test_a_port_that_is_taken_is_waited_for_and_said(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        config = {"plugins": {"demo": {"enabled": True, "port": port}}}
        async with running(["demo"], config, state_dir=tmp_path) as app:
            await wait_until(lambda: app.status("demo").state is PluginState.BACKOFF, "the plugin to wait")
            assert f"UDP port {port}" in app.status("demo").why
            taken.close()
            await app.until_running("demo")


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--offset", "0.3"], {"offset_s": 0.3}),
        (["--offset=-0.3", "--loss", "0.5"], {"offset_s": -0.3, "loss": 0.5}),
        (["--silent"], {"silent": True}),
        (["--ok"], {}),
        (["--unsynchronised"], {"leap": 3, "stratum": 16}),
        (["--kiss", "rate"], {"kiss": "RATE"}),
    ],
)
def test_the_command_line_says_the_same_as_the_api(monkeypatch, arguments, fault):
    import click
    from click.testing import CliRunner

    from appliance_demo import cli

    posted = []

    class FakeAdmin:
        def post(self, path, body):
            posted.append((path, body))
            playground = Playground(DemoConfig(), _clock())
            return playground.list()[0]

    monkeypatch.setattr(cli, "admin", FakeAdmin)
    group = click.Group()
    register(group)
    result = CliRunner().invoke(group, ["demo", "break", "127.0.0.11", *arguments])
    assert result.exit_code == 0, result.output
    assert posted == [("/api/v1/demo/127.0.0.11", {"fault": fault})]
    assert "127.0.0.11" in result.output
    json.dumps(posted)


@pytest.mark.parametrize("arguments", [[], ["--ok", "--silent"], ["--loss", "3"], ["--kiss", "HELLO"]])
def test_a_command_without_sense_ends_with_2(arguments):
    import click
    from click.testing import CliRunner

    group = click.Group()
    register(group)
    assert CliRunner().invoke(group, ["demo", "break", "127.0.0.11", *arguments]).exit_code == 2


def _clock():
    from appliance.core.clock import SystemClock

    return SystemClock()
