"""What a plugin puts in the place of another's functions is seen, with whose it is and where; imports and own code are not."""

from __future__ import annotations

import functools
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.host import explain, loader
from appliance.host.patches import find
from appliance.testing import running
from tests.support.wait import wait_for


def module(name, code="", **values):
    made = types.ModuleType(name)
    exec(compile(code, f"{name}.py", "exec"), made.__dict__)
    made.__dict__.update(values)
    return made


STRANGER = """
def f(): pass
async def g(): pass
class C:
    def __call__(self): pass
    def m(self): pass
    def __getattr__(self, name): raise RuntimeError(name)
"""
OURS = "def f(): pass\nclass A:\n    def m(self): pass\n    @property\n    def p(self): pass\n"


def places(*modules):
    def owner(name):
        return name if name.startswith("stranger") else ""

    return {(p.plugin, p.place) for p in find(modules, owner, lambda name: name.startswith("ours"))}


@pytest.fixture
def stranger():
    return module("stranger", STRANGER)


def test_functions_classes_and_objects_of_a_plugin_are_found_wherever_they_stand(stranger):
    ours = module("ours", OURS)
    assert places(ours, stranger) == set()
    ours.f = stranger.f
    ours.A.m = stranger.g
    ours.A.p = property(stranger.f)
    ours.part = functools.partial(stranger.f, 1)
    ours.kind = stranger.C
    ours.thing = stranger.C()
    ours.bound = types.MethodType(stranger.f, 1)
    ours.A.s = staticmethod(stranger.f)
    ours.wrapped = functools.wraps(ours.A)(stranger.g)
    assert {place for plugin, place in places(ours, stranger) if plugin == "stranger"} == {
        "ours.f", "ours.A.m", "ours.A.p", "ours.part", "ours.kind", "ours.thing", "ours.bound", "ours.A.s", "ours.wrapped",
    }  # fmt: skip


def test_the_standard_library_is_looked_at_and_imports_of_libraries_are_theirs(stranger):
    clock = module("time", sleep=stranger.f)
    friend = module("stranger2", f=stranger.f, other=stranger.f)
    library = module("somelib", g=stranger.g)
    assert places(clock, friend, library, stranger) == {
        ("stranger", "time.sleep"), ("stranger", "stranger2.other")
    }  # fmt: skip


@given(st.lists(st.sampled_from([None, 1, "x", len, int, [], {}, object(), functools.partial(len)])))
def test_whatever_else_stands_there_is_nobodys(values):
    assert places(module("ours", **{f"v{n}": v for n, v in enumerate(values)})) == set()


CULPRIT = """
from appliance import PluginInfo, hookimpl
from appliance.host import explain
plugin = PluginInfo(id="culprit", title="Culprit", api=1)

def better(*arguments):
    return "mine"

explain.suspicious = better
"""


async def test_the_doctor_names_who_did_it_and_takes_it_back_when_it_is_over(tmp_path, monkeypatch):
    monkeypatch.setattr(explain, "suspicious", None, raising=False)
    discover = loader.discover

    def found(*args, **kwargs):
        plugins = discover(*args, **kwargs)
        loader.add(plugins, loader.Loaded("culprit", "test"), lambda: module("culprit", CULPRIT))
        return plugins

    monkeypatch.setattr(loader, "discover", found)
    async with running([], state_dir=tmp_path) as app:

        async def told():
            checks = (await app.get("/api/v1/doctor"))["checks"]
            return [c["text"] for c in checks if c["id"] == "culprit.patches"]

        (text,) = await wait_for(told, "the doctor to name it")
        assert text.endswith("it put code of its own in the place of appliance.host.explain.suspicious")
        explain.suspicious = None
        await app.host.watch.look_for_patches()
        assert await told() == []
