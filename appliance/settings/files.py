"""Writes a file whole or not at all, with the owner and mode that it had."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from pathlib import Path

from appliance.api.errors import Conflict, Refused
from appliance.core.durable import sync_folder
from appliance.settings.sources import content

#: A file that is made anew; it may hold what is nobody else's business.
NEW_MODE = 0o640


def obstacle(path: Path) -> str:
    """Why `path` cannot be replaced by this process, in words; "" when it can."""
    real = _real(path)
    folder = real.parent
    if not folder.is_dir():
        return "" if _can_make(folder) else f"its folder {folder} is not there"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"the folder {folder} cannot be written by this process"
    try:
        found = real.stat()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return error.strerror or str(error)
    if not stat.S_ISREG(found.st_mode):
        return "it is no plain file"
    if os.geteuid() != 0 and found.st_uid != os.geteuid():
        return "it belongs to another user, who would lose it"
    return "" if os.access(real, os.W_OK) else "it is marked read-only"


def replace(path: Path, old: bytes | None, new: bytes | None) -> None:
    """Put `new` where `old` stands: complete on the disk before it gets the name, so that a crash leaves one of the two.

    Args:
        path: a link is followed and stays a link.
        old: what is there now; None when there is no file.
        new: None removes the file.

    Raises:
        Conflict: something else is there now, or somebody else is writing.
        Refused: the disk or the permissions do not let us.
    """
    real = _real(path)
    try:
        if new is None:
            _check(real, old)
            real.unlink(missing_ok=True)
        else:
            real.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            _write(real, old, new)
        sync_folder(real.parent)
    except OSError as error:
        why = error.strerror or str(error)
        raise Refused(f"{path} cannot be written: {why}; nothing was changed") from error


def _write(real: Path, old: bytes | None, new: bytes) -> None:
    """Our copy beside the file is also the lock: whoever else writes holds it, and one left by a crash is free."""
    beside = real.with_name(f".{real.name}.timeball-new")
    descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = os.path.samestat(os.fstat(descriptor), beside.lstat())
        except (BlockingIOError, FileNotFoundError):
            ours = False
        if not ours:
            raise Conflict(f"somebody else is writing {real} right now; try again")
        try:
            _check(real, old)
            os.ftruncate(descriptor, 0)
            _give_away(descriptor, real)
            _write_all(descriptor, new)
            os.fsync(descriptor)
            beside.replace(real)
        except BaseException:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
    finally:
        os.close(descriptor)


def _check(real: Path, old: bytes | None) -> None:
    if content(real) != old:
        raise Conflict(f"{real} was changed by somebody else meanwhile; nothing was written")


def _give_away(descriptor: int, real: Path) -> None:
    """Owner, mode and attributes of the file that is replaced."""
    try:
        found = real.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, NEW_MODE)
        return
    mine = os.fstat(descriptor)
    if (mine.st_uid, mine.st_gid) != (found.st_uid, found.st_gid):
        os.fchown(descriptor, found.st_uid, found.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(found.st_mode))
    for name in os.listxattr(real):
        with contextlib.suppress(OSError):  # such as labels that only the kernel gives
            os.setxattr(descriptor, name, os.getxattr(real, name))


def _write_all(descriptor: int, data: bytes) -> None:
    at = 0
    while at < len(data):
        at += os.write(descriptor, data[at:])


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _can_make(folder: Path) -> bool:
    above = next((p for p in folder.parents if p.exists()), Path("/"))
    return os.access(above, os.W_OK | os.X_OK)
