"""Plugins that were installed on this box: one dated folder for each state, a link to the one in force, a way back.

    STATE_DIR/plugins.d/2026-11-26T21-51-00Z/   what pip put there, and lock.json: what, from where, the hash of each file
    STATE_DIR/plugins.d/current                 link to the one in force; a swap of the link is the whole change
    STATE_DIR/plugins.d/history.jsonl           what was done when

The folder stands behind the appliance's own packages on the import path: nothing in it can take their place.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from appliance.core import durable
from appliance.core.clock import SystemClock
from appliance.kit import quality

#: States that are kept to go back to.
KEPT: Final = 5
GROUP: Final = "appliance.plugins"


class CannotInstall(Exception):
    """It was not done, and nothing changed. The message says why.

    Attributes:
        remedy: what would be right.
    """

    def __init__(self, why: str, remedy: str = "") -> None:
        super().__init__(why)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Root:
    """What somebody asked to install, with what it brought along.

    Attributes:
        source: where it came from, as it was written.
        brought: distributions that came with it, by name.
        plugins: import package by plugin entry point.
        at: when, epoch seconds; 0.0 where that was not written down.
        sha256: of the wheel or source distribution, or "" when it came by its name.
    """

    name: str
    version: str
    source: str
    brought: Mapping[str, str] = field(default_factory=dict)
    plugins: Mapping[str, str] = field(default_factory=dict)
    at: float = 0.0
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """One dated folder.

    Attributes:
        before: name of the folder that was in force before, or "".
        files: SHA-256 by path below the folder.
    """

    folder: Path
    roots: tuple[Root, ...] = ()
    before: str = ""
    made_at: float = 0.0
    files: Mapping[str, str] = field(default_factory=dict)

    def changed(self) -> list[str]:
        """Files that are not as they were installed."""
        now = dict(_hashes(self.folder))
        return sorted(name for name in {*now, *self.files} if now.get(name) != self.files.get(name))


class Installed:
    """The installed plugins of one state folder."""

    def __init__(self, state_dir: Path) -> None:
        self.home = state_dir / "plugins.d"

    def current(self) -> State | None:
        """The state in force, or None when nothing is installed.

        Raises:
            CannotInstall: its lock file cannot be read.
        """
        link = self.home / "current"
        try:
            folder = link.resolve(strict=True)
        except OSError:
            return None
        return self.read(folder)

    def in_force(self) -> str:
        """Name of the folder in force, "" when nothing is installed."""
        try:
            return (self.home / "current").resolve(strict=True).name
        except OSError:
            return ""

    def read(self, folder: Path) -> State:
        """What a dated folder's lock file says.

        Raises:
            CannotInstall: it cannot be read.
        """
        try:
            value = json.loads((folder / "lock.json").read_text(encoding="utf-8"))
            roots = tuple(Root(**root) for root in value["roots"])
            return State(folder, roots, value["before"], value["made_at"], value["files"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CannotInstall(
                f"{folder / 'lock.json'} cannot be read: {error}", "go back with `timeball plugin rollback`"
            ) from None

    def history(self, limit: int = 50) -> list[dict[str, Any]]:
        """What was done, the newest first."""
        try:
            lines = (self.home / "history.jsonl").read_text(encoding="utf-8").splitlines()
        except OSError:
            return []
        found = []
        for line in reversed(lines[-limit:]):
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return found

    def dated(self) -> list[Path]:
        """All dated folders, the oldest first."""
        with contextlib.suppress(OSError):
            return sorted(
                path
                for path in self.home.iterdir()
                if (path / "lock.json").is_file() and not path.is_symlink()
            )
        return []

    # -- changes -----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def draft(self) -> Iterator[Path]:
        """A new folder that begins as a copy of the one in force; gone again unless `keep` took it.

        Raises:
            CannotInstall: somebody else has one just now.
        """
        with self._alone():
            self._sweep()
            with self._draft() as folder:
                yield folder

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else changes anything meanwhile; the lock ends with the process, whatever ends that."""
        self.home.mkdir(mode=0o755, parents=True, exist_ok=True)
        handle = os.open(self.home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise CannotInstall(
                    "another installation is under way on this box", "wait until it is done"
                ) from None
            yield
        finally:
            os.close(handle)

    def _sweep(self) -> None:
        """What an installation left that was killed."""
        (self.home / ".current").unlink(missing_ok=True)
        for path in self.home.iterdir():
            if path.is_dir() and not path.is_symlink() and not (path / "lock.json").is_file():
                shutil.rmtree(path, ignore_errors=True)

    @contextlib.contextmanager
    def _draft(self) -> Iterator[Path]:
        stamp = dt.datetime.fromtimestamp(SystemClock().wall_ns() / 1e9, dt.UTC).strftime(
            "%Y-%m-%dT%H-%M-%S.%fZ"
        )
        folder = next(
            f for n in range(1, 1000) if not (f := self.home / (stamp if n == 1 else f"{stamp}-{n}")).exists()
        )
        current = self.current()
        try:
            if current is None:
                folder.mkdir(mode=0o755)
            else:
                shutil.copytree(
                    current.folder, folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
                )
                (folder / "lock.json").unlink(missing_ok=True)
            yield folder
        finally:
            if not (folder / "lock.json").is_file():
                shutil.rmtree(folder, ignore_errors=True)

    def keep(self, folder: Path, roots: tuple[Root, ...], what: str) -> State:
        """Write the draft's lock file and put it in force."""
        current = self.current()
        before = current.folder.name if current else ""
        state = State(folder, roots, before, SystemClock().wall_ns() / 1e9, dict(_hashes(folder)))
        value = {
            "roots": [_plain(r) for r in roots],
            "before": before,
            "made_at": state.made_at,
            "files": state.files,
        }
        # Nothing of it is in force before all of it is on the disk: files, then what they are, then the link.
        os.sync()
        durable.put(folder / "lock.json", json.dumps(value, indent=1).encode(), 0o644)
        self._swap(folder)
        self._tell(what, folder.name)
        for old in self.dated()[:-KEPT]:
            if old not in (folder, self.home / before):
                shutil.rmtree(old, ignore_errors=True)
        return state

    def roll_back(self) -> str:
        """Put the state before this one in force; its folder's name, "" when nothing is installed any more.

        Raises:
            CannotInstall: there is nothing to go back to, or somebody installs just now.
        """
        with self._alone():
            return self._roll_back()

    def _roll_back(self) -> str:
        link = self.home / "current"
        if not link.is_symlink():
            raise CannotInstall("no plugin was installed, so there is nothing to go back to")
        folder = link.resolve()
        before = ""
        with contextlib.suppress(OSError, ValueError, KeyError):
            before = json.loads((folder / "lock.json").read_text(encoding="utf-8"))["before"]
        if before and not (self.home / before).is_dir():
            raise CannotInstall(f"the state before this one ({before}) is not there any more")
        if before:
            self._swap(self.home / before)
        else:
            link.unlink()
        self._tell(f"went back from {folder.name}", before)
        return before

    def _swap(self, folder: Path) -> None:
        fresh = self.home / ".current"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(folder.name)
        os.replace(fresh, self.home / "current")  # noqa: PTH105 - the one step that everything hangs on, by its own name
        durable.sync_folder(self.home)

    def _tell(self, what: str, folder: str) -> None:
        line = {"ts": SystemClock().wall_ns() / 1e9, "what": what, "folder": folder}
        # The change is made, and a full disk does not undo it by keeping it from being told.
        with contextlib.suppress(OSError), (self.home / "history.jsonl").open("a", encoding="utf-8") as book:
            book.write(json.dumps(line) + "\n")


def on_path(state_dir: Path) -> None:
    """Let installed plugins be found: behind everything that the appliance brings itself."""
    link = Installed(state_dir).home / "current"
    with contextlib.suppress(OSError):
        folder = str(link.resolve(strict=True))
        if folder not in sys.path:
            sys.path.append(folder)


def overview(installed: Installed) -> dict[str, Any]:
    """For people and programs: what is installed, which files were changed since, what was done when."""
    state = installed.current()
    roots = (
        []
        if state is None
        else [
            {
                "name": r.name,
                "version": r.version,
                "source": r.source,
                "plugins": sorted(r.plugins),
                "at": r.at or None,
                "sha256": r.sha256,
                "quality": {name: _level(state.folder, module) for name, module in r.plugins.items()},
            }
            for r in state.roots
        ]
    )
    changed = state.changed() if state else []
    return {"folder": state.folder.name if state else "", "installed": roots, "changed": changed,
            "history": installed.history()}  # fmt: skip


def _level(folder: Path, module: str) -> str:
    """The level of a plugin's checklist, or "", without importing it."""
    try:
        text = (folder.joinpath(*module.partition(":")[0].split(".")) / "quality.toml").read_text(
            encoding="utf-8"
        )
    except (OSError, ValueError):
        return ""
    return quality.read(text).level


def newest(state_dir: Path) -> str:
    """Id of the plugin that was installed last, or "": the first to suspect when nothing starts any more."""
    with contextlib.suppress(CannotInstall):
        state = Installed(state_dir).current()
        if state and state.roots:
            return next(iter(state.roots[-1].plugins), "")
    return ""


def distributions(folder: Path) -> dict[str, metadata.Distribution]:
    """What is installed in a folder, by its normalised name."""
    return {normal(d.name): d for d in metadata.distributions(path=[str(folder)])}


def normal(name: str) -> str:
    """A distribution's name in the one form to compare (PEP 503)."""
    return name.lower().replace("_", "-").replace(".", "-")


def take_out(folder: Path, name: str) -> None:
    """Remove one distribution's files from a folder."""
    found = distributions(folder).get(normal(name))
    for file in (found.files if found else None) or ():
        path = Path(str(found.locate_file(file))) if found else folder
        if path.resolve().is_relative_to(folder.resolve()):
            path.unlink(missing_ok=True)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _hashes(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "lock.json" and "__pycache__" not in path.parts:
            yield str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest()


def _plain(root: Root) -> dict[str, Any]:
    return {
        "name": root.name, "version": root.version, "source": root.source,
        "brought": dict(root.brought), "plugins": dict(root.plugins), "at": root.at, "sha256": root.sha256,
    }  # fmt: skip
