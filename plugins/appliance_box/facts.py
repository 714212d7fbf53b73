"""What this box is: model, image, addresses, how long it is up, what its card has gone through. Read anew each time; never raises."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from appliance.api.agent import Runs, run_program
from appliance_box.image import NOT_AN_IMAGE, read_image, slot

#: Notes of the scripts that run before the system, by what they are about.
NOTES = "run/timeball"


def read(root: Path = Path("/"), program: Runs = run_program) -> dict[str, Any]:
    """All of it, JSON-able; what cannot be read is "" or None."""
    image = read_image(root)
    return {
        "model": model(root),
        "host_name": socket.gethostname(),
        "image": None if image is None else {
            "id": image.id, "version": image.version, "built": image.built, "commit": image.commit, "pi": image.pi,
        },
        "not_offered": "" if image else NOT_AN_IMAGE,
        "slot": slot(root),
        "up_s": round(time.clock_gettime(time.CLOCK_BOOTTIME)),
        "interfaces": interfaces(root, program),
        "card": card(root),
    }  # fmt: skip


def model(root: Path) -> str:
    """Name of the board or machine, as its firmware has it."""
    board = text_of(root / "sys/firmware/devicetree/base/model")
    if board:
        return board
    vendor, product = (text_of(root / "sys/class/dmi/id" / name) for name in ("sys_vendor", "product_name"))
    return " ".join(word for word in (vendor, product) if word)


def interfaces(root: Path, program: Runs) -> list[dict[str, Any]]:
    """Network interfaces with their addresses, loopback left out."""
    done = program("ip", "-json", "address", "show", timeout_s=5.0, most_bytes=1 << 20)
    try:
        found = json.loads(done.said) if done.status == 0 else []
        return list(_interfaces(root, found))
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def _interfaces(root: Path, found: Any) -> Iterator[dict[str, Any]]:
    for link in found:
        if link.get("link_type") == "loopback":
            continue
        yield {
            "name": str(link["ifname"]),
            "up": link.get("operstate") in ("UP", "UNKNOWN"),
            "mac": str(link.get("address", "")),
            # Bridges, tunnels and the like have no device behind them.
            "physical": (root / "sys/class/net" / str(link["ifname"]) / "device").exists(),
            "addresses": [
                f"{a['local']}/{a['prefixlen']}" for a in link.get("addr_info", ()) if not a.get("temporary")
            ],
        }


def card(root: Path) -> dict[str, Any] | None:
    """The SD or eMMC card that the box runs from, as it names itself; None where there is none."""
    for device in sorted((root / "sys/block").glob("mmcblk[0-9]")):
        if not (device / "device/name").exists():
            continue
        written = text_of(device / "stat").split()
        return {
            "device": device.name,
            "name": text_of(device / "device/name"),
            "made": text_of(device / "device/date"),
            # eMMC alone: used tenths of its life, two kinds of cells.
            "life": text_of(device / "device/life_time"),
            # Field 7 is sectors of 512 bytes written since the start (kernel's block/stat.rst).
            "written_bytes": int(written[6]) * 512 if len(written) > 6 else None,
        }
    return None


def note(root: Path, name: str) -> str:
    """What a script before the system had to say about `name`, or ""."""
    return text_of(root / NOTES / name, most=4096)


def text_of(file: Path, most: int = 200) -> str:
    try:
        with file.open("rb") as source:
            return source.read(most).rstrip(b"\0\n ").decode("utf-8", "replace").strip()
    except OSError:
        return ""
