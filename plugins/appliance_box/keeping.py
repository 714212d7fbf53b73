"""Reads and writes `/data/box/box.toml`, whole or not at all, for root's eyes only."""

from __future__ import annotations

import contextlib
import logging
import os
import tomllib
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import ValidationError

from appliance_box.settings import DEFAULT, BoxSettings

log = logging.getLogger("timeball.box")

HOME = "data/box"
FILE = f"{HOME}/box.toml"
_HEAD = "Settings of the box. Change them on its pages, or with: timeball box set"


def load(root: Path) -> tuple[BoxSettings, str]:
    """The settings below `root`, and what is wrong with the file, or "". What cannot be used counts as not set."""
    file = root / FILE
    try:
        value = tomllib.loads(file.read_text(encoding="utf-8"))
        return BoxSettings.model_validate(value), ""
    except FileNotFoundError:
        return DEFAULT, ""
    except ValidationError as invalid:
        return DEFAULT, f"{file}: {problems_of(invalid)}"
    except (OSError, ValueError) as error:
        return DEFAULT, f"{file} cannot be read: {error}"


def problems_of(invalid: ValidationError) -> str:
    """What a model says, without any value."""
    return "; ".join(
        f"{'.'.join(str(part) for part in e['loc'] if part != 'function-after') or 'the file'}: {said(e['msg'])}"
        for e in invalid.errors(include_url=False, include_input=False, include_context=False)
    )


def said(message: str) -> str:
    """A model's message as we would say it."""
    return message.removeprefix("Value error, ")


def save(root: Path, settings: BoxSettings) -> None:
    """Keep `settings`: on the disk when this returns.

    Raises:
        OSError: they cannot be kept; what was there before still is.
    """
    document = tomlkit.document()
    document.add(tomlkit.comment(_HEAD))
    for key, value in _plain(settings).items():
        document.add(key, tomlkit.item(value))
    write_durably(root / FILE, tomlkit.dumps(document).encode(), 0o600)


def _plain(settings: BoxSettings) -> dict[str, Any]:
    """What is set, scalars first, as TOML wants it."""
    found = settings.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    return dict(sorted(found.items(), key=lambda pair: isinstance(pair[1], (dict, list))))


def write_durably(file: Path, content: bytes, mode: int) -> None:
    """Write a file beside its place, and put it there by a rename; all of it is on the disk before this returns.

    Raises:
        OSError: the old file still is there.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = file.with_name(f".{file.name}.new")
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
        with os.fdopen(handle, "wb") as out:
            with contextlib.suppress(OSError):
                os.fchmod(handle, mode)  # FAT knows no modes
            out.write(content)
            out.flush()
            os.fsync(handle)
        fresh.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
    sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    """Names in `folder` are on the disk."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
