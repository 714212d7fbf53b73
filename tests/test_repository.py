"""What must hold for the tree as a whole, whoever adds to it."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from pathlib import Path

import pytest

from appliance.api import hookspecs
from appliance.api.plugin import PluginInfo
from tests.support.programs import peer_packages
from tests.support.tree import ROOT, plugin_modules, project, tracked, tracked_text

#: Longer than that hides two ideas. Tests may be longer: their ideas stand one below the other.
MOST_LINES, MOST_TEST_LINES = 400, 700
#: Longer all the same, each with its reason.
LONG_MODULES: dict[str, str] = {}

PYTHON = [path for path in tracked() if path.suffix == ".py"]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_folder_of_the_root_shadows_a_library() -> None:
    """`packaging` is a library that pytest itself imports: a folder of that name must not be a package."""
    for folder in ("packaging", "plugins", "images", "tests"):
        assert not (ROOT / folder / "__init__.py").exists(), (
            f"{folder}/__init__.py makes the folder importable"
        )


def test_no_committed_file_names_a_registry_or_a_machine() -> None:
    hosts = r"pypi\.org|pythonhosted|registry\.npmjs|static\.crates|index\.crates|proxy\.golang|deb\.debian|piwheels\.org"
    folders = r"(?<![\w.])/(?:work|root|home/[a-z]+|Users/[A-Za-z]+)/"
    own = ("tests/test_repository.py",)
    for name, text in tracked_text():
        if name not in own:
            found = re.search(f"{hosts}|{folders}", text)
            assert not found, f"{name} names {found[0]!r}" if found else ""


def test_no_committed_file_holds_a_secret() -> None:
    marks = (
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----\n[A-Za-z0-9+/]|\bgh[pousr]_[A-Za-z0-9]{30}|\bAKIA[A-Z0-9]{16}\b"
    )
    for name, text in tracked_text():
        found = re.search(marks, text)
        assert not found, f"{name} holds what looks like a secret" if found else ""


@pytest.mark.parametrize("path", PYTHON, ids=relative)
def test_module_is_one_idea(path: Path) -> None:
    """It compiles, and is short enough to be one idea."""
    text = path.read_text(encoding="utf-8")
    ast.parse(text, filename=str(path))
    lines, most = text.count("\n"), MOST_TEST_LINES if relative(path).startswith("tests/") else MOST_LINES
    if relative(path) in LONG_MODULES:
        assert lines > most, f"{relative(path)} is short now: take it off the list"
    else:
        assert lines <= most, (
            f"{relative(path)} has {lines} lines: it hides two ideas, or needs a reason here"
        )


def test_no_plugin_imports_another() -> None:
    """Plugins meet through services, found by type."""
    for path in PYTHON:
        parts = path.relative_to(ROOT).parts
        if parts[0] != "plugins":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += (
                [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            )
            for name in names:
                top = name.partition(".")[0]
                assert not top.startswith("appliance_") or top == parts[1], f"{relative(path)} imports {name}"


#: The only module that imports scapy: run by the inspector's child, never by us.
DISSECT = "plugins/appliance_inspector/judging/dissect.py"


def test_libraries_that_stay_out_of_the_main_process() -> None:
    """scapy is GPL and slow to import; it lives in the inspector's child process alone."""
    for path in PYTHON:
        own = relative(path)
        if own.startswith(("appliance/", "plugins/")) and own != DISSECT:
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"^\s*(?:import|from) (?:scapy|toml)\b", text, re.MULTILINE), relative(path)


@pytest.mark.parametrize(("name", "module"), plugin_modules().items())
def test_built_in_plugin_is_whole(name: str, module: str) -> None:
    """Entry point, identity and folder agree; its README names every key of its configuration."""
    found = importlib.import_module(module)
    info = found.plugin
    assert isinstance(info, PluginInfo)
    assert info.id == name
    assert info.title
    readme = Path(str(found.__file__)).parent / "README.md"
    assert readme.is_file(), f"{module} has no README.md"
    text = readme.read_text(encoding="utf-8")
    for key, field in (info.config.model_fields if info.config else {}).items():
        assert field.description, f"[plugins.{name}] {key} has no help"
        assert re.search(rf"\b{key}\b", text), f"{module}/README.md does not mention {key}"


