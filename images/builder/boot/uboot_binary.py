"""The environment that is built into a U-Boot binary: what it does when uboot.env cannot be read.

Debian's build waits two seconds for a key and then looks everywhere for something to start. On a Pi with a GPS receiver on its
serial port that "key" comes every second, and the Pi would stand at U-Boot's prompt for ever.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from images.builder.errors import BuildError

#: It is always there, and nothing else of the binary looks like it.
_KNOWN = re.compile(rb"\0bootdelay=-?\d\0")


def built_in(binary: bytes) -> dict[str, str]:
    """The built-in variables.

    Raises:
        BuildError: the binary has none that could be told apart from the rest.
    """
    start, end = _place(binary)
    entries = (entry.decode("ascii").partition("=") for entry in binary[start:end].split(b"\0") if entry)
    return {name: value for name, _, value in entries}


def with_built_in(binary: bytes, changes: Mapping[str, str]) -> bytes:
    """The binary with some variables changed, and those left out whose value is ""; its length stays.

    Raises:
        BuildError: there is no room.
    """
    start, end = _place(binary)
    values = {name: value for name, value in (built_in(binary) | dict(changes)).items() if value}
    block = b"".join(f"{name}={value}\0".encode("ascii") for name, value in values.items())
    if len(block) > end - start:
        raise BuildError(
            f"U-Boot's built-in environment has room for {end - start} bytes, not for {len(block)}"
        )
    return binary[:start] + block.ljust(end - start, b"\0") + binary[end:]


def _place(binary: bytes) -> tuple[int, int]:
    """First byte of the block, and the one after its last variable's zero."""
    found = [match.start() for match in _KNOWN.finditer(binary)]
    if len(found) != 1:
        raise BuildError(
            "this U-Boot has no built-in environment of the kind that is expected; see images/builder/boot/uboot_binary.py"
        )
    here = found[0]
    start = here
    # Backwards over whole variables: printable text with an equals sign between zero bytes.
    while (before := binary.rfind(b"\0", 0, start)) >= 0 and _is_variable(binary[before + 1 : start]):
        start = before
    end = binary.index(b"\0\0", here)
    return start + 1, end + 1


def _is_variable(text: bytes) -> bool:
    name, equals, _ = text.partition(b"=")
    return bool(equals) and name.decode("latin-1").isidentifier() and text.isascii()
