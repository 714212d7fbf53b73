"""`timeball probe` and `timeball log`: with the appliance, and without one."""

from __future__ import annotations

import asyncio
import json

import pytest
from click.testing import CliRunner

from appliance.api.services import ScoreBoard
from appliance.cli import build
from appliance.testing import running, wait_until
from appliance.testing.pool import virtual_pool
from tests.support.programs import free_port


@pytest.fixture
def pool():
    with virtual_pool({"127.0.2.1": {}, "127.0.2.2": {"kiss": "RATE"}}) as simulated:
        yield simulated


async def timeball(tmp_path, *words, code=0):
    done = await asyncio.to_thread(CliRunner().invoke, build(), [*words, "--state-dir", str(tmp_path)])
    assert done.exit_code == code, f"{words}: {done.exit_code} {done.output} {done.exception!r}"
    return done


async def test_a_server_is_looked_at_without_a_running_appliance(tmp_path, pool):
    done = await timeball(tmp_path, "probe", f"127.0.2.1:{pool.port}", "--samples", "1", "--json")
    found = json.loads(done.stdout)
    assert found["responded"]
    assert found["stratum"] == 2
    assert found["error"] is None
    assert abs(found["offset_s"]) < 1
    assert len(found["samples"]) == 1


async def test_a_server_that_gives_no_time_makes_the_command_fail_with_the_reason(tmp_path, pool):
    done = await timeball(tmp_path, "probe", f"127.0.2.2:{pool.port}", code=1)
    assert "RATE" in done.stdout
    done = await timeball(tmp_path, "probe", f"127.0.0.1:{free_port()}", "--samples", "1", code=1)
    assert "refused" in done.stdout


@pytest.mark.parametrize("host", ["224.0.0.1", "::ffff:224.0.0.1", "1.2.3", "127.0.0.1:99999", "a:b:c"])
async def test_what_cannot_be_a_server_is_said_before_anything_is_sent(tmp_path, host):
    done = await timeball(tmp_path, "probe", host, code=2)
    assert "Error" in done.stderr


async def test_the_log_of_a_running_appliance(tmp_path, pool):
    config = f"""
[plugins.clock]
source = "local"
[plugins.monitor]
interval_s = 1
samples = 1
[[plugins.members.member]]
address = "127.0.2.1"
port = {pool.port}
[[plugins.members.member]]
address = "127.0.2.2"
port = {pool.port}
"""
    async with running(["clock", "members", "monitor"], config, state_dir=tmp_path, admin_socket=True) as app:
        await app.until_running("clock", "members", "monitor")
        board = app.host.services.get(ScoreBoard)
        await wait_until(lambda: board.results["ok"] >= 2 and board.results["rate"] >= 2, "some probes")
        done = await timeball(tmp_path, "log", "--member", "127.0.2.2", "--json")
        rows = json.loads(done.stdout)
        assert {row["rule"] for row in rows} == {"rate"}
        assert {row["error"] for row in rows} == {"RATE"}
        text = (await timeball(tmp_path, "log")).stdout
        assert "offset_ok" in text
        await timeball(tmp_path, "log", "--member", "127.0.9.9", code=5)
        done = await timeball(tmp_path, "probe", f"127.0.2.1:{pool.port}", "--json")
        assert json.loads(done.stdout)["rule"] == "offset_ok"
