"""The manual and README say what is: links lead somewhere, configuration is valid, commands exist, pages match the code."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from appliance.cli import build, tree_for
from tests.support.tree import ROOT, tracked

PAGES = [path for path in tracked() if path.suffix == ".md" and "fixtures" not in path.parts]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(language: str) -> list[object]:
    """Fenced blocks of one language in README and manual, as pytest parameters."""
    found = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            if match[1] == language:
                line = text.count("\n", 0, match.start()) + 2
                found.append(pytest.param(match[2], id=f"{relative(path)}:{line}"))
    return found


def headings(path: Path) -> set[str]:
    """Anchors of a page, as the manual and code hosts make them."""
    text = BLOCK.sub("", path.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    return {re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") for title in titles}


def test_decisions_are_numbered_once_and_listed_in_order() -> None:
    folder = ROOT / "appliance/docs/adr"
    names = sorted(path.name for path in folder.glob("*.md"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    for name in names:
        assert (folder / name).read_text(encoding="utf-8").startswith(f"# {int(name[:4])}. "), name
    index = (ROOT / "appliance/docs/index.md").read_text(encoding="utf-8")
    assert re.findall(r"\(adr/([^)]+)\)", index) == names


@pytest.mark.parametrize("path", PAGES, ids=relative)
def test_links_lead_somewhere(path: Path) -> None:
    text = BLOCK.sub("", path.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        if name.startswith("/"):
            continue  # a page of the running appliance
        linked = (path.parent / name).resolve() if name else path
        assert linked.exists(), f"{relative(path)} links to {target}, which is not there"
        if anchor and linked.suffix == ".md":
            assert anchor in headings(linked), f"{relative(path)} links to {target}: no such heading"


@pytest.mark.parametrize("text", blocks("toml"))
def test_configuration_in_the_docs_passes_the_check(text: str, tmp_path: Path) -> None:
    """Blocks that are configuration (not, say, a plugin's pyproject.toml) are what `timeball check` accepts."""
    if not re.search(r"^\[+(appliance|plugins)\b", text, re.MULTILINE):
        return
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")
    done = CliRunner().invoke(build(), ["check", "--config", str(file), "--state-dir", str(tmp_path)])
    assert done.exit_code == 0, done.output


def test_shipped_configuration_passes_the_check(tmp_path: Path) -> None:
    for file in (ROOT / "packaging" / "timeball.toml", ROOT / "appliance" / "host" / "demo.toml"):
        done = CliRunner().invoke(build(), ["check", "--config", str(file), "--state-dir", str(tmp_path)])
        assert done.exit_code == 0, f"{file}: {done.output}"


def commands_in(text: str) -> list[list[str]]:
    """The `timeball ...` lines of a console block, as words; pipes and redirections end a command."""
    lines = text.replace("\\\n", " ").splitlines()
    found = [re.match(r"\$ (?:sudo )?(?:\.venv/bin/)?timeball\b(.*)", line) for line in lines]
    return [shlex.split(re.split(r"[|>]| #", match[1])[0]) for match in found if match]


@pytest.mark.parametrize("text", blocks("console"))
def test_commands_in_the_docs_exist(text: str) -> None:
    """Each parses against the command line that such a line gets, and says more than which sub-commands there are."""
    for words in commands_in(text):
        command: click.Command = tree_for(words)
        context = click.Context(command, info_name="timeball")
        rest = list(words)
        while isinstance(command, click.Group) and rest:
            if rest[0].startswith("-"):
                break
            found = command.get_command(context, rest[0])
            if found is None and command.invoke_without_command:
                break
            assert found is not None, f"timeball {' '.join(words)}: there is no {rest[0]}"
            command, rest = found, rest[1:]
            context = click.Context(command, info_name=command.name, parent=context)
        assert not isinstance(command, click.Group) or command.invoke_without_command or rest, (
            f"timeball {' '.join(words)} only prints its help"
        )
        command.make_parser(context).parse_args(rest)


def test_goals_of_make_in_the_docs_exist() -> None:
    goals = set(
        re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[
            1
        ].split()
    )
    for path in PAGES:
        for goal in re.findall(
            r"^\$ (?:sudo )?make ([a-z-]+)", path.read_text(encoding="utf-8"), re.MULTILINE
        ):
            assert goal in goals, f"{relative(path)}: make {goal}"


def test_reference_pages_match_the_code(monkeypatch) -> None:
    """Every key, command and operation is in the manual; `make docs` writes these pages."""
    monkeypatch.syspath_prepend(str(ROOT / "packaging"))
    reference = importlib.import_module("reference")
    try:
        for name, text in reference.pages().items():
            path = reference.DOCS / name
            assert path.is_file() and path.read_text(encoding="utf-8") == text, (
                f"{name} is old; run: make docs"
            )
    finally:
        sys.modules.pop("reference", None)


def test_every_page_can_be_reached_from_the_index() -> None:
    """Decisions aside: they are read one after the other, and the pages' own list has them all."""
    docs = ROOT / "appliance" / "docs"
    seen: set[Path] = set()
    ahead = [docs / "index.md"]
    while ahead:
        page = ahead.pop()
        if page in seen or page.suffix != ".md" or not page.is_relative_to(docs):
            continue
        seen.add(page)
        text = BLOCK.sub("", page.read_text(encoding="utf-8"))
        targets = re.findall(r"\]\(([^)#\s]+)", text)
        ahead += [(page.parent / t).resolve() for t in targets if not re.match(r"[a-z]+:|/", t)]
    lost = [relative(path) for path in tracked() if path.match("appliance/docs/*.md") and path not in seen]
    assert lost == [], "no page links to these"


async def test_the_plugin_of_the_manual_works(tmp_path: Path, monkeypatch) -> None:
    """The plugin of plugins.md loads and runs, and passes the test that the same page shows."""
    found = BLOCK.findall((ROOT / "appliance/docs/plugins.md").read_text(encoding="utf-8"))
    python = [text for language, text in found if language == "python"]
    plugin = next(text for text in python if "plugin = PluginInfo(" in text)
    tests = [text for text in python if "async def test_" in text]
    (tmp_path / "hello.py").write_text(plugin, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    names: dict[str, object] = {}
    try:
        for test in tests:
            exec(compile(test, "plugins.md", "exec"), names)
        shown = {name: value for name, value in names.items() if name.startswith("test_")}
        assert len(shown) == len(tests) > 0
        for name, value in shown.items():
            await value(tmp_path / name)
    finally:
        sys.modules.pop("hello", None)


def named_blocks(page: str, folder: Path) -> list[Path]:
    """Write the Python blocks of a page that begin with "# file.py" as those files."""
    found = []
    for language, text in BLOCK.findall((ROOT / "appliance/docs" / page).read_text(encoding="utf-8")):
        name = re.match(r"# (\w+\.py)\n", text)
        if language == "python" and name:
            found.append(folder / name[1])
            found[-1].write_text(text, encoding="utf-8")
    return found


async def test_the_tutorial_works_as_it_is_written(tmp_path: Path, monkeypatch) -> None:
    """Its plugin passes the tests that it shows, the contract among them."""
    assert [path.name for path in named_blocks("plugins/tutorial.md", tmp_path)] == [
        "worries.py",
        "test_worries.py",
    ]
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        names = vars(importlib.import_module("test_worries"))
        tests = {name: value for name, value in names.items() if name.startswith("test_")}
        assert len(tests) == 2
        for name, value in tests.items():
            await value(tmp_path / name)
    finally:
        for name in ("worries", "test_worries"):
            sys.modules.pop(name, None)


RECIPES = sorted(path.name for path in (ROOT / "appliance/docs/plugins").glob("recipe*.md"))
_PROJECT = """
[tool.pytest.ini_options]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
pythonpath = ["."]
[tool.ruff]
line-length = 110
[tool.ruff.lint]
select = ["ASYNC", "B", "C4", "E", "F", "I", "N", "PT", "RUF", "SIM", "UP", "W"]
"""


def test_every_kind_of_recipe_is_there() -> None:
    kinds = {"probe-kind", "score-rule", "answer-source", "panel", "notification"}
    assert {f"recipe-{kind}.md" for kind in kinds} | {"recipes.md"} == set(RECIPES)


def test_recipes_pass_their_own_tests_the_linter_and_the_type_checker(tmp_path: Path) -> None:
    """All pages in one folder, as a reader would put them; a score rule reads what another recipe's probe kind found."""
    plugins = []
    for page in RECIPES:
        written = named_blocks(f"plugins/{page}", tmp_path)
        assert len(written) == 2, f"{page}: one plugin and its test"
        plugins.append(written[0].name)
    (tmp_path / "pyproject.toml").write_text(_PROJECT, encoding="utf-8")
    environment = {**os.environ, "MYPYPATH": f"{ROOT}:{ROOT / 'plugins'}", "PYTHONDONTWRITEBYTECODE": "1"}
    ruff, python = str(Path(sys.executable).with_name("ruff")), [sys.executable, "-m"]
    cache = str(ROOT / ".cache" / "mypy-recipes")
    for command in (
        [ruff, "check", "--no-cache", "."],
        [ruff, "format", "--no-cache", "--diff", "."],
        [*python, "mypy", "--strict", "--explicit-package-bases", "--cache-dir", cache, *plugins],
        [*python, "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
    ):
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
