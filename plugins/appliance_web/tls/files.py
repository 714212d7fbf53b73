"""The folder of keys and certificates: written whole or not at all, for our eyes only, and later when the disk is full."""

from __future__ import annotations

import logging
import os
import secrets
from pathlib import Path

log = logging.getLogger("timeball.web.tls")


class Files:
    """A folder.

    Attributes:
        unwritten: what the disk did not take yet, by name.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unwritten: dict[str, bytes] = {}

    def read(self, name: str) -> bytes | None:
        """What is kept under that name, on the disk or not yet; None when there is nothing."""
        if name in self.unwritten:
            return self.unwritten[name]
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("%s cannot be read (%s)", self.folder / name, error.strerror)
            return None

    def keep(self, name: str, content: bytes) -> None:
        """Write it now, or later when the disk does not take it."""
        try:
            self.write(name, content)
        except OSError as error:
            if name not in self.unwritten:
                log.warning(
                    "%s cannot be written (%s); it is tried again", self.folder / name, error.strerror
                )
            self.unwritten[name] = content
        else:
            self.unwritten.pop(name, None)

    def keep_the_rest(self) -> None:
        """Try again what could not be written."""
        for name, content in list(self.unwritten.items()):
            self.keep(name, content)

    def write(self, name: str, content: bytes) -> None:
        """All of it or nothing.

        Raises:
            OSError: nothing has changed.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch = self.folder / f".{name}.{secrets.token_hex(4)}"
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - of a descriptor that was made with its mode
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(self.folder / name)
        except OSError:
            scratch.unlink(missing_ok=True)
            raise
