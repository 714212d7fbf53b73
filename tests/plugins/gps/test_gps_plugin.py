"""The plugin as the rest of the appliance sees it, with the reader as the child process that it is."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from appliance.api.model import PluginState
from appliance.testing import running
from appliance_gps.config import GpsConfig
from appliance_gps.service import Receiver, floor_s
from tests.plugins.gps.sky import Sky
from tests.plugins.gps.test_gps_reader import Listening
from tests.support.wait import wait_for


@pytest.fixture
def folder():
    made = Path(tempfile.mkdtemp(prefix="tbg"))
    yield made
    shutil.rmtree(made)


def config(folder: Path, **keys) -> dict:
    sockets = {
        "gps_socket": f"{folder}/gps.sock",
        "pps_socket": f"{folder}/pps.sock",
        "reader": f"{folder}/none.sock",
    }
    return {"plugins": {"gps": sockets | keys}}


async def test_without_a_receiver_nothing_runs_and_nothing_is_wrong(tmp_path, folder) -> None:
    async with running(["gps"], config(folder), state_dir=tmp_path) as app:
        answer = await app.get("/api/v1/gps")
        assert answer["configured"] is False
        assert answer["problems"] == []
        assert app.service(Receiver).told is None


async def test_a_receiver_is_read_by_a_child_and_told_everywhere(tmp_path, folder) -> None:
    chronyd = Listening(folder / "gps.sock")
    try:
        with Sky() as sky:
            async with running(["gps"], config(folder, receiver=sky.device), state_dir=tmp_path) as app:
                receiver = app.service(Receiver)
                await wait_for(lambda: receiver.told and receiver.told.gps.sent > 0, "samples for chronyd")
                answer = await app.get("/api/v1/gps")
                assert answer["receiver"]["standing"] == "fix"
                assert answer["read_by"] == "child"
                assert answer["problems"] == []
                assert answer["verdict"].startswith("The receiver has a fix")
                assert ["Receiver", "fix"] in answer["facts"]
                sky.status = "V"
                await wait_for(receiver.problems, "no fix")
                assert "view of the sky" in (await app.get("/api/v1/gps"))["verdict"]
    finally:
        chronyd.close()


async def test_another_line_is_taken_at_once(tmp_path, folder) -> None:
    with Sky() as first, Sky() as second:
        async with running(["gps"], config(folder, receiver=first.device), state_dir=tmp_path) as app:
            receiver = app.service(Receiver)
            await wait_for(
                lambda: receiver.told and receiver.told.receiver.device == first.device, "the first"
            )
            changes = app.host.supervised["gps"].ctx
            changes.config_changes.set(
                GpsConfig.model_validate({**changes.config.model_dump(), "receiver": second.device})
            )
            await wait_for(
                lambda: receiver.told and receiver.told.receiver.device == second.device, "the second"
            )
            changes.config_changes.set(
                GpsConfig.model_validate({**changes.config.model_dump(), "receiver": ""})
            )
            await wait_for(lambda: receiver.told is None, "nothing to read")


async def test_what_is_missing_is_told_with_what_would_help(tmp_path, folder) -> None:
    async with running(
        ["gps"], config(folder, receiver="/dev/ttyACM77", pps_pin=18), state_dir=tmp_path
    ) as app:
        receiver = app.service(Receiver)
        await wait_for(lambda: receiver.told, "the reader to speak")
        said = "; ".join(receiver.problems())
        assert "is the receiver plugged in" in said
        assert app.status("gps").state is PluginState.RUNNING


async def test_the_service_of_the_system_is_preferred_and_its_nonsense_refused(tmp_path, folder) -> None:
    """Whoever listens there is another process: what it says is checked, and a service that goes away is asked again."""
    orders = []

    async def serve(reader, writer) -> None:
        orders.append(json.loads(await reader.readline()))
        writer.write(
            b'{"pulse": {"standing": "wonderful"}}\n' if len(orders) == 1 else b'{"refused": "no"}\n'
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(serve, f"{folder}/reader.sock")
    async with server:
        keys = config(folder, pps_pin=18, reader=f"{folder}/reader.sock")
        async with running(["gps"], keys, state_dir=tmp_path) as app:
            receiver = app.service(Receiver)
            await wait_for(lambda: receiver.trouble, "the nonsense to be noticed")
            assert "may not say" in receiver.trouble
            assert orders[0]["line"] == 18
            assert not receiver.child


def test_the_floor_is_the_day_of_the_build_where_there_is_one(tmp_path) -> None:
    epoch = tmp_path / "clock-epoch"
    assert floor_s(epoch) == 1_767_225_600
    epoch.touch()
    os.utime(epoch, (1_790_000_000, 1_790_000_000))
    assert floor_s(epoch) == 1_790_000_000


def test_the_command_says_how_to_begin(monkeypatch) -> None:
    from appliance_gps import cli

    class Admin:
        def get(self, path):
            return {
                "configured": False,
                "verdict": "No GPS receiver and no pulse is configured.",
                "problems": [],
                "facts": [],
            }

    monkeypatch.setattr(cli, "admin", Admin)
    group = click.Group()
    cli.register(group)
    done = CliRunner().invoke(group, ["gps"], obj={})
    assert "gps.pps_pin=18" in done.output
