"""Brings a plugin and what it needs into a folder, with pip, and never anything in place of the appliance's own packages."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from appliance.core.clock import SystemClock
from appliance.kit.clashes import refuse_files
from appliance.kit.digests import pinned, taken
from appliance.kit.installed import GROUP, CannotInstall, Installed, Root, distributions, normal, take_out

LONGEST_S = 900.0
#: Entry points are shown and typed; who writes them is not trusted before his plugin is.
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
#: What pip fetches by itself: git+https://..., https://.../x.whl, file:///...
_ADDRESS = re.compile(r"(git\+)?(https|ssh|file)://\S+")


def bring(
    installed: Installed, folder: Path, source: str, *, no_index: bool = False, find_links: Sequence[str] = (),
    sha256: str = "",
) -> tuple[Root, tuple[Root, ...]]:  # fmt: skip
    """Install `source` into the draft `folder`; it, and all that are there then.

    `source` is a wheel, a folder, a source distribution, an address that pip knows (git+https://...), or a name. With `sha256`
    (lower-case hexadecimal) it has to be that very file.

    Raises:
        CannotInstall: pip is not there or refuses, it is no plugin, or another file.
    """
    if not source.strip() or not source.isprintable() or source.startswith("-"):
        raise CannotInstall(
            f"{source!r} names no plugin", "name a wheel, a folder with a pyproject.toml, or a package"
        )
    pip = _pip()
    before = installed.current()
    others = list(before.roots) if before else []
    options = [*(["--no-index"] if no_index else []), *(f"--find-links={link}" for link in find_links)]
    with tempfile.TemporaryDirectory(prefix="timeball-pip-") as scratch:
        wheel, digest = _wheel(pip, source, Path(scratch), options, sha256)
        name = normal(Path(wheel).name.split("-")[0]) if wheel.endswith(".whl") else normal(wheel)
        own = {normal(d.name): d.version for d in metadata.distributions() if _is_ours(d, installed)}
        if name in own:
            raise CannotInstall(
                f"{name} is a part of the appliance itself; plugins cannot take its place",
                "update the appliance instead",
            )
        old = next((root for root in others if root.name == name), None)
        if old is not None:
            _take_out_root(folder, old, [root for root in others if root is not old])
        constraints = Path(scratch, "constraints.txt")
        constraints.write_text("".join(f"{n}=={v}\n" for n, v in sorted(own.items())), encoding="utf-8")
        report = Path(scratch, "report.json")
        _call(
            [*pip, "install", "--dry-run", "--report", str(report), "-c", str(constraints), *options, wheel],
            path=folder,
        )
        wanted = {
            normal(item["metadata"]["name"]): item["metadata"]["version"]
            for item in json.loads(report.read_text(encoding="utf-8"))["install"]
        }
        if name not in wanted:
            raise CannotInstall(f"pip found nothing to install for {source}")
        needed = [f"{n}=={v}" for n, v in wanted.items() if n != name]
        target = ["--target", str(folder), "--upgrade", "--no-deps", "--no-compile"]
        _call([*pip, "install", *target, *options, wheel, *needed])
    refuse_files(folder, name, [r for r in others if r is not old])
    root = _root(folder, name, source, {n: v for n, v in wanted.items() if n != name})
    root = replace(root, at=SystemClock().wall_ns() / 1e9, sha256=digest)
    return root, (*(r for r in others if r is not old), root)


def without(installed: Installed, folder: Path, name: str) -> tuple[Root, ...]:
    """Take one out of the draft `folder`, with what only it needed; those that stay.

    Raises:
        CannotInstall: it is not installed.
    """
    state = installed.current()
    roots = state.roots if state else ()
    gone = next((r for r in roots if name in r.plugins or r.name == normal(name)), None)
    if gone is None:
        there = ", ".join(r.name for r in roots) or "nothing"
        dropped = installed.home.parent / "plugins"
        lying = next((p for p in (dropped / f"{name}.py", dropped / name) if p.exists()), None)
        raise CannotInstall(
            f"{name} was not installed here (installed: {there})",
            f"it was put there as a file, and goes the same way: mv {lying} SOMEWHERE, then `timeball restart`"
            if lying
            else "",
        )
    rest = tuple(r for r in roots if r is not gone)
    _take_out_root(folder, gone, rest)
    return rest


def _take_out_root(folder: Path, gone: Root, rest: Sequence[Root]) -> None:
    needed = {name for root in rest for name in (root.name, *root.brought)}
    for name in {gone.name, *gone.brought} - needed:
        take_out(folder, name)


def _root(folder: Path, name: str, source: str, brought: dict[str, str]) -> Root:
    found = distributions(folder).get(name)
    if found is None:
        raise CannotInstall(f"pip said that it installed {name}, and it is not there")
    plugins = {point.name: point.value for point in found.entry_points if point.group == GROUP}
    if not plugins:
        raise CannotInstall(
            f"{name} {found.version} is no plugin: it names none in the entry points {GROUP}",
            "`timeball plugin new` shows how its pyproject.toml looks",
        )
    for point in plugins:
        if not _NAME.fullmatch(point):
            raise CannotInstall(
                f"{name} {found.version} names a plugin {point!r}, which is no name of a plugin",
                f"letters, digits, _, - and . in the entry points {GROUP}",
            )
    return Root(name, found.version, source, brought, plugins)


def _is_ours(distribution: metadata.Distribution, installed: Installed) -> bool:
    where = Path(str(distribution.locate_file(""))).resolve()
    return not where.is_relative_to(installed.home.resolve())


def _wheel(
    pip: Sequence[str], source: str, scratch: Path, options: Sequence[str], expected: str
) -> tuple[str, str]:
    """A wheel, or a name for pip to find one; and the SHA-256 of the file that was named, "" where a name was."""
    path = Path(source)
    if _ADDRESS.match(source):
        made = _built(pip, pinned(source, expected) if expected else source, scratch, options)
        return made, expected or taken(Path(made), _room(scratch))[1]
    if path.is_dir():
        if not (path / "pyproject.toml").is_file():
            raise CannotInstall(
                f"{source} has no pyproject.toml", "copy a single .py file to STATE_DIR/plugins instead"
            )
        if expected:
            raise CannotInstall(
                "a folder has no SHA-256", "make a wheel of it, and name the sum of that: python3 -m pip wheel --no-deps FOLDER"
            )  # fmt: skip
        made = _built(pip, str(path.resolve()), scratch, options)
        return made, taken(Path(made), _room(scratch))[1]
    if path.is_file():
        return _of_file(pip, path, scratch, options, expected)
    if "/" in source or source.endswith(".whl"):
        raise CannotInstall(f"there is nothing at {source}")
    if not expected:
        return source, ""
    # No source distribution: pip runs what is in one before anybody has looked at its sum.
    _call([*pip, "download", "--no-deps", "--only-binary=:all:", *options, "--dest", str(scratch), source])
    copy, digest = taken(next(scratch.glob("*.whl")), _room(scratch), expected)
    return str(copy), digest


def _of_file(
    pip: Sequence[str], path: Path, scratch: Path, options: Sequence[str], expected: str
) -> tuple[str, str]:
    if path.suffix == ".py":
        raise CannotInstall(f"{path} is a plugin of one file", f"copy it: cp {path} STATE_DIR/plugins/")
    archive = path.name.endswith((".tar.gz", ".zip"))
    if not archive and path.suffix != ".whl":
        raise CannotInstall(
            f"{path} is no wheel and no source distribution",
            "make a wheel: python3 -m pip wheel --no-deps FOLDER",
        )
    copy, digest = taken(path, _room(scratch), expected)
    return _built(pip, str(copy), scratch, options) if archive else str(copy), digest


def _room(scratch: Path) -> Path:
    room = scratch / "taken"
    room.mkdir()
    return room


def _built(pip: Sequence[str], source: str, scratch: Path, options: Sequence[str]) -> str:
    """The wheel that pip makes of a folder, a source distribution or an address."""
    # Without an index nothing can be fetched to build with: then what is there has to do.
    alone = ["--no-build-isolation"] if "--no-index" in options else []
    _call([*pip, "wheel", "--no-deps", *alone, *options, "--wheel-dir", str(scratch), source])
    return str(next(scratch.glob("*.whl")))


def _pip() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    for name in ("pip3", "pip"):
        if found := shutil.which(name):
            return [found, "--python", sys.executable, "--disable-pip-version-check", "--no-input"]
    raise CannotInstall(
        "pip is not on this machine, and wheels are installed with it",
        "sudo apt install python3-pip; or copy a plugin of one file to STATE_DIR/plugins",
    )


def _call(command: Sequence[str], *, path: Path | None = None) -> None:
    environment: dict[str, Any] = {**os.environ, "PIP_CONFIG_FILE": os.environ.get("PIP_CONFIG_FILE", "")}
    if not environment["PIP_CONFIG_FILE"]:
        del environment["PIP_CONFIG_FILE"]
    if path is not None:
        environment["PYTHONPATH"] = str(path)  # what is installed there already counts as there
    try:
        done = subprocess.run(  # noqa: S603 - pip, with arguments that are no options
            [*command],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST_S,
        )
    except subprocess.TimeoutExpired:
        raise CannotInstall(f"pip was not done after {LONGEST_S:.0f} s") from None
    if done.returncode != 0:
        raise CannotInstall("pip refused:\n  " + "\n  ".join(_reason(done.stdout, done.stderr)))


def _reason(out: str, err: str) -> list[str]:
    """The lines that say why, and not how far it got."""
    _, conflict, rest = out.partition("The conflict is caused by:\n")
    if conflict:
        return [line.strip() for line in rest.partition("\n\n")[0].splitlines()]
    return [line for line in err.splitlines() if line.strip()][-8:]
