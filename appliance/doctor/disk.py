"""Room, rights and health of the state folder."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

from appliance.api.contrib import Finding, Fix, HealthCheck
from appliance.api.foreign import quoted
from appliance.api.model import Level
from appliance.doctor.surroundings import Surroundings, threaded

_LITTLE, _NOTHING = 200_000_000, 30_000_000


def checks(around: Surroundings) -> list[HealthCheck]:
    def space() -> Finding | None:
        return room(around.state_dir)

    def rights() -> list[Finding]:
        return too_open(around.state_dir)

    return [
        HealthCheck(
            "disk space", threaded(space), Level.DEGRADED, well="there is room for what is measured",
            why="Without room nothing that is measured is kept, and settings cannot be changed. Answers go on.",
        ),
        HealthCheck(
            "state folder", threaded(rights), Level.DEGRADED, well="nobody else can read keys and history",
            why="The folder holds keys, tokens and what the configuration was; others on this box should not read it.",
        ),
    ]  # fmt: skip


def room(folder: Path) -> Finding | None:
    """What is wrong with the room on the disk of the state folder, or None."""
    place = next((p for p in (folder, *folder.parents) if p.exists()), Path("/"))
    found = os.statvfs(place)
    free, size = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    evidence = (f"{_size(free)} free of {_size(size)} at {place}",)
    if found.f_flag & os.ST_RDONLY:
        return Finding(
            f"{place} is mounted read-only", level=Level.FAILING, id="read-only", evidence=evidence,
            remedy="a disk that failed is mounted so by the kernel: look at `dmesg`, replace the card",
        )  # fmt: skip
    if free < _NOTHING:
        return Finding(
            f"the disk is full: {_size(free)} are left", level=Level.FAILING, id="full", evidence=evidence,
            remedy="make room, or keep less: see `retention` and `raw_days` in the settings",
            commands=(f"du -xh --max-depth=2 {quoted(place)} | sort -h | tail",),
        )  # fmt: skip
    if free < min(_LITTLE, size // 20 or _LITTLE):
        return Finding(
            f"the disk is nearly full: {_size(free)} are left", id="low", evidence=evidence,
            remedy="make room, or keep less", commands=(f"du -xh --max-depth=2 {quoted(place)} | sort -h | tail",),
        )  # fmt: skip
    if found.f_files and found.f_favail < 1000:
        return Finding(
            f"the file system has room for {found.f_favail} more files only", id="inodes", evidence=evidence,
            remedy="remove small files that nobody needs",
        )  # fmt: skip
    return None


def too_open(folder: Path) -> list[Finding]:
    """Files that others can read, with the repair."""
    found = []
    for path, most in [(folder, 0o750), *((p, 0o600) for p in _private(folder))]:
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError:
            continue
        if mode & 0o007 or (most == 0o600 and mode & 0o077):
            found.append(Finding(
                f"{path} is open to others", id=path.name, evidence=(f"its mode is {mode:04o}",),
                remedy=f"take the rights away: {mode & most:04o} is enough",
                commands=(f"chmod {mode & most:04o} {quoted(path)}",), fix=_close(path, mode, mode & most),
            ))  # fmt: skip
    return found


def _private(folder: Path) -> list[Path]:
    try:
        return [p for p in sorted((folder / "secrets").iterdir()) if p.is_file() and not p.is_symlink()]
    except OSError:
        return []


def _close(path: Path, old: int, new: int) -> Fix:
    async def apply() -> str:
        await asyncio.to_thread(path.chmod, new)
        return f"{path} has the mode {new:04o} now (it was {old:04o})."

    async def undo() -> str:
        await asyncio.to_thread(path.chmod, old)
        return f"{path} has the mode {old:04o} again."

    return Fix(
        f"Changes the mode of {path} from {old:04o} to {new:04o}. `--undo` takes it back.", apply, undo
    )


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
