"""Hands the time sources that people chose to chronyd, over which we have no right: by a file of our own.

`timeball-time-sources.service` runs as root, looks at every line of it and passes on what is a source and nothing else.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Collection
from pathlib import Path

from appliance_clock.config import ClockConfig
from appliance_clock.named_source import parse_source

FILE = "chosen.sources"


def text(config: ClockConfig) -> str:
    """The whole file; "" when nothing differs from what chronyd has without us."""
    if not config.time_sources and config.default_sources and config.dhcp_sources:
        return ""
    lines = ["# Written by Timeball from [plugins.clock]; timeball-time-sources.service hands it to chronyd."]
    lines += [] if config.default_sources else ["# only these"]
    lines += [] if config.dhcp_sources else ["# not from DHCP"]
    lines += [parse_source(one).line() for one in config.time_sources]
    return "\n".join([*lines, ""])


def write(folder: Path, config: ClockConfig) -> bool:
    """Bring the file up to date; whether it was not.

    Raises:
        OSError: it cannot be written; the old one stays.
    """
    path, wanted = folder / FILE, text(config)
    try:
        found = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        found = ""
    if found == wanted:
        return False
    beside = path.with_name(f"{FILE}.new")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(wanted)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()
    return True


def not_taken(config: ClockConfig, heard: Collection[str]) -> list[str]:
    """A sentence for each chosen source that chronyd does not have.

    Args:
        config: with the choice.
        heard: names and addresses of all its sources.
    """
    names = {_plain(one) for one in heard}
    return [
        f"chronyd has not taken over {source.host}: is timeball-time-sources.path enabled, and does chronyd read /run/chrony-dhcp?"
        for source in map(parse_source, config.time_sources)
        if _plain(source.host) not in names
    ]


def _plain(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.lower().rstrip(".")
