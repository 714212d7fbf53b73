"""The contract suite: a good plugin passes, and each fault is found, named, and told with its remedy."""

import asyncio
import json
import socket
import sys
import threading
import time
import types

import pytest
from click.testing import CliRunner

from appliance import PluginInfo, RunContext, SetupContext, hookimpl
from appliance.api.config import PluginConfig, setting
from appliance.api.contrib import (
    AnswerSource,
    HealthCheck,
    LiveName,
    Metric,
    PacketPolicy,
    Panel,
    PolicyRule,
    ProbeKind,
    Route,
    ScoreRule,
)
from appliance.api.model import Sample, Step
from appliance.cli import build
from appliance.testing import contract
from tests.host.test_new_plugin import written


class Config(PluginConfig):
    name: str = setting("x", help="A name.")


def module(config=Config, **functions):
    made = types.ModuleType("appliance_faulty")
    made.__file__ = __file__
    made.plugin = PluginInfo(id="faulty", title="Faulty", api=1, config=config)
    for name, function in functions.items():
        setattr(made, name, hookimpl(function))
    return made


async def good_run(ctx: RunContext) -> None:
    ctx.ready()
    while True:
        await ctx.clock.sleep(0.01)


async def failed(tmp_path, made):
    return {o.check: o for o in await contract.examine(made, state_dir=tmp_path) if o.state == "failed"}


async def test_a_good_plugin_passes_everything(tmp_path):
    assert await failed(tmp_path, module(run=good_run)) == {}


async def never(ctx: RunContext) -> None:
    raise RuntimeError("the cable is not plugged in")


async def swallows(ctx: RunContext) -> None:
    ctx.ready()
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            if ctx.log.isEnabledFor(0) or True:
                await asyncio.sleep(30)
                return


async def forgets_a_task(ctx: RunContext) -> None:
    loop = asyncio.get_running_loop()
    _kept.append(loop.create_task(asyncio.sleep(3600)))
    ctx.ready()
    await asyncio.sleep(3600)


async def forgets_a_timer(ctx: RunContext) -> None:
    asyncio.get_running_loop().call_later(3600, print)
    ctx.ready()
    await asyncio.sleep(3600)


async def forgets_a_socket(ctx: RunContext) -> None:
    _kept.append(socket.socket())
    ctx.ready()
    await asyncio.sleep(3600)


async def forgets_a_thread(ctx: RunContext) -> None:
    thread = threading.Thread(target=_over.wait, name="forgotten", daemon=True)
    thread.start()
    ctx.ready()
    await asyncio.sleep(3600)


async def runs_once(ctx: RunContext) -> None:
    if _kept:
        raise RuntimeError("I have run already")
    _kept.append(1)
    ctx.ready()
    await asyncio.sleep(3600)


async def blocks(ctx: RunContext) -> None:
    time.sleep(0.3)  # noqa: TID251, ASYNC251 - the fault
    ctx.ready()
    await asyncio.sleep(3600)


_kept = []
_over = threading.Event()


@pytest.fixture
async def clean():
    """What the faulty ones leave is closed after the test."""
    _over.clear()
    yield
    _over.set()
    for thing in _kept:
        if isinstance(thing, socket.socket):
            thing.close()
        elif isinstance(thing, asyncio.Task):
            thing.cancel()
            await asyncio.wait({thing})
    _kept.clear()


