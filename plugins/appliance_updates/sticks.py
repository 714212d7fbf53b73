"""Bundles on USB sticks: which partitions can be taken out, and a look into the root folder of each, read-only."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from appliance.api.agent import AgentRefusal, Call, words

PLACE = "run/timeball/sticks"
ENDING = ".raucb"
_MOST = 20
#: Runs the rest of the words outside of our confinement, and waits.
_BESIDE = ("systemd-run", "--quiet", "--wait", "--pipe", "--collect", "--no-ask-password")
_NAME = re.compile(r"[a-z]{2,8}[a-z0-9]{0,8}")


def partitions(root: Path) -> list[str]:
    """Names of partitions (and of whole media without a table) on media that can be taken out, such as "sdb1"."""
    found = []
    block = root / "sys/block"
    for disk in sorted(block.iterdir()) if block.is_dir() else []:
        if disk.name.startswith(("loop", "ram", "zram", "dm-", "md", "sr", "fd")) or not _NAME.fullmatch(
            disk.name
        ):
            continue
        usb = "/usb" in str(disk.resolve())
        if not usb and _text(disk / "removable") != "1":
            continue
        parts = [
            p.name for p in sorted(disk.iterdir()) if (p / "partition").exists() and _NAME.fullmatch(p.name)
        ]
        found += parts or [disk.name]
    used = {
        Path(line.split()[0]).name
        for line in _text(root / "proc/mounts").splitlines()
        if line.startswith("/dev/")
    }
    return [name for name in found if name not in used or (root / PLACE / name).exists()][:_MOST]


@contextlib.contextmanager
def mounted(call: Call, name: str) -> Iterator[Path]:
    """The partition, mounted where every process sees it: read-only, and nothing on it is run.

    The agent itself sees no devices, so a program of a moment does it that the service manager starts beside it.

    Raises:
        AgentRefusal: it has no file system that can be read.
    """
    where = call.root / PLACE / name
    where.mkdir(parents=True, exist_ok=True)
    done = call.program(
        *_BESIDE, "mount", "-o", "ro,nosuid,nodev,noexec", f"/dev/{name}", str(where), timeout_s=60
    )
    if done.status != 0 and "already mounted" not in done.said:
        raise AgentRefusal("unreadable_stick", f"the stick {name} cannot be read: {words(done.said)}")
    try:
        yield where
    finally:
        call.program(*_BESIDE, "umount", str(where), timeout_s=60)
        with contextlib.suppress(OSError):
            where.rmdir()


def bundles(folder: Path) -> list[Path]:
    """Bundles in a folder: plain files with the right ending, in the folder itself."""
    with contextlib.suppress(OSError):
        found = [p for p in sorted(folder.iterdir()) if p.name.lower().endswith(ENDING)]
        return [p for p in found if p.is_file() and not p.is_symlink() and not p.name.startswith(".")][:_MOST]
    return []


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
