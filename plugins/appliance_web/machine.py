"""How the machine itself is: room on the disk, memory, load, temperature, and what wears out, as far as it tells."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from appliance.api.contrib import Route
from appliance.core.routes import Request

#: Bits of the Raspberry Pi's firmware: what holds now, and what has been so since the start.
_THROTTLED = (
    (0x1, "too little voltage"),
    (0x2, "slowed down"),
    (0x4, "slowed down"),
    (0x8, "near the limit of heat"),
)
_SINCE_START = 16


def read(state_dir: Path, root: Path = Path("/")) -> dict[str, Any]:
    """Everything that can be read; what cannot is None.

    Args:
        state_dir: on the disk that matters.
        root: where "/proc" and "/sys" are.
    """
    throttled = _number(root / "sys/devices/platform/soc/soc:firmware/get_throttled", base=16)
    return {
        "disk": _disk(state_dir),
        "memory": _memory(root),
        "load": _load(root),
        "cpus": os.cpu_count() or 1,
        "uptime_s": _first(root / "proc/uptime"),
        "temperature_c": _hottest(root),
        "throttled": None if throttled is None else _words(throttled),
        "throttled_before": None if throttled is None else _words(throttled >> _SINCE_START),
        "life_used": _life_used(root),
    }


def _disk(folder: Path) -> dict[str, Any] | None:
    try:
        usage = shutil.disk_usage(folder)
        flags = os.statvfs(folder).f_flag
    except OSError:
        return None
    return {"total_bytes": usage.total, "free_bytes": usage.free, "writable": not flags & os.ST_RDONLY}


def _memory(root: Path) -> dict[str, int] | None:
    try:
        lines = (root / "proc/meminfo").read_text(errors="replace").splitlines()
        found = {
            k: int(v.split()[0]) * 1024 for k, _, v in (line.partition(":") for line in lines) if v.split()
        }
        return {"total_bytes": found["MemTotal"], "available_bytes": found["MemAvailable"]}
    except (OSError, ValueError, KeyError):
        return None


def _load(root: Path) -> float | None:
    return _first(root / "proc/loadavg")


def _first(path: Path) -> float | None:
    """The first number in a file."""
    try:
        return float(path.read_text(errors="replace").split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _hottest(root: Path) -> float | None:
    """Of all thermal zones, in degrees Celsius; sensors that say what cannot be are left out."""
    found = [_number(path) for path in sorted((root / "sys/class/thermal").glob("thermal_zone*/temp"))]
    sane = [value / 1000 for value in found if value is not None and -40_000 < value < 150_000]
    return max(sane, default=None)


def _life_used(root: Path) -> float | None:
    """How much of an eMMC's life is used, 0 to 1: the worse of its two figures (JESD84-B51, DEVICE_LIFE_TIME_EST)."""
    worst = None
    for path in sorted((root / "sys/block").glob("mmcblk*/device/life_time")):
        try:
            tenths = [int(text, 16) for text in path.read_text(errors="replace").split()]
        except (OSError, ValueError):
            continue
        known = [min(t, 11) for t in tenths if t]
        if known:
            worst = max([worst or 0.0, *(t / 10 for t in known)])
    return worst


def _number(path: Path, base: int = 10) -> int | None:
    try:
        return int(path.read_text(errors="replace").strip(), base)
    except (OSError, ValueError):
        return None


def _words(bits: int) -> list[str]:
    return list(dict.fromkeys(word for bit, word in _THROTTLED if bits & bit))


_NUMBER = {"type": ["number", "null"]}
_OBJECT = {"type": ["object", "null"]}
_MACHINE = {
    "type": "object",
    "properties": {
        "disk": _OBJECT,
        "memory": _OBJECT,
        "load": {**_NUMBER, "description": "of the last minute: how many want to run"},
        "cpus": {"type": "integer"},
        "uptime_s": _NUMBER,
        "temperature_c": _NUMBER,
        "throttled": {"type": ["array", "null"], "items": {"type": "string"}, "description": "now"},
        "throttled_before": {
            "type": ["array", "null"],
            "items": {"type": "string"},
            "description": "since the start",
        },
        "life_used": {**_NUMBER, "description": "of an eMMC, 0 to 1"},
    },
    "required": ["disk", "memory", "load", "cpus", "uptime_s", "temperature_c"],
}


def machine_routes(state_dir: Path) -> Iterable[Route]:
    """The one operation."""

    async def show(request: Request) -> dict[str, Any]:
        return read(state_dir)

    return (
        Route(
            "GET",
            "/api/v1/machine",
            show,
            "box:read",
            "Disk, memory, load and temperature of the machine",
            returns=_MACHINE,
        ),
    )