def test_every_plugin_folder_is_registered() -> None:
    folders = {path.parent.name for path in tracked() if path.match("plugins/*/__init__.py")}
    assert folders == set(plugin_modules().values())


def test_every_hook_has_a_shipped_user() -> None:
    """An extension point that nobody uses is one that nobody knows to work."""
    specs = {name for name, spec in vars(hookspecs).items() if hasattr(spec, "appliance_spec")}
    modules = [importlib.import_module(name) for name in plugin_modules().values()]
    used = {
        name for name in specs for module in modules if hasattr(getattr(module, name, None), "appliance_impl")
    }
    assert sorted(specs - used) == []


def test_console_script_and_version_exist() -> None:
    module, _, function = project()["project"]["scripts"]["timeball"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))
    assert re.fullmatch(r"\d+\.\d+\.\d+", project()["project"]["version"])


def test_change_fragments_are_named_and_say_something() -> None:
    for path in sorted((ROOT / "packaging" / "changes").iterdir()):
        if path.name == ".gitkeep":
            continue
        assert re.fullmatch(r"[a-z0-9-]+\.(feature|fix|change|removal|doc)\.md", path.name), path.name
        lines = path.read_text(encoding="utf-8").strip().splitlines()
        assert 1 <= len(lines) <= 6, f"{path.name}: one or two lines for users"


def test_programs_that_tests_need_are_installed_by_make_peers() -> None:
    offered = {program for programs in peer_packages().values() for program in programs}
    for path in PYTHON:
        if relative(path).startswith("tests/") and path.name != "test_harness.py":
            for program in re.findall(r"\bneed\(\"([^\"]+)\"\)", path.read_text(encoding="utf-8")):
                assert program in offered, (
                    f"{relative(path)} needs {program}: name it in packaging/test-peers.txt"
                )


@pytest.fixture
def licences(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "packaging"))
    yield importlib.import_module("licences")
    sys.modules.pop("licences", None)


def test_licences_of_locked_packages_are_known_and_permissive(licences) -> None:
    """The recorded table is that of the constraints, and each licence may be shipped with ours."""
    recorded = dict(
        re.findall(
            r"^\| ([a-z0-9._-]+) \| (.+) \|$", (ROOT / "packaging/licences.md").read_text(), re.MULTILINE
        )
    )
    recorded.pop("package", None)
    assert recorded.keys() == {*licences.locked("constraints.txt"), *licences.locked("constraints-test.txt")}
    foreign = {name for name, licence in recorded.items() if not licences.acceptable(licence)}
    assert foreign == set(licences.APART)
    assert not foreign & licences.locked("constraints.txt").keys(), "what runs with us by default"


def test_constraints_hold_every_dependency(licences) -> None:
    """`make lock` was run after the dependencies changed: nothing is installed that no hash vouches for."""
    run, test = licences.locked("constraints.txt"), licences.locked("constraints-test.txt")
    about = project()

    def names(requirements: list[str]) -> set[str]:
        return {re.match(r"[A-Za-z0-9._-]+", text)[0].lower() for text in requirements}

    assert names(about["project"]["dependencies"]) | names(about["build-system"]["requires"]) <= run.keys()
    assert names(about["project"]["optional-dependencies"]["test"]) <= run.keys() | test.keys()
    assert not run.keys() & test.keys()
    for name in ("constraints.txt", "constraints-test.txt"):
        text = (ROOT / "packaging" / name).read_text(encoding="utf-8")
        assert text.count("==") <= text.count("--hash=sha256:")
