"""One plugin that does wrong, beside the real ones: doctor, page and log name it with why, and the others go on."""

from __future__ import annotations

import asyncio
import logging
import textwrap
import types
from dataclasses import dataclass

import pytest
from markupsafe import escape

from appliance.api.contrib import Panel
from appliance.api.model import PluginState
from appliance.dataplane import ntp_decide
from appliance.dataplane.interface import Endpoint
from appliance.host import loader
from appliance.testing import running
from tests.host.test_who_fails import ask_ntp
from tests.support.wait import wait_for

CONFIG = """\
[plugins.clock]
source = "local"
[plugins.ntp]
listen = ["127.0.0.1:0"]
[plugins.web]
listen = "127.0.0.1:0"
"""

HEAD = """
import asyncio, sys, threading, time
from appliance import PluginInfo, hookimpl
from appliance.api.contrib import HealthCheck, Metric, Panel, Route
plugin = PluginInfo(id="culprit", title="Culprit", api=1)
"""

GOOD = """
from appliance import PluginInfo, hookimpl
from appliance.api.contrib import Route
plugin = PluginInfo(id="bystander", title="Bystander", api=1)

async def hello(request):
    return {"hello": "world"}

@hookimpl
def routes(ctx):
    return [Route("GET", "hello", hello, "public", "Says hello")]
"""


@dataclass(frozen=True)
class Wrong:
    """What a plugin does wrong, and what has to be said of it.

    Attributes:
        code: of its module.
        why: a piece of the sentence that doctor, page and log have in common.
        state: what its state becomes.
        provoke: asked once it is there, so that it happens.
        stop: it is stopped, and then looked at.
    """

    code: str
    why: str
    state: PluginState = PluginState.FAILED
    provoke: str = ""
    stop: bool = False


