"""What the cache holds too long: layers that nobody asked for in a month, and what a build that died left behind."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

#: Layers are named KIND-...-HASH; a build's own folder ends with its process id.
_LAYER = re.compile(r"(tools|base|start|loaders)-.*[0-9a-f]{16}(\.tar)?")
_OWN = re.compile(r"(?:work|tools|base|start|loaders)-.*?[-.](\d+)(?:\.tar|\.pref)?")
UNUSED_S = 30 * 86400


def used(path: Path) -> None:
    """Somebody asked for this layer; when it was made stays."""
    made = path.stat().st_mtime_ns
    os.utime(path, ns=(time.clock_gettime_ns(time.CLOCK_REALTIME), made))


def made_on(path: Path) -> str:
    """The day on which its packages were fetched."""
    return time.strftime("%Y-%m-%d", time.gmtime(path.stat().st_mtime))


def tidy(cache: Path, now_s: float | None = None) -> list[str]:
    """Remove them; their names."""
    now_s = time.clock_gettime(time.CLOCK_REALTIME) if now_s is None else now_s
    gone = []
    for path in sorted(cache.iterdir()):
        own = _OWN.fullmatch(path.name)
        if _LAYER.fullmatch(path.name):
            stale = now_s - path.stat().st_atime > UNUSED_S
        else:
            stale = own is not None and not Path(f"/proc/{own[1]}").exists()
        if stale:
            gone.append(path.name)
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return gone
