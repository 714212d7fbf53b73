"""Which file it was: the SHA-256 of what is installed, held to the one that somebody expects."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from appliance.kit.installed import CannotInstall


def taken(path: Path, folder: Path, expected: str = "") -> tuple[Path, str]:
    """A copy of a file in `folder`, which nobody can exchange after it was looked at, and its SHA-256.

    Args:
        path: the file.
        folder: an empty one.
        expected: 64 hexadecimal digits in lower case, or "" for any file.

    Raises:
        CannotInstall: it is another file.
    """
    copy = folder / path.name
    shutil.copyfile(path, copy)
    with copy.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if expected and found != expected:
        raise CannotInstall(
            f"{path.name} is not the file that was asked for\n  its SHA-256:  {found}\n  asked for:    {expected}",
            "fetch it again, and the sum from its author; if they differ again, do not install it",
        )
    return copy, found


def pinned(address: str, expected: str) -> str:
    """An address of a file with its SHA-256, in the form in which pip holds the file to it before it looks inside.

    Raises:
        CannotInstall: a repository is no file.
    """
    if address.startswith("git+"):
        raise CannotInstall(
            "a repository has no SHA-256",
            "name the commit in the address (git+https://HOST/REPOSITORY@COMMIT), without --sha256",
        )
    return f"{address.partition('#')[0]}#sha256={expected}"