RUNS = PluginState.RUNNING
WRONG = {
    "import error": Wrong("import nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
    "exception in a hook": Wrong(
        "@hookimpl\ndef setup(ctx):\n    raise KeyError('which-of-them')", "which-of-them"
    ),
    "wrong type from a hook": Wrong("@hookimpl\ndef metrics(ctx):\n    return 3", '"metrics" returned int'),
    "wrong item from a hook": Wrong(
        "@hookimpl\ndef panels(ctx):\n    return ['card']", "a str where a Panel belongs"
    ),
    "another's route": Wrong(
        "async def mine(request):\n    return {}\n"
        "@hookimpl\ndef routes(ctx):\n    return [Route('GET', '/plugins', mine, 'public', 'Mine')]",
        "GET /plugins is taken by the plugin web",
    ),
    "blocks the event loop": Wrong(
        "async def block(request):\n    time.sleep(2.5)\n    return {}\n"
        "@hookimpl\ndef routes(ctx):\n    return [Route('GET', 'block', block, 'public', 'Blocks')]",
        "it held the event loop",
        RUNS,
        provoke="/p/culprit/block",
    ),
    "leaves a task behind": Wrong(
        "async def for_ever():\n    await asyncio.Event().wait()\n"
        "@hookimpl\nasync def run(ctx):\n    plugin_tasks.append(asyncio.create_task(for_ever()))\n    ctx.ready()\n"
        "    await asyncio.Event().wait()\nplugin_tasks = []",
        "the task for_ever",
        PluginState.STOPPED,
        stop=True,
    ),
    "leaves a subscription behind": Wrong(
        "kept = []\n@hookimpl\nasync def run(ctx):\n    kept.append(ctx.subscribe(object))\n    kept[-1].__enter__()\n"
        "    ctx.ready()\n    await asyncio.Event().wait()",
        "the subscription to object",
        PluginState.STOPPED,
        stop=True,
    ),
    "crashes again and again": Wrong(
        "@hookimpl\nasync def run(ctx):\n    ctx.ready()\n    raise ArithmeticError('crash')",
        "ArithmeticError: crash",
    ),
    "raises in a card": Wrong(
        "async def data():\n    raise ValueError('no card today')\n"
        "@hookimpl\ndef panels(ctx):\n    return [Panel('c', 'Queue', data)]",
        "ValueError: no card today",
        RUNS,
        provoke="/",
    ),
    "a card of the wrong type": Wrong(
        "async def data():\n    return 3\n@hookimpl\ndef panels(ctx):\n    return [Panel('c', 'Queue', data)]",
        "it returned int, not a mapping",
        RUNS,
        provoke="/",
    ),
    "raises in a metric": Wrong(
        "def read():\n    raise ValueError('no figure')\n"
        "@hookimpl\ndef metrics(ctx):\n    return [Metric('culprit_x', 'X.', 'gauge', read)]",
        "ValueError: no figure",
        RUNS,
        provoke="/metrics",
    ),
    "an operation that raises": Wrong(
        "async def fails(request):\n    raise ValueError('not today')\n"
        "@hookimpl\ndef routes(ctx):\n    return [Route('GET', 'x', fails, 'public', 'Fails')]",
        "ValueError: not today",
        RUNS,
        provoke="/p/culprit/x",
    ),
    "an operation that wants to end the process": Wrong(
        "async def ends(request):\n    sys.exit(4)\n"
        "@hookimpl\ndef routes(ctx):\n    return [Route('GET', 'x', ends, 'public', 'Ends')]",
        "it wanted to end the process (SystemExit: 4)",
        RUNS,
        provoke="/p/culprit/x",
    ),
    "wants to end the process in a hook": Wrong(
        "@hookimpl\ndef setup(ctx):\n    sys.exit(3)", "it wanted to end the process (SystemExit: 3)"
    ),
    "interrupts in a hook": Wrong(
        "@hookimpl\ndef setup(ctx):\n    raise KeyboardInterrupt",
        "it wanted to end the process (KeyboardInterrupt: )",
    ),
    "cancels in a hook": Wrong(
        "@hookimpl\ndef setup(ctx):\n    raise asyncio.CancelledError",
        "it wanted to end the process (CancelledError: )",
    ),
    "ends the process when it is imported": Wrong(
        "sys.exit(5)", "it wanted to end the process (SystemExit: 5)"
    ),
    "interrupts when it is imported": Wrong(
        "raise KeyboardInterrupt", "it wanted to end the process (KeyboardInterrupt: )"
    ),
    "cancels when it is imported": Wrong(
        "raise asyncio.CancelledError", "it wanted to end the process (CancelledError: )"
    ),
    "closes when it is imported": Wrong(
        "raise GeneratorExit", "it wanted to end the process (GeneratorExit: )"
    ),
    "raises what nobody knows when it is imported": Wrong(
        "class Own(BaseException):\n    pass\nraise Own('mine')", "it wanted to end the process (Own: mine)"
    ),
    "wants to end the process when it runs": Wrong(
        "@hookimpl\nasync def run(ctx):\n    ctx.ready()\n    raise SystemExit('enough')",
        "it wanted to end the process (SystemExit: enough)",
    ),
    "wants to end the process in a card": Wrong(
        "async def data():\n    raise KeyboardInterrupt\n"
        "@hookimpl\ndef panels(ctx):\n    return [Panel('c', 'Queue', data)]",
        "it wanted to end the process (KeyboardInterrupt: )",
        RUNS,
        provoke="/",
    ),
    "wants to end the process in a metric": Wrong(
        "def read():\n    sys.exit(4)\n"
        "@hookimpl\ndef metrics(ctx):\n    return [Metric('culprit_x', 'X.', 'gauge', read)]",
        "it wanted to end the process (SystemExit: 4)",
        RUNS,
        provoke="/metrics",
    ),
    "a card without end": Wrong(
        "async def data():\n    return {'verdict': 'x' * 1_000_000}\n"
        "@hookimpl\ndef panels(ctx):\n    return [Panel('c', 'Queue', data)]",
        "it is longer than 100,000 characters",
        RUNS,
        provoke="/",
    ),
    "a card that never comes": Wrong(
        "async def data():\n    await asyncio.Event().wait()\n"
        "@hookimpl\ndef panels(ctx):\n    return [Panel('c', 'Queue', data)]",
        "was not there within",
        RUNS,
        provoke="/",
    ),
    "a hook that returns without end": Wrong(
        "@hookimpl\ndef panels(ctx):\n    while True:\n        yield Panel('c', 'Queue', None)",
        "returned more than 10,000 of Panel",
    ),
    "a hook that calls itself": Wrong(
        "@hookimpl\ndef panels(ctx):\n    return panels(ctx)", "RecursionError"
    ),
    "a hook that takes its time": Wrong(
        "@hookimpl\ndef setup(ctx):\n    time.sleep(3.2)",
        "to be imported and set up, in which nothing else was",
        RUNS,
    ),
    "a model that fails": Wrong(
        "from appliance.api.config import PluginConfig\nfrom pydantic import model_validator\n"
        "class Config(PluginConfig):\n    @model_validator(mode='before')\n    @classmethod\n"
        "    def hostile(cls, value):\n        raise RuntimeError('no model')\n"
        "plugin = PluginInfo(id='culprit', title='Culprit', api=1, config=Config)",
        "cannot be configured: its model fails with RuntimeError: no model",
    ),
    "leaves threads behind": Wrong(
        "over = threading.Event()\ndef for_ever():\n    over.wait(30)\n"
        "@hookimpl\nasync def run(ctx):\n    threading.Thread(target=for_ever, name='own', daemon=True).start()\n"
        "    ctx.ready()\n    await asyncio.Event().wait()",
        "1 threads of it outlived it, which nobody can end but itself: own",
        PluginState.STOPPED,
        stop=True,
    ),
    "raises in a health check": Wrong(
        "async def ping():\n    raise ValueError('no pulse')\n"
        "@hookimpl\ndef health_checks(ctx):\n    return [HealthCheck('pulse', ping)]",
        "ValueError: no pulse",
        RUNS,
        provoke="/api/v1/health",
    ),
}


def add(plugins, name, code):
    """A module as if it had been found in a folder."""

    def load():
        module = types.ModuleType(name)
        exec(compile(textwrap.dedent(code), f"{name}.py", "exec"), module.__dict__)
        return module

    loader.add(plugins, loader.Loaded(name, "test"), load)


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    monkeypatch.setattr(ntp_decide, "LATE_NS", 60 * 10**9)


@pytest.mark.parametrize("case", WRONG)
async def test_what_a_plugin_does_wrong_is_named_and_harms_nobody(case, tmp_path, caplog, monkeypatch):
    wrong, discover = WRONG[case], loader.discover

    def found(*args, **kwargs):
        plugins = discover(*args, **kwargs)
        add(plugins, "culprit", HEAD + wrong.code)
        add(plugins, "bystander", GOOD)
        return plugins

    monkeypatch.setattr(loader, "discover", found)
    caplog.set_level(logging.INFO, "timeball")
    async with running(["clock", "metrics", "ntp", "web"], CONFIG, state_dir=tmp_path) as app:
        others = ("clock", "metrics", "ntp", "web", "bystander")
        await app.until_running(*others)
        if wrong.stop:
            await app.until_running("culprit")
            await app.host.supervised["culprit"].stop()

        async def so_far() -> bool:
            if wrong.provoke:
                await app.ask("GET", wrong.provoke)
            checks = (await app.get("/api/v1/doctor"))["checks"]
            there = [c for c in checks if c["id"].startswith("culprit.") and wrong.why in c["text"]]
            return bool(there) and app.status("culprit").state is wrong.state

        await wait_for(so_far, "the doctor to name it", timeout_s=60)
        page = await app.get("/plugins")
        row = page[page.index('<span class="sub from">culprit, ') :].partition("</tr>")[0]
        assert str(escape(wrong.why)) in row
        records = [r.getMessage() + (r.exc_text or "") for r in caplog.records]
        assert any("culprit" in said and wrong.why in said for said in records) or (
            case == "blocks the event loop" and any("held by the plugin culprit" in said for said in records)
        ), records

        if case == "leaves threads behind":  # a test that leaves one fails
            app.host.loaded("culprit").module.over.set()  # type: ignore[union-attr]
        where = Endpoint.parse((await app.get("/api/v1/ntp"))["listen"][0])
        assert (await asyncio.to_thread(ask_ntp, (where.host, where.port))).stratum == 10
        assert (await app.get("/p/bystander/hello")) == {"hello": "world"}
        assert {p: app.status(p).state for p in others} == dict.fromkeys(others, RUNS)
        assert {p for p in others if app.status(p).restarts} == set()


async def test_what_works_again_is_no_fault_any_more_and_is_logged_once(tmp_path, caplog, monkeypatch):
    code = HEAD + (
        "works = []\nasync def data():\n    if not works:\n        raise ValueError('not yet')\n    return {}\n"
        "@hookimpl\ndef panels(ctx):\n    return [Panel('c', 'Queue', data)]\n"
    )
    discover = loader.discover

    def found(*args, **kwargs):
        plugins = discover(*args, **kwargs)
        add(plugins, "culprit", code)
        return plugins

    monkeypatch.setattr(loader, "discover", found)
    caplog.set_level(logging.INFO, "timeball.host")
    async with running([], state_dir=tmp_path) as app:
        (panel,) = app.contributed(Panel)
        for _ in range(3):
            with pytest.raises(ValueError, match="not yet"):
                await panel.data()
        assert [(f.what, f.times) for f in app.host.faults.of("culprit")] == [("card-c", 3)]
        app.host.plugins.good()[0].module.works.append(1)
        assert await panel.data() == {}
        assert app.host.faults.of("culprit") == []
    said = [r.getMessage() for r in caplog.records if "card" in r.getMessage()]
    assert len(said) == 2, said
    assert said[1].endswith("works again")
