"""Tries a plugin in a process of its own: `python -m appliance.kit.trial PATH` prints what it found as JSON.

A package with a pyproject.toml is found by its entry point, a folder or file as it would be in a drop-in folder.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import re
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from appliance.host import loader
from appliance.kit import measure, quality
from appliance.kit.quality import Quality

#: A test-suite or contract that takes longer hangs.
LONGEST_S = 900.0


class CannotTry(Exception):
    """There is nothing at the path that could be tried; says what would be right."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a plugin lies.

    Attributes:
        folder: what must be on the import path.
        module: to import.
        tests: folder (or file, of a single-file plugin) of its own tests, if there is one.
        source: the file, for a single-file plugin.
    """

    folder: Path
    module: str
    tests: Path | None
    source: Path | None = None


def find(path: Path) -> Place:
    """The plugin at `path`.

    Raises:
        CannotTry: there is none, or there are several.
    """
    try:
        path = path.resolve()
        path.exists()
    except (OSError, ValueError) as error:
        raise CannotTry(f"{str(path)[:200]!r} cannot be looked at: {error}") from None
    if path.suffix == ".py" and path.is_file():
        beside = path.with_name(f"test_{path.name}")
        return Place(path.parent, path.stem, beside if beside.is_file() else None, path)
    if (path / "pyproject.toml").is_file():
        return _of_project(path)
    if (path / "__init__.py").is_file():
        return Place(path.parent, path.name, None)
    if not path.exists():
        raise CannotTry(f"there is nothing at {path}")
    raise CannotTry(
        f"{path} is no plugin: name a folder with a pyproject.toml, a package, or one .py file "
        "(`timeball plugin new NAME` writes one)"
    )


def _of_project(path: Path) -> Place:
    try:
        project = tomllib.loads((path / "pyproject.toml").read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise CannotTry(f"{path / 'pyproject.toml'} cannot be read: {error}") from None
    points = project.get("project", {}).get("entry-points", {}).get(loader.GROUP, {})
    if not points:
        raise CannotTry(
            f'{path / "pyproject.toml"} names no plugin: it needs [project.entry-points."{loader.GROUP}"]'
        )
    if len(points) > 1:
        raise CannotTry(
            f"{path / 'pyproject.toml'} names {len(points)} plugins ({', '.join(points)}): try one package"
        )
    (module,) = points.values()
    tests = path / "tests"
    return Place(
        path / "src" if (path / "src").is_dir() else path, str(module), tests if tests.is_dir() else None
    )


def own_tests(place: Place) -> dict[str, Any]:
    """Run the plugin's own tests: {"state", "why"}."""
    if place.tests is None:
        return {"state": "skipped", "why": "it has no tests"}
    if importlib.util.find_spec("pytest") is None:
        why = f"pytest is not installed here, so its own tests were not run: {sys.executable} -m pip install pytest pytest-asyncio"
        return {"state": "skipped", "why": why}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(place.tests)]
    if place.tests.is_file():  # nothing beside it says how asynchronous tests are run, or where the plugin is
        command += [
            "-o",
            "asyncio_mode=auto",
            "-o",
            "asyncio_default_fixture_loop_scope=function",
            "-o",
            f"pythonpath={place.tests.parent}",
            f"--rootdir={place.tests.parent}",
        ]
    try:
        done = subprocess.run(  # noqa: S603 - its author asked for it
            command, cwd=place.tests.parent, capture_output=True, text=True, check=False, timeout=LONGEST_S
        )
    except subprocess.TimeoutExpired:
        return {"state": "failed", "why": f"not done after {LONGEST_S:.0f} s"}
    if done.returncode == 0:
        # Its summary; what other libraries had to complain about stands around it.
        said = [line for line in done.stdout.splitlines() if re.search(r"\b\d+ passed\b", line)]
        return {"state": "passed", "why": said[-1].strip("= ") if said else ""}
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return {"state": "failed", "why": "\n".join(lines[-25:])}


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a trial.

    Attributes:
        checks: of the contract suite: check, state, why, remedy.
        quality: the plugin's checklist beside what was seen; None when it could not be loaded.
        id: the plugin's, "" when it could not be loaded.
    """

    checks: list[dict[str, Any]]
    quality: Quality | None
    id: str = ""


def examine(
    path: Path, config: Mapping[str, Any] | None = None, tests: Mapping[str, Any] | None = None
) -> Tried:
    """The contract suite over the plugin at `path`, in a child process; `tests` is what `own_tests` said."""
    return _in_a_child(tests, str(path), json.dumps(dict(config or {})))


def examine_installed(folder: Path, module: str, config: Mapping[str, Any] | None = None) -> Tried:
    """The same for a module in a folder that stands behind the appliance's own packages on the path."""
    return _in_a_child(None, str(folder), json.dumps(dict(config or {})), module)


