"""`timeball plugin new`: what it writes is good at once, whatever was chosen; it refuses bad names and never overwrites."""

import ast
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from appliance.cli import build
from appliance.host import collect, loader
from appliance.kit import naming, skeleton
from tests.support.tree import ROOT

PUBLIC = ("appliance", "appliance.api", "appliance.testing")


def new(*words, where):
    return CliRunner().invoke(build(), ["plugin", "new", *words], env={"PWD": str(where)})


def written(where, *words, name="hello"):
    done = new(name, "--yes", "--dir", str(where), *words, where=where)
    assert done.exit_code == 0, done.output
    return where


def tools(folder, *, tests=True, types=True):
    """What a person would run first: the linter, the formatter, the type checker, the tests."""
    environment = {**os.environ, "MYPYPATH": f"{ROOT}:{ROOT / 'plugins'}", "PYTHONDONTWRITEBYTECODE": "1"}
    run = [sys.executable, "-m"]
    ruff = [str(Path(sys.executable).with_name("ruff"))]
    # As its own pyproject.toml says; a single file has none.
    wide = ["--no-cache", "--config", "line-length=120"]
    lines = [[*ruff, "check", *wide, "."], [*ruff, "format", "--check", *wide, "."]]
    if types:
        cache = ["--cache-dir", str(ROOT / ".cache" / "mypy-skeleton")]
        lines.append([*run, "mypy", "--strict", "--explicit-package-bases", *cache, "."])
    if tests:
        lines.append([*run, "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"])
    for line in lines:
        done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(line)}\n{done.stdout}{done.stderr}"


def test_everything_together_passes_lint_types_and_its_own_tests(tmp_path):
    tools(written(tmp_path / "p", "--hooks", "all"))


def test_nothing_but_the_least_does_too(tmp_path):
    tools(written(tmp_path / "p", "--hooks", "setup"))


def test_so_does_the_longest_name(tmp_path):
    name = "a" * naming.MOST_LETTERS
    tools(written(tmp_path / "p", "--hooks", "all", name=name), tests=False, types=False)


@pytest.mark.slow
@pytest.mark.parametrize("hook", skeleton.HOOKS)
def test_each_hook_alone_does_too(tmp_path, hook):
    tools(written(tmp_path / "p", "--hooks", hook))


def test_each_hook_alone_is_well_formed(tmp_path):
    for hook in skeleton.HOOKS:
        written(tmp_path / hook, "--hooks", hook)
    tools(tmp_path, tests=False, types=False)


def test_some_pairs_are_well_formed(tmp_path):
    for first, second in list(itertools.combinations(skeleton.HOOKS, 2))[::7]:
        written(tmp_path / f"{first}-{second}", "--hooks", f"{first},{second}")
    tools(tmp_path, tests=False, types=False)


def test_a_single_file_is_well_formed_and_loads_with_every_hook(tmp_path):
    written(tmp_path, "--single-file", "--hooks", "all")
    assert [path.name for path in tmp_path.iterdir()] == ["hello.py"]
    tools(tmp_path, tests=False, types=False)
    try:
        plugins = loader.discover([tmp_path], only=["hello"])
    finally:
        sys.modules.pop("appliance_dropin_hello", None)
    (loaded,) = plugins.good()
    assert set(loaded.hooks) == {"setup", *skeleton.HOOKS}


def test_every_hook_there_is_has_a_template():
    assert {*collect.CONTRIBUTIONS, "setup", "run", "commands"} == {"setup", *skeleton.HOOKS}


def test_a_new_plugin_imports_nothing_private(tmp_path):
    """What it needs is public: `appliance`, `appliance.api` and `appliance.testing`."""
    written(tmp_path / "p", "--hooks", "all")
    written(tmp_path / "p", "--hooks", "all", "--single-file")
    for path in (tmp_path / "p").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "appliance":
                public = node.module in PUBLIC or node.module.startswith("appliance.api.")
                assert public, f"{path.name} imports {node.module}"


@pytest.mark.parametrize(
    ("name", "what"),
    [("Hello", "'hello' would do"), ("my-plugin", "'my_plugin' would do"), ("9lives", "'lives' would do"),
     ("class", "word of Python"), ("appliance_x", "'x' would do"), ("dns", "taken"), ("member", "taken"),
     ("x" * 21, "too long"), ("../up", "'up' would do"), ("", "cannot name")],
)  # fmt: skip
def test_a_bad_name_is_refused_with_what_would_be_right(tmp_path, name, what):
    done = new(name, "--yes", "--dir", str(tmp_path / "p"), where=tmp_path)
    assert done.exit_code == 2
    assert what in done.output
    assert not (tmp_path / "p").exists()


@given(st.text(max_size=40))
def test_what_is_suggested_is_a_name(name):
    like = naming.suggestion(name)
    assert like == "" or naming.refusal(like, ()) == "" or "word of Python" in naming.refusal(like, ())


def test_on_a_terminal_it_asks_what_the_plugin_shall_bring(tmp_path, monkeypatch):
    monkeypatch.setattr("appliance.commands.authors._on_a_terminal", lambda: True)
    words = ["plugin", "new", "hello", "--dir", str(tmp_path / "p")]
    done = CliRunner().invoke(build(), words, input="panels, retention\n")
    assert done.exit_code == 0, done.output
    assert "a card on the overview page" in done.output
    text = (tmp_path / "p/appliance_hello/__init__.py").read_text(encoding="utf-8")
    hooks = {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    assert hooks == {"setup", "panels", "retention", "migrations"}, (
        "retention brings the table that it is about"
    )


def test_an_unknown_hook_is_refused_with_those_there_are(tmp_path):
    done = new("hello", "--hooks", "panel", "--dir", str(tmp_path / "p"), where=tmp_path)
    assert (done.exit_code, "there are: run, panels" in done.output) == (2, True)


def test_nothing_is_ever_overwritten(tmp_path):
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    assert new("hello", "--yes", "--dir", str(tmp_path), where=tmp_path).exit_code == 6
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    (tmp_path / "hello.py").write_text("mine", encoding="utf-8")
    assert new("hello", "--yes", "--single-file", "--dir", str(tmp_path), where=tmp_path).exit_code == 6
    assert (tmp_path / "hello.py").read_text(encoding="utf-8") == "mine"
