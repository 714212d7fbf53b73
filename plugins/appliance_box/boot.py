"""The boot partition: writable for moments only, so that a power cut finds it as it should be."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from appliance.api.agent import AgentRefusal, Runs, words

BOOT = "boot"


@contextlib.contextmanager
def writable(root: Path, program: Runs) -> Iterator[Path]:
    """The boot partition's folder, for writing; everything is on the card when this ends.

    Raises:
        AgentRefusal: there is none, or it cannot be written.
    """
    folder = root / BOOT
    real = root == Path("/")
    if real and not os.path.ismount(folder):
        raise AgentRefusal("no_boot", "this box has no boot partition of ours")
    if real and (done := program("mount", "-o", "remount,rw", str(folder))).status != 0:
        raise AgentRefusal(
            "boot_read_only",
            f"the boot partition cannot be written: {words(done.said)}",
            "check the card in a computer",
        )
    try:
        yield folder
    finally:
        if real:
            program("sync", "-f", str(folder))
            program("mount", "-o", "remount,ro", str(folder))
