"""One plugin that cannot be loaded is named and left out; the others come up."""

import types

import pytest

from appliance.api.contrib import Metric, Route
from appliance.api.errors import ConfigError
from appliance.api.plugin import PluginInfo, hookimpl
from appliance.core.routes import RouteTable
from appliance.host import collect, loader


def module(plugin_id, *, info=None, **functions):
    made = types.ModuleType(f"plugin_{plugin_id}")
    made.plugin = info or PluginInfo(id=plugin_id, title=plugin_id, api=1)
    for name, function in functions.items():
        setattr(made, name, hookimpl(function))
    return made


def load(*modules):
    plugins = loader.discover(only=[])
    for made in modules:
        loader.add(plugins, loader.Loaded(made.__name__, "test"), lambda made=made: made)
    return plugins


def error_of(made):
    return load(made).found[-1].error


def test_the_good_ones_are_registered_with_their_hooks():
    plugins = load(module("a", setup=lambda ctx: None, metrics=lambda: ()))
    assert plugins.good()[0].hooks == ("metrics", "setup")


def test_a_module_that_cannot_be_imported_is_named_with_its_traceback():
    plugins = loader.discover(only=[])

    def broken():
        raise ImportError("no module named nowhere")

    loaded = loader.add(plugins, loader.Loaded("x", "test"), broken)
    assert "cannot be imported: ImportError: no module named nowhere" in loaded.error
    assert "Traceback" in loaded.detail
    assert plugins.good() == []


async def _run(ctx):
    pass


def _defaulted(ctx=None):
    pass


def _keyword(*, ctx):
    pass


def _stranger(ctx, surprise):
    pass


async def _async_setup(ctx):
    pass


@pytest.mark.parametrize(
    ("made", "word"),
    [
        (module("a", setupp=lambda ctx: None), 'did you mean "setup"'),
        (module("a", setup=_async_setup), "must not be an async"),
        (module("a", run=lambda ctx: None), "must be an async"),
        (module("a", setup=_defaulted), "without default"),
        (module("a", setup=_keyword), "not keyword-only"),
        (module("a", setup=_stranger), '"surprise", which the host does not give'),
        (module("a", info=PluginInfo(id="a", title="", api=99)), "update the appliance"),
        (module("a", info=PluginInfo(id="a", title="", api=0)), "update the plugin"),
        (module("a", info=PluginInfo(id="Bad-Id", title="", api=1)), "not a lower-case word"),
        (types.ModuleType("empty"), 'no PluginInfo named "plugin"'),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(made, word):
    assert word in error_of(made)


def test_an_id_that_is_taken_is_refused():
    plugins = load(module("a"), module("a"))
    assert [bool(p.error) for p in plugins.found] == [False, True]


def test_wrappers_are_refused():
    made = module("a")
    made.setup = hookimpl(wrapper=True)(lambda ctx: (yield))
    assert "wrapper" in error_of(made)


def test_each_plugin_is_called_alone():
    def bad(ctx):
        raise ConfigError("key", "why")

    plugins = load(
        module("a", setup=bad), module("b", metrics=lambda ctx: [Metric("m", "h", "gauge", lambda: 1.0)])
    )
    a, b = plugins.found
    with pytest.raises(ConfigError):
        collect.call(plugins, a, "setup", ctx=None)
    assert collect.call(plugins, b, "setup", ctx=None) is None
    assert [m.name for m in collect.collect(plugins, b, None)["metrics"]] == ["m"]


@pytest.mark.parametrize("value", [3, [3], [Route("GET", "x", None)]])
def test_a_contribution_of_the_wrong_type_is_named(value):
    plugins = load(module("a", metrics=lambda ctx: value))
    with pytest.raises(TypeError, match="metrics"):
        collect.collect(plugins, plugins.found[0], None)


class Service:
    pass


def test_providers_come_before_those_that_require_them_and_rings_are_named():
    user = module("a", info=PluginInfo(id="a", title="", api=1, requires=(Service,)))
    provider = module("z", info=PluginInfo(id="z", title="", api=1, provides=(Service,)))
    last = module("m", info=PluginInfo(id="m", title="", api=1, after=("a",)))
    ring = [
        module(n, info=PluginInfo(id=n, title="", api=1, after=(m,))) for n, m in (("r", "s"), ("s", "r"))
    ]
    plugins = load(user, provider, last, *ring)
    assert [p.id for p in collect.order(plugins.good())] == ["z", "a", "m"]
    assert "ring" in plugins.found[-1].error


def test_drop_in_files_and_folders_are_plugins(tmp_path):
    text = "from appliance import PluginInfo\nplugin = PluginInfo(id={!r}, title='t', api=1)\n"
    (tmp_path / "one.py").write_text(text.format("one"))
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "__init__.py").write_text("from . import inner\n" + text.format("two"))
    (tmp_path / "two" / "inner.py").write_text("")
    (tmp_path / "broken.py").write_text("this is not Python")
    (tmp_path / "_private.py").write_text("raise SystemExit")
    plugins = loader.discover([tmp_path, tmp_path / "missing"], only=["one", "two", "broken"])
    assert sorted(p.id for p in plugins.good()) == ["one", "two"]
    assert [p.id for p in plugins.found if p.error] == ["broken"]


def test_safe_mode_does_not_even_import_strangers_and_says_that_they_are_left_out(tmp_path):
    (tmp_path / "one.py").write_text("raise SystemExit\n")
    plugins = loader.discover([tmp_path], safe_mode=True)
    assert all(p.builtin for p in plugins.good())
    assert [(p.id, p.left_out, p.error) for p in plugins.found if not p.builtin] == [
        ("one", True, "is left out: safe mode")
    ]


def test_a_path_that_another_plugin_has_is_refused_whole():
    async def handler(request):
        return None

    table = RouteTable()
    table.mount("good", (Route("GET", "/api/v1/things/{id}", handler, "read"),))
    with pytest.raises(ValueError, match="taken by the plugin good"):
        table.mount(
            "greedy",
            (Route("GET", "fine", handler, "read"), Route("GET", "/api/v1/things/{name}", handler, "read")),
        )
    assert {m.plugin for m in table.routes()} == {"good"}