def _in_a_child(tests: Mapping[str, Any] | None, *arguments: str) -> Tried:
    command = [sys.executable, "-m", "appliance.kit.trial", *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - ourselves
            command, capture_output=True, text=True, check=False, timeout=LONGEST_S
        )
    except subprocess.TimeoutExpired:
        return _died(f"not done after {LONGEST_S:.0f} s: something in it never ends")
    try:
        found: dict[str, Any] = json.loads(done.stdout.rpartition("\0")[2])
    except ValueError:
        said = "\n".join((done.stderr or done.stdout).splitlines()[-12:])
        return _died(f"the process ended with code {done.returncode} before it was done:\n{said}")
    if not found["measured"]:
        return Tried(found["checks"], None, found["id"])
    claimed = quality.read(found["checklist"]) if found["checklist"] is not None else None
    measured = measure.with_contract(found["measured"], found["checks"], tests)
    return Tried(found["checks"], quality.judged(claimed, measured), found["id"])


def _died(why: str) -> Tried:
    remedy = "run it in a debugger, or look at the traceback"
    return Tried([{"check": "starts", "state": "failed", "why": why, "remedy": remedy}], None)


async def _examined(place: Place, config: Mapping[str, Any], *, installed: bool) -> dict[str, Any]:
    from appliance.testing import contract

    if place.source is not None:
        module = loader.load_file(place.module, place.source)
    else:
        sys.path.append(str(place.folder)) if installed else sys.path.insert(0, str(place.folder))
        module = importlib.import_module(place.module)
    with tempfile.TemporaryDirectory(prefix="timeball-trial-") as folder:
        outcomes, measured = await contract.examine_and_measure(
            module, config.get(_id(module), {}), state_dir=Path(folder), exempt=quality.exemptions(module)
        )
    checks = [{**asdict(outcome), "remedy": outcome.remedy} for outcome in outcomes]
    return {"checks": checks, "measured": measured, "checklist": quality.text_of(module), "id": _id(module)}


def _id(module: Any) -> str:
    return str(getattr(getattr(module, "plugin", None), "id", ""))


def _cannot_be_imported(error: Exception, path: str) -> dict[str, Any]:
    """The check that fails, with the lines of the plugin's own that lead to it."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _is_machinery(f.filename)]
    where = "".join(f"\n  {f.filename}:{f.lineno} in {f.name}: {f.line}" for f in frames[-4:])
    remedy = "mend the line above" if where or isinstance(error, SyntaxError) else "look at its entry point"
    if isinstance(error, ModuleNotFoundError):
        remedy = _what_is_there(error, Path(path))
    why = f"it cannot be imported: {type(error).__name__}: {error}{where}"
    return {"check": "info", "state": "failed", "why": why, "remedy": remedy}


def _is_machinery(filename: str) -> bool:
    standard = sysconfig.get_paths()["stdlib"]
    ours = (__file__, loader.__file__)
    return (
        filename.startswith(("<frozen", f"{standard}/asyncio", f"{standard}/importlib")) or filename in ours
    )


def _what_is_there(error: ModuleNotFoundError, folder: Path) -> str:
    """What to do about a module that is not there: an entry point that is spelled wrong, or a package that nobody named."""
    packages = sorted(p.parent.name for root in (folder, folder / "src") for p in root.glob("*/__init__.py"))
    if str(error.name).startswith("appliance_") and packages:
        return (
            f"the entry point in pyproject.toml names a module; the packages there are: {', '.join(packages)}"
        )
    return f"name what brings {error.name} under dependencies in pyproject.toml, and install it here to try"


def main() -> None:
    """In the child: print the outcomes as JSON, behind whatever the plugin prints itself."""
    try:
        path, config, *module = sys.argv[1:]
        place = Place(Path(path), module[0], None) if module else find(Path(path))
        found = asyncio.run(_examined(place, json.loads(config), installed=bool(module)))
    except Exception as error:  # noqa: BLE001 - a stranger's module may raise anything while it is imported
        found = {"checks": [_cannot_be_imported(error, path)], "measured": {}, "checklist": None, "id": ""}
    sys.stdout.write("\0" + json.dumps(found))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
