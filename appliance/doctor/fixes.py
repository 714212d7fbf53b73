"""Who commonly holds our ports, and the repairs that can be undone. Their commands are what is shown and what is run."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from appliance.api.contrib import Fix
from appliance.api.errors import Refused
from appliance.doctor.surroundings import Surroundings

#: A service that takes longer to start again has a trouble of its own.
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Holder:
    """A program that is known to hold a port.

    Attributes:
        called: for people.
        about: what it does there.
        remedy: what to do.
        commands: to be typed.
        fix: name of the repair that does it, "" when a person has to decide.
    """

    called: str
    about: str
    remedy: str
    commands: tuple[str, ...] = ()
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Repair:
    """Commands that change the system, and those that change it back; no text from outside is ever part of them.

    Attributes:
        port: that it frees.
        mark: file, relative to the root, that is there when it was done.
    """

    says: str
    do: tuple[str, ...]
    undo: tuple[str, ...]
    undo_says: str
    port: int
    mark: str

    def fix(self, around: Surroundings) -> Fix:
        async def apply() -> str:
            await _run(self.do, around)
            return self.says

        async def undo() -> str:
            await _run(self.undo, around)
            return self.undo_says

        return Fix(f"{self.says} `--undo` takes it back.", apply, undo, root=True)


FIXES: Mapping[str, Repair] = {
    "resolved-stub": Repair(
        "Tells systemd-resolved to leave port 53 alone, and this box's own programs to ask their name servers directly.",
        (
            "mkdir -p /etc/systemd/resolved.conf.d",
            "printf '[Resolve]\\nDNSStubListener=no\\n' > /etc/systemd/resolved.conf.d/timeball.conf",
            "ln -sf ../run/systemd/resolve/resolv.conf /etc/resolv.conf",
            "systemctl restart systemd-resolved",
        ),
        (
            "rm -f /etc/systemd/resolved.conf.d/timeball.conf",
            "ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf",
            "systemctl restart systemd-resolved",
        ),
        "systemd-resolved answers on its own address again.",
        53,
        "etc/systemd/resolved.conf.d/timeball.conf",
    ),
    "chrony-port": Repair(
        "Tells chronyd to serve nobody (`port 0`); it goes on setting this box's clock, which is what the appliance serves.",
        (
            "mkdir -p /etc/chrony/conf.d",
            "printf 'port 0\\n' > /etc/chrony/conf.d/timeball.conf",
            "systemctl restart chrony",
        ),
        ("rm -f /etc/chrony/conf.d/timeball.conf", "systemctl restart chrony"),
        "chronyd serves as it was configured before.",
        123,
        "etc/chrony/conf.d/timeball.conf",
    ),
}

_TIME = "Only one program can answer on the time port."
_HOLDERS: Mapping[tuple[str, int], Holder] = {
    ("systemd-resolve", 53): Holder(
        "systemd-resolved", "It is the resolver of this box itself.",
        "let it give up its listener; names are still resolved", FIXES["resolved-stub"].do, "resolved-stub",
    ),
    ("chronyd", 123): Holder(
        "chronyd", "It should set the clock and not serve: that is what the appliance is for.",
        "tell it `port 0`", FIXES["chrony-port"].do, "chrony-port",
    ),
    ("ntpd", 123): Holder(
        "ntpd", f"{_TIME} ntpd cannot set the clock without holding it.",
        "let chronyd set the clock in its place", ("apt-get install chrony", "timeball doctor --fix ports"),
    ),
    ("openntpd", 123): Holder(
        "openntpd", _TIME, "remove its `listen on` lines", ("editor /etc/openntpd/ntpd.conf", "systemctl restart openntpd"),
    ),
    ("dnsmasq", 53): Holder(
        "dnsmasq", "It resolves names for this box or its network.",
        "if only its DHCP is needed, switch its DNS off; else let it forward the pool's zone to another port of ours",
        ("printf 'port=0\\n' > /etc/dnsmasq.d/timeball.conf", "systemctl restart dnsmasq"),
    ),
    ("pihole-FTL", 53): Holder(
        "Pi-hole", "It resolves names for the network, and serves time too unless told otherwise.",
        "let the appliance listen on another port and have Pi-hole forward the pool's zone to it",
    ),
    ("pihole-FTL", 123): Holder(
        "Pi-hole", _TIME, "switch its NTP server off",
        ("pihole-FTL --config ntp.ipv4.active false", "pihole-FTL --config ntp.ipv6.active false"),
    ),
    ("named", 53): Holder(
        "BIND", "It is a name server already.", "delegate or forward the pool's zone to another port of ours"
    ),
    ("unbound", 53): Holder(
        "Unbound", "It resolves names for the network.", "let it forward the pool's zone with a stub-zone to another port of ours"
    ),
}  # fmt: skip
_ALIASES = {"ntpsec": "ntpd", "systemd-resolved": "systemd-resolve"}


def for_holder(name: str, port: int) -> Holder | None:
    """What is known about a program on a port; names are as the kernel has them, at most 15 characters."""
    return _HOLDERS.get((_ALIASES.get(name, name), port))


def undo_for(key: str, around: Surroundings) -> Fix | None:
    """The way back from a repair that was done, for the id of what it mended: known by name, not read from anywhere."""
    for name, repair in FIXES.items():
        if (key == name or f"-{repair.port}-" in key) and (around.root / repair.mark).is_file():
            return repair.fix(around)
    return None


async def _run(commands: tuple[str, ...], around: Surroundings) -> None:
    """Run commands as root, one after the other, and stop at the first that fails.

    Raises:
        Refused: we are not root, or one failed, with what it said.
    """
    if not around.is_root:
        raise Refused("only root may change the system: sudo timeball doctor --fix ...")
    for command in commands:
        text = command.replace(" /etc/", f" {around.root / 'etc'}/") if str(around.root) != "/" else command
        child = await asyncio.create_subprocess_exec(
            "/bin/sh", "-ec", text, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            async with asyncio.timeout(_PATIENCE_S):
                said, _ = await child.communicate()
        except TimeoutError:
            os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
            raise Refused(f"`{command}` did not end within {_PATIENCE_S:.0f} s") from None
        if child.returncode:
            words = said.decode("utf-8", "replace").strip()[-500:]
            raise Refused(f"`{command}` failed with status {child.returncode}: {words}")
