"""What a release leaves when another one takes over: its database and settings, copied, and put back when it returns.

A newer release may change the database in a way that the older one does not understand. So the older one finds what it left;
what the newer one has written meanwhile is not thrown away but becomes a snapshot of its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

from appliance.core import durable
from appliance_updates.record import HOME

PLACE = f"{HOME}/snapshots"
#: What is kept, by its name in a snapshot.
TREES = {"state": "data/timeball", "config": "data/etc/timeball"}
KEPT = 3
_BASES = (".db",)
#: Parts of an open database; the copy has no need of them.
_LEFT_OUT = ("-wal", "-shm", "-spare", ".sock")
#: Folders that hold no state: bundles that were uploaded.
UPLOADS = "uploads"


class CannotKeep(Exception):
    """The snapshot could not be made."""


def size(root: Path) -> int:
    """Bytes that a snapshot takes."""
    return sum(path.lstat().st_size for tree in TREES.values() for path in _files(root / tree))


def take(root: Path, name: str) -> str:
    """Copy everything; the name. The database is copied while it is written to (SQLite's backup).

    Raises:
        CannotKeep: it does not work; what was begun is removed.
    """
    target = root / PLACE / name
    fresh = target.with_name(f".{name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        for tree, place in TREES.items():
            source = root / place
            (fresh / tree).mkdir(parents=True)
            for path in _files(source):
                _copy(path, fresh / tree / path.relative_to(source))
        _sync_all(fresh)
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)
        durable.sync_folder(target.parent)
    except (OSError, sqlite3.Error) as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise CannotKeep(f"database and settings could not be copied: {error}") from error
    return name


def restore(root: Path, name: str, aside: str) -> None:
    """Put a snapshot back, while nothing uses the files. May be cut at any moment and done again.

    Args:
        root: root of the file system.
        name: of the snapshot.
        aside: name of the snapshot that keeps what is there now; not made anew when there is one of that name.

    Raises:
        CannotKeep: it cannot be done; nothing was changed if the copy of what is there failed.
    """
    source = root / PLACE / name
    if not source.is_dir():
        raise CannotKeep(f"there is no snapshot {name}")
    if not (root / PLACE / aside).exists():
        take(root, aside)
    try:
        for tree, place in TREES.items():
            _put_back(source / tree, root / place)
    except (OSError, sqlite3.Error) as error:
        raise CannotKeep(f"the snapshot {name} could not be put back: {error}") from error


def _put_back(source: Path, target: Path) -> None:
    """Files one by one, the folders stay: they are mounted elsewhere."""
    wanted = {path.relative_to(source) for path in _files(source)}
    for path in list(_files(target)):
        if path.relative_to(target) not in wanted:
            path.unlink()
    for name in wanted:
        there = target / name
        for part in ("-wal", "-shm"):  # of the newer database: they must not be read into the older one
            there.with_name(there.name + part).unlink(missing_ok=True)
        _copy(source / name, there)
    _sync_all(target)


def names(root: Path) -> list[str]:
    """Snapshots that are there, the oldest first."""
    with contextlib.suppress(OSError):
        found = [p for p in (root / PLACE).iterdir() if p.is_dir() and not p.name.startswith(".")]
        return [p.name for p in sorted(found, key=lambda p: p.stat().st_mtime)]
    return []


def drop(root: Path, name: str) -> None:
    """Remove one, if it is there."""
    shutil.rmtree(root / PLACE / name, ignore_errors=True)


def prune(root: Path, needed: set[str]) -> None:
    """Remove the oldest until few enough are left; those that are needed stay."""
    spare = [name for name in names(root) if name not in needed]
    while len(spare) + len(needed) > KEPT and spare:
        drop(root, spare.pop(0))


def _files(folder: Path) -> Iterator[Path]:
    """Files and links below a folder that belong into a snapshot."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != UPLOADS)
        for name in sorted(files):
            path = Path(parent, name)
            regular = stat.S_ISREG(path.lstat().st_mode) or path.is_symlink()
            if regular and not name.endswith(_LEFT_OUT):
                yield path
        for name in list(folders):
            if Path(parent, name).is_symlink():
                yield Path(parent, name)


def _copy(source: Path, target: Path) -> None:
    _folders(source.parent, target.parent)
    fresh = target.with_name(f".{target.name}.copy")
    fresh.unlink(missing_ok=True)
    about = source.lstat()
    if source.is_symlink():
        fresh.symlink_to(source.readlink())
    elif source.suffix in _BASES and _is_database(source):
        _copy_database(source, fresh)
    else:
        shutil.copyfile(source, fresh)
    os.chown(fresh, about.st_uid, about.st_gid, follow_symlinks=False)
    if not source.is_symlink():
        fresh.chmod(stat.S_IMODE(about.st_mode))
        os.utime(fresh, ns=(about.st_atime_ns, about.st_mtime_ns))
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    fresh.replace(target)


def _folders(source: Path, target: Path) -> None:
    """Make the folder with owner and mode of the one that it copies."""
    if target.exists():
        return
    _folders(source.parent, target.parent)
    target.mkdir()
    about = source.stat()
    os.chown(target, about.st_uid, about.st_gid)
    target.chmod(stat.S_IMODE(about.st_mode))


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"


def _copy_database(source: Path, target: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(source, timeout=30)) as live,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        live.backup(copy, pages=2000, sleep=0.01)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, whole


def _sync_all(folder: Path) -> None:
    """Everything below is on the disk."""
    for parent, _, files in os.walk(folder):
        for name in files:
            path = Path(parent, name)
            if not stat.S_ISREG(path.lstat().st_mode):
                continue
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        durable.sync_folder(Path(parent))
