"""A package's hook keeps its name although a submodule has the same one."""

from __future__ import annotations

import importlib
import sys

import pytest

from appliance.api.plugin import hookimpl
from appliance.host import loader

PLUGIN = """
from appliance.api.plugin import PluginInfo, hookimpl

plugin = PluginInfo(id="shadow", title="Shadow", api=1)

@hookimpl
def routes(ctx):
    from shadow_plugin.routes import ROUTES
    return ROUTES
"""


@pytest.fixture
def shadow_plugin(tmp_path, monkeypatch):
    folder = tmp_path / "shadow_plugin"
    folder.mkdir()
    (folder / "__init__.py").write_text(PLUGIN)
    (folder / "routes.py").write_text("ROUTES = ()\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("shadow_plugin")
    for name in [n for n in sys.modules if n.startswith("shadow_plugin")]:
        del sys.modules[name]


def test_a_plugin_loaded_twice_keeps_the_hook_that_a_submodule_shadows(shadow_plugin):
    """Importing shadow_plugin.routes replaces the package's attribute `routes`; the next host still finds the hook."""
    for _ in range(2):
        plugins = loader.discover(only=())
        loaded = loader.add(plugins, loader.Loaded("shadow", "test"), lambda: shadow_plugin)
        assert loaded.error == ""
        assert loaded.hooks == ("routes",)
        importlib.import_module("shadow_plugin.routes")


def test_a_hook_stays_where_a_submodule_is_imported_before_the_package_is_loaded(shadow_plugin):
    """As a test of one of its modules does: then the package comes to the host with a module in the hook's place."""
    importlib.import_module("shadow_plugin.routes")
    plugins = loader.discover(only=())
    loaded = loader.add(plugins, loader.Loaded("shadow", "test"), lambda: shadow_plugin)
    assert (loaded.error, loaded.hooks) == ("", ("routes",))


def test_hookimpl_takes_the_options_of_pluggy_and_marks_once():
    @hookimpl(specname="routes")
    def other(ctx):
        return ()

    assert hookimpl(other) is other
    assert other.appliance_impl["specname"] == "routes"
