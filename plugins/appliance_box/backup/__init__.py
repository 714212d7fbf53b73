"""Backup and restore: one archive that holds everything that makes this box this box.

    manifest.json               what is in it: format, version, where it comes from, and of every file its size and SHA-256
    state/timeball.db           the database, as of one moment
    state/...                   keys, certificates, overrides.toml, installed plugins: the state folder
    config/config.toml, ...     the configuration
    box/box.toml                settings of the box, on an image

It is a tar in gzip, the manifest first, so that it can be checked while it is read. With a passphrase it is sealed as a whole (`sealing`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

#: done, total (bytes), and what is being done. May be called from any thread.
Progress = Callable[[int, int, str], None]

#: Raised when an older version could not understand an archive of ours any more.
FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
STATE, CONFIG, BOX = "state", "config", "box"
DATABASE: Final = "timeball.db"


class BadArchive(Exception):
    """It cannot be used; nothing was changed.

    Attributes:
        code: stable word for programs: "not_ours", "damaged", "passphrase", "newer", "no_room", "unreadable".
        remedy: what a person can do.
    """

    def __init__(self, code: str, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.remedy = remedy


def quiet(done: int, total: int, doing: str) -> None:
    """A `Progress` that nobody looks at."""
