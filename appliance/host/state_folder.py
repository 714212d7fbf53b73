"""The folder that everything is kept in: made when it is not there, and why it cannot be used."""

from __future__ import annotations

import contextlib
import os
import pwd
from pathlib import Path


def make(folder: Path) -> None:
    """See that `folder` is there and can be written.

    Raises:
        OSError: it cannot be; the message says what to do.
    """
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(_no_folder(folder, error)) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(_not_ours(folder))


def _no_folder(folder: Path, error: OSError) -> str:
    """Why there is no state folder, and what to do."""
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return f"the state folder {folder} cannot be made, because a file stands in its place: name another state_dir, or move the file"
    return (
        f"the state folder {folder} cannot be made ({error.strerror}): "
        f"make it for {_user()}, or name another one (state_dir, --state-dir)"
    )


def _not_ours(folder: Path) -> str:
    """Why nothing can be kept in a state folder that is there, and what to do."""
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        return f"the state folder {folder} lies on a disk that is read-only: mount it for writing, or name another state_dir"
    return (
        f"the state folder {folder} cannot be written by {_user()}: "
        f"give it to that user (chown -R), or name another one (state_dir, --state-dir)"
    )


def _user() -> str:
    with contextlib.suppress(KeyError):
        return f"user {pwd.getpwuid(os.geteuid()).pw_name}"
    return f"user {os.geteuid()}"
