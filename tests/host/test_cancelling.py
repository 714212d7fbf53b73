"""A plugin that cancels every task there is ends nothing but its own: in a loop, and in a real process beside NTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import types
from pathlib import Path

import pluggy
import pytest

from appliance.core.tasks import current_plugin, spawn
from appliance.dataplane.interface import Endpoint
from appliance.host import loader, resuming
from appliance.host.cancelling import Guard
from appliance.host.strangers import Strangers
from tests.host.test_who_fails import ask_ntp
from tests.support.wait import wait_until

TIMEBALL = Path(sys.executable).with_name("timeball")


def module(name: str, code: str) -> types.ModuleType:
    made = types.ModuleType(name)
    exec(compile(code, f"{name}.py", "exec"), made.__dict__)
    return made


CULPRIT = """
import asyncio, contextlib
made = []

async def for_ever():
    await asyncio.Event().wait()

async def make():
    made.append(asyncio.create_task(for_ever()))
    made.append(asyncio.ensure_future(asyncio.sleep(1000)))

def cancel(tasks):
    return [task.cancel() for task in tasks]

async def make_late():
    asyncio.get_running_loop().call_soon(made[0].cancel)
    asyncio.get_running_loop().call_soon(strange[0].cancel)

async def times_out(task):
    async with asyncio.timeout(0):
        await asyncio.sleep(1000)

async def a_group():
    async with asyncio.TaskGroup() as group:
        group.create_task(for_ever())
        group.create_task(fails())

async def fails():
    raise ValueError("x")

strange = []
"""


@pytest.fixture
def culprit():
    return module("culprit", CULPRIT)


def played(main):
    """Run `main(refused)` on a guarded loop, where the module `culprit` is a plugin of somebody's."""
    refused = []
    plugins = loader.Plugins(pluggy.PluginManager("appliance"))
    plugins.found.append(loader.Loaded("culprit", "test", module=types.ModuleType("culprit")))
    guard = Guard(Strangers(plugins), lambda *said: refused.append(said))
    return resuming.run(main(refused), pytest.fail, guard.factory)


def test_a_plugin_cancels_its_own_tasks_and_no_others(culprit):
    async def main(refused):
        ours = spawn(asyncio.Event().wait(), name="web:listener")
        await culprit.make()
        assert culprit.cancel(culprit.made) == [True, True]
        assert culprit.cancel([ours, asyncio.current_task()]) == [False, False]
        assert [(plugin, task) for plugin, task, _ in refused] == [
            ("culprit", "web:listener"), ("culprit", "host:main")
        ]  # fmt: skip
        assert "culprit.py:" in refused[0][2]
        await asyncio.wait(culprit.made)
        assert [task.cancelled() for task in culprit.made] == [True, True]
        assert ours.cancel()  # we may
        await asyncio.wait([ours])
        assert ours.cancelled()

    played(main)


def test_what_is_cancelled_later_is_cancelled_in_the_name_of_who_said_so(culprit):
    async def main(refused):
        ours = spawn(asyncio.Event().wait(), name="ours")
        await culprit.make()
        culprit.strange.append(ours)
        token = current_plugin.set("culprit")
        await culprit.make_late()
        current_plugin.reset(token)
        await asyncio.wait(culprit.made[:1])
        assert [said[:2] for said in refused] == [("culprit", "ours")]
        assert not ours.cancelling()
        for task in (ours, culprit.made[1]):
            task.cancel()
        await asyncio.wait([ours, culprit.made[1]])

    played(main)


def test_timeouts_and_groups_of_a_plugin_work_in_a_task_of_ours(culprit):
    """A page's task runs the handler of a plugin: what asyncio cancels for it is its right."""

    async def main(refused):
        with pytest.raises(TimeoutError):
            await culprit.times_out(None)
        with pytest.raises(ExceptionGroup):
            await culprit.a_group()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(spawn(culprit.for_ever(), name="x"), 0.01)
        assert refused == []

    played(main)


HOSTILE = """\
import asyncio, pathlib
from appliance.api.plugin import PluginInfo, hookimpl
plugin = PluginInfo(id="hostile", title="Hostile", api=1)

@hookimpl
async def run(ctx):
    ctx.ready()
    for task in asyncio.all_tasks():
        task.cancel()
    await asyncio.sleep(1000)
"""
CONFIG = """\
[appliance]
plugin_dirs = ["{plugins}"]
[plugins.clock]
source = "local"
[plugins.ntp]
listen = ["127.0.0.1:0"]
[plugins.web]
listen = "127.0.0.1:0"
[plugins.dns]
enabled = false
"""


def asked(state, *words):
    done = subprocess.run(
        [TIMEBALL, *words, "--state-dir", state, "--json"], capture_output=True, text=True, check=False
    )
    return json.loads(done.stdout) if done.stdout else None


@contextlib.contextmanager
def serving(tmp_path, plugin):
    """A process with that plugin; yields it, its log and its state folder."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "hostile.py").write_text(plugin)
    config, log, state = tmp_path / "c.toml", tmp_path / "log", tmp_path / "s"
    config.write_text(CONFIG.format(plugins=tmp_path / "plugins"))
    with log.open("w") as out:
        process = subprocess.Popen(
            [TIMEBALL, "run", "--config", config, "--state-dir", state], stdout=out, stderr=out
        )
    try:
        yield process, log, state
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait(30)


def test_a_process_in_which_a_plugin_cancels_everything_serves_on_and_names_it(tmp_path):
    with serving(tmp_path, HOSTILE) as (_, log, state):

        def named():
            checks = (asked(state, "doctor", "--all") or {}).get("checks", ())
            ids = {check["id"]: check["text"] for check in checks}
            return ids if {"hostile.cancels", "hostile.state"} <= ids.keys() else None

        found = wait_until(named, "the doctor to name it", 120, interval_s=0.5)
        assert "it wanted to cancel tasks that it did not make" in found["hostile.cancels"]
        assert "it cancelled its own run" in found["hostile.state"]
        assert "the plugin hostile: it wanted to cancel" in log.read_text()
        states = {p["id"]: p for p in asked(state, "plugin", "list")}
        assert (states["ntp"]["state"], states["ntp"]["restarts"]) == ("running", 0), states["ntp"]
        assert (states["web"]["state"], states["web"]["restarts"]) == ("running", 0), states["web"]
        where = Endpoint.parse(asked(state, "api", "/api/v1/ntp")["listen"][0])
        assert ask_ntp((where.host, where.port)).stratum == 10


def test_one_that_means_it_is_left_out_after_three_starts_and_named(tmp_path):
    """It goes behind the back of the tasks; the process begins anew under its own number."""
    meant = HOSTILE.replace("task.cancel()", "asyncio.Task.cancel(task)")
    assert meant != HOSTILE
    with serving(tmp_path, meant) as (process, log, state):

        def left_out():
            assert process.poll() is None, log.read_text()
            states = {p["id"]: p for p in asked(state, "plugin", "list") or ()}
            return states if states.get("hostile", {}).get("state") == "disabled" else None

        states = wait_until(left_out, "safe mode", 180, interval_s=0.5)
        assert states["ntp"]["state"] == "running"
        assert log.read_text().count("it begins anew") == 3
        checks = asked(state, "doctor", "--all")["checks"]
        assert any("it did not stay up 3 times in a row with hostile" in check["text"] for check in checks)
