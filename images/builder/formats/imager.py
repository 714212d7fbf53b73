"""rpi-imager-manifest: the list that Raspberry Pi Imager takes an image from, with its settings dialogue.

A file that is opened directly gets no dialogue (Imager 2.0 on): how settings are handed over stands in the list. Fields are those
of Imager's own documentation of its list (version 4), checked by `problems` before anything is written.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

from images.builder.build import Build
from images.builder.digest import sha256
from images.builder.errors import BuildError
from images.builder.spec import FOLDER

ICON = "timeball.svg"
#: How Imager hands settings over: as files for cloud-init, which every version of it can, and which the box reads.
INIT_FORMAT = "cloudinit"
#: Ways that Imager knows.
INIT_FORMATS = ("", "none", "systemd", "cloudinit", "cloudinit-rpi", "rpi-preseed")
#: Imager's devices, by its tags. The Zero 2 W has the chip of the 3.
DEVICES = {
    "pi5-64bit": ("Raspberry Pi 5", "Raspberry Pi 5"),
    "pi4-64bit": ("Raspberry Pi 4", "Models B and 400"),
    "pi3-64bit": ("Raspberry Pi 3 and Zero 2 W", "Models A+, B, B+ and Zero 2 W"),
}


@dataclasses.dataclass(frozen=True)
class Card:
    """What Imager has to know of an image."""

    title: str
    version: str
    built: int
    url: str
    icon: str
    bmap_url: str
    packed_bytes: int
    bytes: int
    sha256: str


def imager(build: Build, raw: Path, target: Path) -> None:
    """Write the list of one image; the packed image lies beside the raw one.

    Raises:
        BuildError: the list is not one that Imager takes.
    """
    name = f"{build.spec.id}.img"
    packed = raw.with_name(f"{name}.xz")
    card = Card(
        title=build.spec.title,
        version=build.release.version,
        built=build.release.built,
        url=f"{build.address}/{packed.name}",
        icon=f"{build.address}/{ICON}",
        bmap_url=f"{build.address}/{name}.bmap",
        packed_bytes=packed.stat().st_size,
        bytes=raw.stat().st_size,
        sha256=sha256(raw),
    )
    listed = document(card)
    if wrong := problems(listed):
        raise BuildError("the list for Raspberry Pi Imager is wrong:\n" + "\n".join(wrong))
    target.write_text(json.dumps(listed, indent=2) + "\n")


def icon(build: Build) -> Path:
    """The picture that the list names."""
    path = build.work / ICON
    shutil.copyfile(FOLDER.parent / "plugins/appliance_web/static/mark.svg", path)
    return path


def document(card: Card) -> dict[str, Any]:
    """The list as Imager reads it."""
    devices = [
        {"name": name, "description": description, "tags": [tag], "architecture": "armv8"}
        for tag, (name, description) in DEVICES.items()
    ]
    entry = {
        "name": card.title,
        "description": f"A regional NTP pool in a box, version {card.version}: serves time, watches the members, answers DNS",
        "icon": card.icon,
        "url": card.url,
        "bmap_url": card.bmap_url,
        "extract_size": card.bytes,
        "extract_sha256": card.sha256,
        "image_download_size": card.packed_bytes,
        "release_date": time.strftime("%Y-%m-%d", time.gmtime(card.built)),
        "init_format": INIT_FORMAT,
        "architecture": "armv8",
        "devices": list(DEVICES),
    }
    return {"imager": {"devices": devices}, "os_list": [entry]}


#: Fields of an entry: what they hold, and whether they must be there.
_TEXT = {
    "name": True,
    "description": True,
    "icon": True,
    "url": True,
    "bmap_url": False,
    "architecture": False,
    "website": False,
}
_NUMBER = {"extract_size": True, "image_download_size": True}
_FORM = {
    "extract_sha256": (r"[0-9a-f]{64}", "64 hexadecimal digits"),
    "release_date": (r"\d{4}-\d{2}-\d{2}", "a date like 2026-11-26"),
}


def problems(listed: Any) -> list[str]:
    """What is wrong with a list, one sentence each; nothing when Imager takes it."""
    entries = listed.get("os_list") if isinstance(listed, dict) else None
    if not isinstance(entries, list) or not entries:
        return ["os_list: expected a list with at least one entry"]
    wrong = []
    for number, entry in enumerate(entries):
        wrong += [f"os_list[{number}]{what}" for what in _wrong(entry)]
    devices = listed.get("imager", {}).get("devices", [])
    known = {tag for device in devices for tag in device.get("tags", [])}
    for number, device in enumerate(devices):
        if not all(isinstance(device.get(name), str) and device[name] for name in ("name", "description")):
            wrong.append(f"imager.devices[{number}]: expected name and description")
    for number, entry in enumerate(entries):
        if known and isinstance(entry, dict) and not known >= set(entry.get("devices", [])):
            wrong.append(f"os_list[{number}].devices: expected some of {', '.join(sorted(known))}")
    return wrong


def _wrong(entry: Any) -> list[str]:
    if not isinstance(entry, dict):
        return [": expected a table"]
    wrong = []
    for name, required in _TEXT.items():
        if (required or name in entry) and not (isinstance(entry.get(name), str) and entry[name]):
            wrong.append(f".{name}: expected some text")
    for name, required in _NUMBER.items():
        value = entry.get(name)
        if (required or name in entry) and (
            not isinstance(value, int) or isinstance(value, bool) or value < 1
        ):
            wrong.append(f".{name}: expected a number of bytes")
    for name, (form, what) in _FORM.items():
        if not isinstance(entry.get(name), str) or not re.fullmatch(form, entry[name]):
            wrong.append(f".{name}: expected {what}")
    if entry.get("init_format", "") not in INIT_FORMATS:
        wrong.append(f".init_format: expected one of {', '.join(INIT_FORMATS[1:])}")
    devices = entry.get("devices")
    if not isinstance(devices, list) or not devices or not all(isinstance(tag, str) for tag in devices):
        wrong.append(".devices: expected a list of tags")
    return wrong
