"""GRUB's environment block: 1024 bytes of NAME=VALUE lines that GRUB can overwrite in place (GRUB manual, "Environment block").

What we keep fits into the first 512 bytes, which a medium writes whole or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping

from appliance.boot.scheme import SLOTS, TRIES, BootState, Slot, other

_HEAD = b"# GRUB Environment Block\n"
SIZE = 1024
#: What one write of a medium covers for sure.
WHOLE = 512


class Unreadable(Exception):
    """The content is not what a boot loader would take."""


def pack(values: Mapping[str, str]) -> bytes:
    """The block with these values.

    Raises:
        ValueError: a name or value that cannot be kept, or too many of them.
    """
    body = _HEAD
    for name, value in values.items():
        if not name.isidentifier() or "\n" in value or not value.isascii():
            raise ValueError(f"cannot be kept: {name}={value!r}")
        escaped = value.replace("\\", "\\\\")
        body += f"{name}={escaped}\n".encode()
    if len(body) > WHOLE:
        raise ValueError(f"{len(body)} bytes do not fit into {WHOLE}")
    return body.ljust(SIZE, b"#")


def unpack(content: bytes) -> dict[str, str]:
    """The values in a block.

    Raises:
        Unreadable: it is none.
    """
    if len(content) < WHOLE or not content.startswith(_HEAD):
        raise Unreadable("no GRUB environment block")
    values = {}
    for line in content[len(_HEAD) :].split(b"\n"):
        name, equals, value = line.partition(b"=")
        if equals and not name.startswith(b"#"):
            values[name.decode("latin-1")] = value.decode("latin-1").replace("\\\\", "\\")
    return values


def encode(state: BootState, kept: Mapping[str, str]) -> bytes:
    """The state as GRUB's script reads it; other variables that were there are kept."""
    values = dict(kept) | {"ORDER": " ".join(state.order), "LAST_GOOD": state.last_good}
    for name in SLOTS:
        slot = state.slots[name]
        values[f"{name}_OK"] = str(int(slot.starts))
        values[f"{name}_TRY"] = str(TRIES - slot.tries_left if slot.starts else 0)
        values[f"{name}_GOOD"] = str(int(slot.good))
    return pack(values)


def decode(values: Mapping[str, str]) -> BootState:
    """The state in a block's values.

    Raises:
        Unreadable: it makes no sense.
    """
    first, _, second = values.get("ORDER", "").partition(" ")
    try:
        slots = {name: _slot(values, name) for name in SLOTS}
        last_good = values.get("LAST_GOOD") or next(n for n in (first, second, *SLOTS) if n in SLOTS)
        return BootState((first, second or other(first)), slots, last_good)
    except ValueError as error:
        raise Unreadable(str(error)) from None


def _slot(values: Mapping[str, str], name: str) -> Slot:
    if values.get(f"{name}_OK") != "1":
        return Slot()
    used = int(values.get(f"{name}_TRY") or 0)
    return Slot(max(0, TRIES - used), good=values.get(f"{name}_GOOD") == "1")
