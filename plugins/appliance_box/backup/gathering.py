"""Which files make up a backup, and a copy of the database as of one moment, whether the appliance runs or not."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import socket
import sqlite3
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from appliance.core.swapping import STAYS
from appliance_box.backup import BOX, CONFIG, DATABASE, STATE, BadArchive, Progress
from appliance_box.backup.manifest import MOST_FILES, Entry, Manifest, Plugin

#: Room that must be left on the disk besides what a backup or restore writes.
SPARE_BYTES: Final = 32 << 20
_PAGES_AT_ONCE: Final = 512
_INSTALLED: Final = "plugins.d"
#: In the state folder, and no part of it: what belongs to this moment or can be made again.
_LEFT_OUT: Final = STAYS | {
    DATABASE,
    f"{DATABASE}-wal",
    f"{DATABASE}-shm",
    f"{DATABASE}-journal",
    f"{DATABASE}-spare",
}


@dataclass(slots=True)
class Gathered:
    """What goes into an archive: on the disk by its name in the archive, or as bytes."""

    files: dict[str, Path] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    plugins: list[Plugin] = field(default_factory=list)
    compiled: bool = False
    steps: dict[str, list[str]] = field(default_factory=dict)


def room_needed(state_dir: Path) -> int:
    """Bytes that a backup writes beside the database for its copy, at most."""
    with contextlib.suppress(OSError):
        wal = state_dir / f"{DATABASE}-wal"
        return (state_dir / DATABASE).stat().st_size + (wal.stat().st_size if wal.exists() else 0)
    return 0


def check_room(folder: Path, needed: int, what: str) -> None:
    """Raises BadArchive: there is not enough."""
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE_BYTES:
        raise BadArchive(
            "no_room", f"{what} needs {mib(needed + SPARE_BYTES)} in {folder}, and {mib(free)} are free",
            "make room, or keep history for a shorter time: [plugins.monitor] in the settings",
        )  # fmt: skip


def copy_database(state_dir: Path, target: Path, progress: Progress) -> None:
    """The database as of one moment, while others go on reading and writing.

    Raises:
        BadArchive: there is none, or it cannot be read.
    """
    source_file = state_dir / DATABASE
    if not source_file.exists():
        raise BadArchive(
            "unreadable", f"there is no database in {state_dir}", "name the right folder with --state-dir"
        )
    target.unlink(missing_ok=True)

    def tell(status: int, remaining: int, total: int) -> None:
        progress((total - remaining) * 4096, total * 4096, "copying the database")

    try:
        with (
            contextlib.closing(
                sqlite3.connect(f"file:{source_file}?mode=ro", uri=True, timeout=30)
            ) as source,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            source.backup(copy, pages=_PAGES_AT_ONCE, progress=tell, sleep=0.01)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, nothing beside it
            said = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
        target.chmod(0o600)
    except sqlite3.Error as error:
        raise BadArchive(
            "unreadable", f"the database cannot be copied: {error}", "timeball doctor says what is wrong"
        ) from None
    if said != "ok":
        raise BadArchive("unreadable", f"the database is damaged: {said}", "timeball doctor says what to do")


def gather(state_dir: Path, config_file: Path | None, box: Mapping[str, Any] | None, copy: Path) -> Gathered:
    """All of it. `copy` is the database's copy."""
    found = Gathered(files={f"{STATE}/{DATABASE}": copy})
    for path in sorted(state_dir.iterdir()):
        if (
            path.name not in _LEFT_OUT
            and path.name != _INSTALLED
            and not path.name.endswith((".unfinished", ".new"))
        ):
            _add(found, path, f"{STATE}/{path.name}")
    _add_installed(found, state_dir / _INSTALLED)
    if config_file is not None:
        for path in (config_file, *sorted((config_file.parent / "conf.d").glob("*.toml"))):
            if path.is_file():
                inner = "config.toml" if path == config_file else f"conf.d/{path.name}"
                found.files[f"{CONFIG}/{inner}"] = path
    if box is not None:
        found.contents[f"{BOX}/box.json"] = json.dumps(box, indent=2).encode()
    if len(found.files) > MOST_FILES:
        raise BadArchive(
            "unreadable", f"there are more than {MOST_FILES} files in {state_dir}", "see what fills it"
        )
    found.steps = _steps(copy)
    return found


def _add(found: Gathered, path: Path, name: str) -> None:
    """A file, or a folder with all in it. Links, sockets and the like are left out."""
    if path.is_symlink():
        return
    if path.is_dir():
        for inner in sorted(path.iterdir()):
            if inner.name != "__pycache__":
                _add(found, inner, f"{name}/{inner.name}")
    elif path.is_file() and name.isprintable():
        found.files[name] = path
        found.compiled = found.compiled or path.suffix == ".so"


def _add_installed(found: Gathered, home: Path) -> None:
    """The installed plugins in force: not those of before."""
    link = home / "current"
    if not link.is_symlink():
        return
    folder = link.resolve()
    if folder.parent != home.resolve() or not folder.is_dir():
        return
    _add(found, folder, f"{STATE}/{_INSTALLED}/{folder.name}")
    found.links[f"{STATE}/{_INSTALLED}/current"] = folder.name
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        roots = json.loads((folder / "lock.json").read_text(encoding="utf-8"))["roots"]
        found.plugins = [
            Plugin(name=r["name"], version=r["version"], source=r.get("source", "")) for r in roots
        ]


def _steps(copy: Path) -> dict[str, list[str]]:
    steps: dict[str, list[str]] = {}
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(copy)) as db:
        for plugin, name in db.execute("SELECT plugin, name FROM _migrations ORDER BY plugin, position"):
            steps.setdefault(plugin, []).append(name)
    return steps


def describe(found: Gathered, version: str, created: float, image: str, progress: Progress) -> Manifest:
    """The manifest, with a sum of every file.

    Raises:
        BadArchive: a file cannot be read.
    """
    sizes = {name: path.stat().st_size for name, path in found.files.items() if path.exists()}
    total, done = sum(sizes.values()), 0
    entries: dict[str, Entry] = {}
    for name, path in found.files.items():
        try:
            digest, size = hashlib.sha256(), 0
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
                    size += len(block)
                mode = os.fstat(file.fileno()).st_mode & 0o777
        except FileNotFoundError:
            continue  # it went away meanwhile: it was for a moment only
        except OSError as error:
            raise BadArchive(
                "unreadable", f"{path} cannot be read: {error.strerror}", "sudo timeball backup create"
            ) from None
        entries[name] = Entry(size=size, sha256=digest.hexdigest(), mode=mode)
        done += size
        progress(done, total, "summing up")
    for name, content in found.contents.items():
        entries[name] = Entry(size=len(content), sha256=hashlib.sha256(content).hexdigest())
    return Manifest(
        format=1, product="timeball", version=version, created=created, host=socket.gethostname(), machine=platform.machine(),
        python=f"{sys.version_info.major}.{sys.version_info.minor}", image=image, steps=found.steps,
        plugins=tuple(found.plugins), compiled=found.compiled, links=found.links, files=entries,
    )  # fmt: skip


def mib(count: int) -> str:
    return f"{count / (1 << 20):.1f} MiB" if count < 10 << 30 else f"{count / (1 << 30):.1f} GiB"