@pytest.mark.parametrize(
    ("run", "check", "says"),
    [
        (never, "starts", "cable"),
        (forgets_a_task, "leaves-nothing", "left task"),
        (forgets_a_timer, "leaves-nothing", "left timer"),
        (forgets_a_socket, "leaves-nothing", "descriptor socket"),
        (forgets_a_thread, "leaves-nothing", "thread forgotten"),
        (runs_once, "restarts", "run already"),
        (blocks, "does-not-block", "in blocks"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_a_fault_of_run_is_found_and_named(tmp_path, clean, run, check, says, monkeypatch):
    monkeypatch.setattr("appliance.testing.contract.examination.READY_S", 1.0 if run is never else 30.0)
    found = await failed(tmp_path, module(run=run))
    assert says in found[check].why
    assert found[check].remedy


async def _say(value):
    return value


async def _connects(target, timeout_s):
    await asyncio.open_connection(target.address, target.port)


@pytest.mark.parametrize(
    ("made", "check", "says"),
    [
        (module(run=lambda ctx: None), "info", "must be an async function"),
        (module(metrics=lambda ctx: []), "hooks", "does not say what ctx is: ctx: SetupContext"),
        (
            module(type("C", (PluginConfig,), {"__annotations__": {"x": int}, "x": 1})),
            "config",
            "x has no help",
        ),
    ],
)
async def test_a_fault_of_the_description_is_found(tmp_path, made, check, says):
    assert says in (await failed(tmp_path, made))[check].why


@pytest.mark.parametrize(
    ("hook", "contributed", "check", "says"),
    [
        ("metrics", Metric("Bad-Name", "h", "gauge", lambda: 1), "metrics", "no name for a metric"),
        ("metrics", Metric("looks", "h", "counter", lambda: 1), "metrics", "end in _total"),
        ("metrics", Metric("looks", "h", "gauge", lambda: "1"), "metrics", "a number is wanted"),
        ("metrics", Metric("x", "h", "gauge", lambda: [(("a", "b"), 1)], ("one",)), "metrics", "1 labels"),
        ("panels", Panel("p", "P", lambda: _say({"level": "ok"})), "panels", "a verdict"),
        ("panels", Panel("p", "P", lambda: _say({"columns": ["a"], "rows": [[1, 2]]}), "table"), "panels", "1 values"),
        ("health_checks", HealthCheck("h", lambda: _say(True)), "health-checks", "a sentence"),
        ("routes", Route("POST", "x", _say, scope="public"), "routes", "is public"),
        ("routes", Route("GET", "x", _say), "starts", "needs a scope"),
        ("probe_kinds", ProbeKind("knock", _connects), "probe-kinds", "knock raises ConnectionRefusedError where nobody"),
        ("probe_kinds", ProbeKind("knock", lambda target, timeout_s: _say(Sample())), "probe-kinds", "says nothing"),
        ("probe_kinds", ProbeKind("knock", lambda target, timeout_s: _say(None)), "probe-kinds", "it returned NoneType"),
        ("score_rules", ScoreRule("far", lambda probe: Step("far", 1 - probe.rtt_s)), "score-rules", "far raises TypeError"),
        ("score_rules", ScoreRule("nan", lambda probe: Step("nan", float("nan"))), "score-rules", "a Step with a number"),
        ("answer_sources", AnswerSource("own", records=lambda zone: [("@", "TXT")]), "answer-sources", "AnswerRecords is"),
        ("answer_sources", AnswerSource("none", reweigh=lambda candidates: ()), "answer-sources", "the same candidates"),
        ("live_names", LiveName("_x", lambda question: question.above[0]), "live-names", "_x raises IndexError"),
        ("packet_policies", PacketPolicy((PolicyRule("192.0.2.1/33", "deny"),)), "packet-policies", "is no prefix"),
    ],
)  # fmt: skip
async def test_a_fault_of_what_it_contributes_is_found(tmp_path, hook, contributed, check, says):
    def hooked(ctx: SetupContext) -> list:
        return [contributed]

    assert says in (await failed(tmp_path, module(**{hook: hooked})))[check].why


async def test_one_that_puts_its_code_in_the_place_of_anothers_is_found(tmp_path, monkeypatch):
    own = types.FunctionType((lambda: None).__code__, {"__name__": "appliance_faulty"})

    def setup(ctx: SetupContext) -> None:
        monkeypatch.setattr("appliance.host.explain.explain", own)
        monkeypatch.setattr("textwrap.dedent", own)

    found = await failed(tmp_path, module(setup=setup))
    assert "the place of appliance.host.explain.explain" in found["leaves-others-alone"].why
    assert "the place of textwrap.dedent" in found["leaves-others-alone"].why


async def test_one_that_swallows_its_cancellation_is_found(tmp_path, monkeypatch):
    from dataclasses import replace

    from appliance.testing.contract import examination

    monkeypatch.setattr(examination, "_TIMING", replace(examination._TIMING, stop_s=0.2))
    found = await failed(tmp_path, module(run=swallows))
    assert "did not stop" in found["survives-cancellation"].why
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
        await asyncio.wait({task})


async def test_what_the_author_exempts_with_a_reason_does_not_fail(tmp_path):
    def routes(ctx: SetupContext) -> list:
        return [Route("POST", "x", _say, scope="public")]

    made = module(routes=routes)
    outcomes = await contract.examine(made, state_dir=tmp_path, exempt={"routes": "it signs people in"})
    assert [(o.state, o.why) for o in outcomes if o.check == "routes"] == [("exempt", "it signs people in")]


# -- the command --------------------------------------------------------------------------------------------------------


def trial(*words):
    return CliRunner().invoke(build(), ["plugin", "test", *words])


def test_what_plugin_new_writes_passes_plugin_test(tmp_path):
    done = trial(str(written(tmp_path / "p", "--hooks", "all")), "--json")
    assert done.exit_code == 0, done.output
    states = {entry["check"]: entry["state"] for entry in json.loads(done.stdout)}
    assert states == {"own-tests": "passed", **dict.fromkeys(contract.CHECKS, "passed"), "quality": "passed"}
    quality = json.loads(done.stdout)[-1]
    assert quality["level"] == "bronze"
    assert "schemas" in quality["missing"], "the next level, and what it asks"


def test_what_a_checklist_claims_and_is_not_so_fails(tmp_path):
    folder = written(tmp_path / "p", "--hooks", "setup")
    checklist = folder / "appliance_hello/quality.toml"
    text = checklist.read_text(encoding="utf-8")
    checklist.write_text(text.replace('health-check = "todo"', 'health-check = "done"'), encoding="utf-8")
    done = trial(str(folder))
    assert done.exit_code == 1
    assert "health-check is called done, and it has no health check" in done.output


def test_so_does_a_single_file(tmp_path):
    written(tmp_path, "--single-file")
    done = trial(str(tmp_path / "hello.py"))
    assert done.exit_code == 0, done.output
    assert "it has no tests" in done.output


def test_a_module_that_ends_the_process_is_told_and_harms_nobody(tmp_path):
    (tmp_path / "bad.py").write_text("import os\nos._exit(3)\n", encoding="utf-8")
    done = trial(str(tmp_path / "bad.py"))
    assert done.exit_code == 1
    assert "ended with code 3" in done.output


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [("x.txt", "", "is no plugin"), ("pyproject.toml", "[project]\n", "names no plugin"),
     ("pyproject.toml", "[", "cannot be read")],
)  # fmt: skip
def test_a_path_without_a_plugin_is_refused_with_what_would_be_right(tmp_path, file, text, says):
    (tmp_path / file).write_text(text, encoding="utf-8")
    done = trial(str(tmp_path))
    assert (done.exit_code, says in done.output) == (2, True), done.output


def test_a_test_suite_without_pytest_is_said_and_not_hidden(tmp_path, monkeypatch):
    from appliance.kit import trial as trying

    monkeypatch.setitem(sys.modules, "pytest", None)
    monkeypatch.setattr(trying.importlib.util, "find_spec", lambda name: None)
    place = trying.find(written(tmp_path / "p"))
    assert "pytest is not installed" in trying.own_tests(place)["why"]


@pytest.mark.parametrize(
    ("code", "says"),
    [("x = 1\n1 / 0\n", "bad.py:2 in <module>: 1 / 0"), ("import nowhere_at_all\n", "name what brings nowhere_at_all"),
     ("def x(:\n", "(bad.py, line 1)")],
)  # fmt: skip
def test_what_cannot_be_imported_says_where_and_what_to_do(tmp_path, code, says):
    (tmp_path / "bad.py").write_text(code, encoding="utf-8")
    done = trial(str(tmp_path / "bad.py"))
    assert done.exit_code == 1
    assert says in done.output
    assert "asyncio" not in done.output, "only the lines of its own"


def test_an_entry_point_that_leads_nowhere_says_what_is_there(tmp_path):
    folder = written(tmp_path / "p", "--hooks", "setup")
    project = folder / "pyproject.toml"
    text = project.read_text(encoding="utf-8").replace(
        'hello = "appliance_hello"', 'hello = "appliance_hallo"'
    )
    project.write_text(text, encoding="utf-8")
    assert "the packages there are: appliance_hello" in trial(str(folder)).output


def test_the_test_beside_a_single_file_is_run(tmp_path):
    written(tmp_path, "--single-file", "--hooks", "setup")
    test = "import hello\n\nasync def test_it():\n    assert hello.plugin.id == 'hallo'\n"
    (tmp_path / "test_hello.py").write_text(test, encoding="utf-8")
    done = trial(str(tmp_path / "hello.py"), "--json")
    own = json.loads(done.stdout)[0]
    assert (done.exit_code, own["check"], own["state"]) == (1, "own-tests", "failed")
    assert "'hallo'" in own["why"]
