"""What the doctor asks about the box: its partitions, the settings of its first start, power, SSH, clock, and the last restore."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from appliance.api.context import SetupContext
from appliance.api.contrib import Finding, HealthCheck
from appliance.api.model import Level
from appliance.core.swapping import Exchange
from appliance_box import facts, told
from appliance_box.image import read_image

#: A boot partition with less left could not take the next kernel.
_BOOT_LOW: Final = 16 << 20
_SSH_PORT: Final = "0016"  # 22 in /proc/net/tcp
_LISTENS: Final = "0A"
_PASSWORDS: Final = re.compile(r"^\s*PasswordAuthentication\s+(\w+)", re.IGNORECASE | re.MULTILINE)


def checks(ctx: SetupContext, socket: Path, root: Path = Path("/")) -> list[HealthCheck]:
    """All of them."""

    def threaded(look: Callable[[], Any]) -> Any:
        async def ask() -> Any:
            return await asyncio.to_thread(look)

        return ask

    def agent_listens() -> str | None:
        """Looked at, not asked: a question every few seconds would keep the agent up for ever."""
        if read_image(root) is None or os.access(socket, os.R_OK | os.W_OK):
            return None
        return f"the agent does not listen at {socket}" if not socket.exists() else f"we may not use {socket}"

    now_s = ctx.clock.wall_ns
    return [
        HealthCheck(
            "partitions", threaded(lambda: partitions(root)), Level.DEGRADED, well="the partitions of the box are well",
            why="What is set and measured lies on the data partition; the next start needs the boot partition.",
        ),
        HealthCheck(
            "first settings", threaded(lambda: preseed(root)), Level.DEGRADED, well="the settings that waited for the box were understood",
            why="What was not understood is not set: the box may lack its network, its name or its owner.",
        ),
        HealthCheck(
            "power", threaded(lambda: power(root)), Level.DEGRADED, well="the supply holds its voltage, as far as the board tells",
            why="A board with too little voltage slows down, loses USB devices and damages its card.",
            remedy="a supply for this very board, and a short cable: most of those for telephones are too weak",
        ),
        HealthCheck(
            "ssh", threaded(lambda: ssh(root)), Level.DEGRADED, well="nobody logs in to this box with a password, as far as can be seen",
            why="Passwords of SSH are guessed day and night from everywhere.",
        ),
        HealthCheck(
            "clock set", threaded(lambda: clock_set(root, now_s() / 1e9)), Level.DEGRADED, well="the clock has been set",
            why="Before that, certificates are not valid and everything measured bears a wrong date.",
            remedy="give the box a time source: a network with NTP, or a GPS receiver; `timeball clock` says what is missing",
        ),
        HealthCheck(
            "restore", threaded(lambda: restored(ctx.state_dir.parent)), Level.DEGRADED, well="no restored backup was taken back",
            why="The box runs with what was there before, and not with what was restored.",
        ),
        HealthCheck(
            "agent", threaded(agent_listens), Level.DEGRADED, well="what needs root's rights can be done",
            why="Without it, host name, network, restart and updates cannot be changed from the pages.",
            remedy="systemctl status timeball-agent.socket; journalctl -u timeball-agent",
        ),
    ]  # fmt: skip


def partitions(root: Path) -> list[Finding]:
    """What the scripts before the system noted, and whether the boot partition has room."""
    found = []
    for name, level, remedy in (
        (
            "data-problem",
            Level.FAILING,
            "make a backup of what is there now, then write the card anew or replace it",
        ),
        (
            "boot-problem",
            Level.DEGRADED,
            "put the card into a computer and let it repair the small partition",
        ),
        (
            "grow-problem",
            Level.DEGRADED,
            "the box works in the room it has; write the card anew to give it the whole one",
        ),
        ("data-repaired", Level.DEGRADED, "make a backup; a card that needs this twice is at its end"),
    ):
        if said := facts.note(root, name):
            first, *more = said.splitlines()
            found.append(Finding(first, level=level, id=name, evidence=tuple(more[:10]), remedy=remedy))
    if said := facts.note(root, "was-reset"):
        found.append(
            Finding(said.splitlines()[0], info=True, id="was-reset", remedy="set it up, or restore a backup")
        )
    if read_image(root) is not None:
        try:
            boot = os.statvfs(root / "boot")
            free, size = boot.f_bavail * boot.f_frsize, boot.f_blocks * boot.f_frsize
        except OSError:
            return found
        if size and free < _BOOT_LOW:
            found.append(Finding(
                f"the boot partition is nearly full: {free >> 20} MiB are left", id="boot-full", evidence=(f"{free >> 20} of {size >> 20} MiB",),
                remedy="take away from it what was copied there by hand; without room the next update is refused",
            ))  # fmt: skip
    return found


def preseed(root: Path) -> Finding | None:
    """What was wrong in the files that waited for the box."""
    report = told.public(root)
    if report is None or not report.problems:
        return None
    count = len(report.problems)
    return Finding(
        f"{count} setting{'s' if count != 1 else ''} of the first start {'were' if count != 1 else 'was'} not used",
        evidence=tuple(str(problem) for problem in report.problems[:10]),
        remedy="mend the file and start the box again, or set it on the page and forget this",
        commands=("timeball box show", "timeball box dismiss"),
    )


def power(root: Path) -> Finding | None:
    """The board's own alarm, and the firmware's book, where there are such."""
    for name in sorted((root / "sys/class/hwmon").glob("hwmon*/name")):
        if _read(name) == "rpi_volt" and _read(name.with_name("in0_lcrit_alarm")) == "1":
            return Finding(
                "the board gets too little voltage",
                id="now",
                evidence=(f"{name.parent}/in0_lcrit_alarm is 1",),
            )
    try:
        bits = int(_read(root / "sys/devices/platform/soc/soc:firmware/get_throttled") or "0", 16)
    except ValueError:
        return None
    if bits & 0x1:
        return Finding(
            "the board gets too little voltage", id="now", evidence=(f"get_throttled is {bits:#x}",)
        )
    if bits & 0x10000:
        return Finding(
            "the board got too little voltage since its start",
            id="before",
            evidence=(f"get_throttled is {bits:#x}",),
        )
    return None


def ssh(root: Path) -> Finding | None:
    """SSH that takes passwords. What cannot be read is not judged."""
    listens = any(
        fields[1].endswith(f":{_SSH_PORT}") and fields[3] == _LISTENS
        for name in ("tcp", "tcp6")
        for line in _read(root / "proc/net" / name, most=1 << 20).splitlines()[1:]
        if len(fields := line.split()) > 3
    )
    if not listens:
        return None
    if (root / "run/timeball-box/sshd_config").exists() or read_image(root) is not None:
        return None  # ours takes keys alone
    files = [*sorted((root / "etc/ssh/sshd_config.d").glob("*.conf")), root / "etc/ssh/sshd_config"]
    if not any(os.access(file, os.R_OK) for file in files):
        return None
    # sshd takes the first value that it finds; the folder comes before the file, as Debian includes it.
    said = next(
        (found[1].lower() for file in files if (found := _PASSWORDS.search(_read(file, most=1 << 18)))), "yes"
    )
    if said != "yes":
        return None
    return Finding(
        "SSH lets people log in with a password", info=True, evidence=("port 22 listens", "PasswordAuthentication is not off"),
        remedy="use keys, and switch passwords off",
        commands=("echo 'PasswordAuthentication no' | sudo tee /etc/ssh/sshd_config.d/keys-only.conf", "sudo systemctl reload ssh"),
    )  # fmt: skip


def clock_set(root: Path, now_s: float) -> Finding | None:
    """Whether it is later than the image was built."""
    image = read_image(root)
    if image is None or not image.built or now_s > image.built + 60:
        return None
    return Finding(
        "the clock was never set: it is not later than the day on which the image was built",
        evidence=(f"built at {image.built}, now {now_s:.0f}",),
    )


def restored(state_dir: Path) -> Finding | None:
    """Whether a restored state was taken back because it did not run."""
    plan = Exchange(state_dir).plan()
    if plan is None or plan.phase != "returned" or plan.trials == 0:
        return None
    return Finding(
        f"the restored state did not run, and the one from before is back ({plan.about})",
        evidence=(f"{plan.trials} starts did not last",), remedy="look into the log of those starts; restore another backup",
        commands=("journalctl -u timeball --since -1d",),
    )  # fmt: skip


def _read(file: Path, most: int = 4096) -> str:
    return facts.text_of(file, most)
