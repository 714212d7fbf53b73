"""U-Boot's environment in a file: CRC-32 of what follows, then NAME=VALUE texts that each end with a zero byte, then another zero.

A write that was cut in half has a wrong CRC; U-Boot then takes its built-in environment, in which ours is missing, and its
script starts the slot that `last_good.env` names.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from appliance.boot.grub_block import Unreadable
from appliance.boot.scheme import SLOTS, TRIES, BootState, Slot, other

#: Of Debian's builds for the Raspberry Pi (CONFIG_ENV_SIZE).
SIZE = 0x4000
#: What U-Boot needs besides the state: a file replaces its built-in environment altogether. No key is waited for: a GPS receiver
#: on the serial port would be taken for a person. All else is set by images/boot/boot.uboot: a command of U-Boot's takes no
#: more than sixteen words, and its script has to name what it writes.
FIXED = {
    "bootcmd": "load mmc 0:1 0x02400000 boot.scr; source 0x02400000; bootflow scan",
    "bootdelay": "-2",
}


def pack(values: Mapping[str, str], size: int = SIZE) -> bytes:
    """A whole environment file.

    Raises:
        ValueError: a name or value that cannot be kept, or too many of them.
    """
    for name, value in values.items():
        if "=" in name or "\0" in name + value or not (name + value).isascii() or not name:
            raise ValueError(f"cannot be kept: {name}={value!r}")
    body = b"".join(f"{name}={value}\0".encode() for name, value in values.items()) + b"\0"
    if len(body) > size - 4:
        raise ValueError(f"{len(body)} bytes do not fit into {size - 4}")
    body = body.ljust(size - 4, b"\0")
    return zlib.crc32(body).to_bytes(4, "little") + body


def unpack(content: bytes) -> dict[str, str]:
    """The values in a file.

    Raises:
        Unreadable: its CRC is wrong.
    """
    if len(content) < 8 or zlib.crc32(content[4:]) != int.from_bytes(content[:4], "little"):
        raise Unreadable("the CRC of U-Boot's environment is wrong")
    values = {}
    for entry in content[4:].split(b"\0\0", 1)[0].split(b"\0"):
        name, equals, value = entry.partition(b"=")
        if equals:
            values[name.decode("latin-1")] = value.decode("latin-1")
    return values


def encode(state: BootState, kept: Mapping[str, str], size: int = SIZE) -> bytes:
    """The state as U-Boot's script reads it; other variables that were there are kept."""
    values = FIXED | dict(kept) | {"BOOT_ORDER": " ".join(state.order), "LAST_GOOD": state.last_good}
    for name in SLOTS:
        slot = state.slots[name]
        values[f"BOOT_{name}_LEFT"] = str(slot.tries_left)
        values[f"BOOT_{name}_GOOD"] = str(int(slot.good))
    return pack(values, size)


def decode(values: Mapping[str, str]) -> BootState:
    """The state in an environment's values.

    Raises:
        Unreadable: it makes no sense.
    """
    first, _, second = values.get("BOOT_ORDER", "").partition(" ")
    try:
        slots = {
            name: Slot(
                min(TRIES, int(values.get(f"BOOT_{name}_LEFT") or "0", 16)),
                good=values.get(f"BOOT_{name}_GOOD") == "1",
            )
            for name in SLOTS
        }
        last_good = values.get("LAST_GOOD") or next(n for n in (first, second, *SLOTS) if n in SLOTS)
        return BootState((first, second or other(first)), slots, last_good)
    except ValueError as error:
        raise Unreadable(str(error)) from None
