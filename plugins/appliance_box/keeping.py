"""Reads and writes `/data/box/box.toml`, whole or not at all, for root's eyes only."""

from __future__ import annotations

import logging
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from appliance.core import durable
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
    import tomlkit

    document = tomlkit.document()
    document.add(tomlkit.comment(_HEAD))
    for key, value in _plain(settings).items():
        document.add(key, tomlkit.item(value))
    durable.put(root / FILE, tomlkit.dumps(document).encode(), 0o600)


def _plain(settings: BoxSettings) -> dict[str, Any]:
    """What is set, scalars first, as TOML wants it."""
    found = settings.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    return dict(sorted(found.items(), key=lambda pair: isinstance(pair[1], (dict, list))))
