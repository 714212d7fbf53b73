"""A fresh machine: what `packaging/dev.py` does and says where something is missing."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys

import pytest

from tests.support.tree import ROOT


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """The module with a tree of its own, which records commands in place of running them."""
    monkeypatch.syspath_prepend(str(ROOT / "packaging"))
    module = importlib.import_module("environment")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "CACHE", tmp_path / ".cache")
    monkeypatch.setattr(module, "LOG", tmp_path / ".cache/install.log")
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "BIN", tmp_path / ".venv/bin")
    monkeypatch.setattr(module, "PYTHON", tmp_path / ".venv/bin/python")
    monkeypatch.setattr(module, "STAMP", tmp_path / ".venv/stamp.json")
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    (tmp_path / "packaging").mkdir()
    for name in ("pyproject.toml", "packaging/constraints.txt", "packaging/constraints-test.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    module.ran = []

    def run(command: list[str]) -> bool:
        module.ran.append(command)
        if "venv" in command:
            module.BIN.mkdir(parents=True)
            module.PYTHON.symlink_to(sys.executable)
            (module.BIN / "timeball").touch()
        return True

    monkeypatch.setattr(module, "_run", run)
    # a link to this interpreter is no real .venv: whether pip is found depends on the machine
    monkeypatch.setattr(module, "_usable", lambda uv: module.PYTHON.exists())
    yield module
    sys.modules.pop("environment", None)


def test_second_start_does_nothing(environment) -> None:
    environment.ensure(tests=False)
    assert environment.ran
    environment.ran.clear()
    environment.ensure(tests=False)
    assert environment.ran == []


def test_running_needs_no_test_tools(environment) -> None:
    environment.ensure(tests=False)
    words = " ".join(word for command in environment.ran for word in command)
    assert "--require-hashes" in words
    assert "constraints-test.txt" not in words


def test_only_what_changed_is_installed_again(environment) -> None:
    environment.ensure(tests=True)
    environment.ran.clear()
    with (environment.ROOT / "pyproject.toml").open("a") as project:
        project.write("# changed\n")
    environment.ensure(tests=True)
    assert len(environment.ran) == 1
    assert "--editable" in environment.ran[0]


def test_a_moved_tree_is_installed_again(environment) -> None:
    """Scripts in `.venv/bin` carry the path of their interpreter."""
    before = environment._wanted(tests=False)["project"]
    environment.ROOT = environment.ROOT / "."  # the same place
    assert environment._wanted(tests=False)["project"] == before
    stamp = {"project": "of another path"}
    environment.BIN.mkdir(parents=True)
    environment.PYTHON.symlink_to(sys.executable)
    (environment.BIN / "timeball").touch()
    environment.STAMP.write_text(json.dumps(stamp))
    assert "project" in environment._missing(environment._wanted(tests=False))


def test_missing_venv_module_is_named_with_its_package(environment, monkeypatch) -> None:
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(environment.SetupError, match="sudo apt install python3-venv"):
        environment.ensure(tests=False)
    assert not environment.VENV.exists()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("NewConnectionError(...: Temporary failure in name resolution)", "index cannot be reached"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "not the file that"),
        ("PermissionError: [Errno 13] Permission denied: '.venv'", "sudo chown"),
        ("something nobody thought of", "packages cannot be installed"),
    ],
)
def test_failed_installation_says_what_to_do(environment, monkeypatch, said, told) -> None:
    made = environment._run

    def fails(command: list[str]) -> bool:
        made(command)
        if "install" in command:
            environment.LOG.write_text(said)
        return "install" not in command

    monkeypatch.setattr(environment, "_run", fails)
    with pytest.raises(environment.SetupError) as caught:
        environment.ensure(tests=False)
    assert told in str(caught.value)
    assert said in str(caught.value)


def test_without_uv_and_pip_the_venv_is_made_anew(environment, monkeypatch) -> None:
    """A `.venv` that uv made has no pip; without uv nothing could be installed into it."""
    environment.BIN.mkdir(parents=True)
    environment.PYTHON.symlink_to(sys.executable)
    monkeypatch.setattr(environment, "_usable", lambda uv: False)
    environment.ensure(tests=False)
    assert environment.ran[0][1:3] == ["-m", "venv"]


def test_settings_of_the_user_do_not_send_packages_elsewhere(environment, monkeypatch) -> None:
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    assert "/elsewhere" not in environment.clean_environment().values()


def test_old_python_hears_it_in_words() -> None:
    """The entry file must be readable by a Python that is too old, and says what to install."""
    script = (
        "import sys, runpy; sys.version_info = (3, 9, 2, 'final', 0); sys.argv = ['dev.py', 'run'];"
        f"runpy.run_path({str(ROOT / 'packaging/dev.py')!r}, run_name='__main__')"
    )
    told = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1
    assert "needs Python 3.11 or newer" in told.stderr
    assert "sudo apt install" in told.stderr


def test_make_without_a_goal_lists_the_goals() -> None:
    """Every command of dev.py is a goal of the Makefile, and `make` tells of each."""
    from shutil import which

    make = which("make")
    assert make, "make is not installed"
    told = subprocess.run([make], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    monkey = subprocess.run(
        [sys.executable, "packaging/dev.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    commands = [line.split()[0] for line in monkey.partition("commands:")[2].splitlines() if line.strip()]
    assert len(commands) > 5
    assert [name for name in commands if f"make {name}" not in told] == []


def test_bytecode_is_written_where_the_environment_forbids_it_to_a_start(environment, monkeypatch) -> None:
    """Else every start compiles every module."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    environment.BIN.mkdir(parents=True)
    environment.PYTHON.symlink_to(sys.executable)
    module = environment.ROOT / "plugins" / "appliance_one" / "__init__.py"
    module.parent.mkdir(parents=True)
    module.write_text("answer = 42\n")
    environment.compile_modules()
    assert list(module.parent.glob("__pycache__/__init__.*.pyc"))
