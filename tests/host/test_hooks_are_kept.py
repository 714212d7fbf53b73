"""No hook without a page, a test, and a shipped plugin that uses it; what will go is told before it goes."""

import types

import pytest

from appliance.api import hookspecs
from appliance.api.context import SetupContext
from appliance.api.plugin import PluginInfo, hookimpl, hookspec
from appliance.host import loader
from appliance.kit import skeleton
from appliance.testing import contract, running
from tests.support.tree import ROOT

HOOKS = sorted(name for name, value in vars(hookspecs).items() if hasattr(value, "appliance_spec"))
OURS = [loaded for loaded in loader.discover().good() if loaded.builtin]


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_has_a_page_a_test_and_a_shipped_user(hook):
    page = ROOT / "appliance/docs/plugins" / f"hook-{hook.replace('_', '-')}.md"
    text = page.read_text(encoding="utf-8")
    for argument in getattr(hookspecs, hook).__code__.co_varnames:
        assert f"| `{argument}` |" in text
    assert " |  |\n" not in text, "a field without a meaning"
    assert "def test_" in skeleton.example(hook).test
    assert [loaded.id for loaded in OURS if hook in loaded.hooks], "no shipped plugin uses it"
    assert getattr(hookspecs, hook).__doc__


@pytest.fixture
def old_hook(monkeypatch):
    """Hooks as they would be in a version that is about to remove one."""
    specs = types.ModuleType("specs")
    vars(specs).update({name: getattr(hookspecs, name) for name in HOOKS})

    def greet(ctx):
        """Say hello."""

    specs.greet = hookspec(warn_on_impl=DeprecationWarning("greet goes with level 2: use panels"))(greet)
    monkeypatch.setattr(loader, "hookspecs", specs)
    plugin = types.ModuleType("old")
    plugin.plugin = PluginInfo(id="old", title="Old", api=1)
    plugin.greet = hookimpl(lambda ctx: None)
    return plugin


async def test_a_plugin_that_uses_what_will_go_works_and_is_told(old_hook, tmp_path, caplog):
    async with running([old_hook], state_dir=tmp_path) as app:
        await app.until_running("old")
        (shown,) = await app.get("/api/v1/plugins")
    assert shown["deprecated"] == ["greet goes with level 2: use panels"]
    assert "uses what will go: greet goes with level 2" in caplog.text


async def test_an_argument_that_will_go_is_told_too(old_hook, tmp_path, monkeypatch):
    """`warn_on_impl_args`: who does not ask for it hears nothing."""

    def greet(ctx, mood):
        """Say hello."""

    going = DeprecationWarning("greet's mood goes with level 2: ask ctx")
    monkeypatch.setattr(loader.hookspecs, "greet", hookspec(warn_on_impl_args={"mood": going})(greet))
    asking = types.ModuleType("asking")
    asking.plugin = PluginInfo(id="asking", title="Asking", api=1)
    asking.greet = hookimpl(lambda ctx, mood: None)
    async with running([old_hook, asking], state_dir=tmp_path) as app:
        shown = {plugin["id"]: plugin["deprecated"] for plugin in await app.get("/api/v1/plugins")}
    assert shown == {"old": [], "asking": ["greet's mood goes with level 2: ask ctx"]}


async def test_what_will_go_is_shown_by_plugin_test(old_hook, tmp_path, monkeypatch):
    def greet(ctx: SetupContext) -> None:
        """Say hello."""

    monkeypatch.setattr(hookspecs, "greet", greet, raising=False)
    old_hook.greet = hookimpl(greet)
    outcomes = {outcome.check: outcome for outcome in await contract.examine(old_hook, state_dir=tmp_path)}
    assert outcomes["hooks"].state == "passed", "it still works"
    assert "greet goes with level 2" in outcomes["hooks"].why


@pytest.mark.parametrize(("level", "says"), [(99, "update the appliance"), (0, "update the plugin")])
async def test_a_level_that_this_appliance_does_not_have_is_refused_with_what_to_update(
    level, says, tmp_path
):
    plugin = types.ModuleType("other")
    plugin.plugin = PluginInfo(id="other", title="Other", api=level)
    (info, *_) = await contract.examine(plugin, state_dir=tmp_path)
    assert (info.check, info.state) == ("info", "failed")
    assert says in info.why


async def test_the_checklist_of_a_plugin_is_shown(tmp_path):
    async with running(["metrics"], state_dir=tmp_path) as app:
        (shown,) = await app.get("/api/v1/plugins")
    assert (shown["quality"]["level"], shown["quality"]["todo"]) == ("gold", [])
