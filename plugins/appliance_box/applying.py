"""Puts rendered settings in place below a root, and has the programs of the system take them."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
from collections.abc import Sequence
from pathlib import Path

from appliance.api.agent import Runs, words
from appliance_box import rendering
from appliance_box.settings import BoxSettings

log = logging.getLogger("timeball.box")

#: Asked over its bus: the agent has a network of its own, in which `networkctl` refuses to work and /sys/class/net has no cards.
_NETWORKD = (
    "busctl", "call", "org.freedesktop.network1", "/org/freedesktop/network1", "org.freedesktop.network1.Manager",
)  # fmt: skip

ZONES = "usr/share/zoneinfo"


def place(root: Path, settings: BoxSettings) -> list[str]:
    """Write the files of `settings` and take away those of ours that are not wanted any more.

    Returns:
        What could not be done, in words; the rest is done.
    """
    wanted = rendering.rendered(settings)
    trouble: list[str] = []
    for folder in (rendering.RUN, rendering.NETWORKS):  # the agent may write to them only if they are there
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, file in wanted.items():
        try:
            _write(root / name, file.content, file.mode)
        except OSError as error:
            trouble.append(f"/{name} cannot be written: {error.strerror}")
    ours = [*(root / rendering.NETWORKS).glob(f"{rendering.PREFIX}*.network")]
    ours += [root / name for name in (rendering.WIFI_CONF, rendering.SSHD_CONF, rendering.SSH_KEYS)]
    for path in ours:
        if str(path.relative_to(root)) not in wanted:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
    trouble += _time_zone(root, settings.time_zone)
    return trouble


def name_box(root: Path, settings: BoxSettings) -> list[str]:
    """Give the kernel the host name; below another root only write it down."""
    if not settings.host_name:
        return []
    if root != Path("/"):
        _write(root / rendering.RUN / "hostname", settings.host_name + "\n", 0o644)
        return []
    try:
        socket.sethostname(settings.host_name)
    except OSError as error:
        return [f"the host name was not taken: {error.strerror}"]
    return []


def take_up(root: Path, program: Runs) -> list[str]:
    """Have the running programs read what was placed; for the running box, not for its start."""
    trouble = []
    for what, command in _commands(root, wireless(program)):
        done = program(*command)
        if done.status not in (0, 127):
            trouble.append(f"{what}: {words(done.said) or f'status {done.status}'}")
    return trouble


def _commands(root: Path, wireless: Sequence[str]) -> Sequence[tuple[str, tuple[str, ...]]]:
    """What to ask, after the words for when it is not done: units that have no file of theirs are stopped."""
    ssh = "restart" if (root / rendering.SSHD_CONF).exists() else "stop"
    wifi = "restart" if (root / rendering.WIFI_CONF).exists() else "stop"
    units = [f"timeball-wifi@{name}.service" for name in wireless]
    return (
        ("the network was not set anew", (*_NETWORKD, "Reload")),
        *((("Wi-Fi was not set anew", ("systemctl", wifi, *units)),) if units else ()),
        ("SSH was not set anew", ("systemctl", ssh, "timeball-ssh.service")),
    )


def wireless(program: Runs) -> list[str]:
    """Names of the wireless interfaces, as the network's manager knows them; none where it does not run."""
    done = program("busctl", "--json=short", *_NETWORKD[1:], "Describe", most_bytes=1 << 20)
    try:
        told = json.loads(json.loads(done.said)["data"][0])
        return sorted(str(link["Name"]) for link in told["Interfaces"] if link.get("Type") == "wlan")
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return []


def known_zone(root: Path, zone: str) -> bool:
    return (root / ZONES / zone).is_file()


def _time_zone(root: Path, zone: str) -> list[str]:
    zone = zone or "Etc/UTC"
    link = root / rendering.LOCALTIME
    if not known_zone(root, zone):
        return [f"this box knows no time zone {zone}"]
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name("localtime.new")
    try:
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(f"/{ZONES}/{zone}")
        fresh.replace(link)
    except OSError as error:
        return [f"the time zone was not taken: {error.strerror}"]
    return []


def _write(path: Path, content: str, mode: int) -> None:
    """By a rename, with its mode from the first moment on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o755)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        os.fchmod(handle, mode)
        out.write(content)
    fresh.replace(path)
