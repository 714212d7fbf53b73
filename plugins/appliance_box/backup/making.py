"""Make a backup: one file, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance_box.backup import DATABASE, Progress, gathering, quiet
from appliance_box.backup.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Source:
    """What is backed up.

    Attributes:
        state_dir: of the appliance, running or not.
        version: of the appliance.
        config_file: of --config, or None.
        box: settings of the box with their secrets, or None.
        image: its id, or "".
        now_s: epoch seconds.
    """

    state_dir: Path
    version: str
    config_file: Path | None = None
    box: Mapping[str, Any] | None = None
    image: str = ""
    now_s: float = 0.0


def make(source: Source, target: Path, *, passphrase: str = "", progress: Progress = quiet) -> Manifest:
    """Write a backup to `target`, which appears under its name when it is whole.

    Raises:
        BadArchive: it cannot be made, with the reason.
        OSError: the target cannot be written.
    """
    from appliance_box.backup import archive

    needed = gathering.room_needed(source.state_dir)
    target.parent.mkdir(parents=True, exist_ok=True)
    gathering.check_room(target.parent, 2 * needed, "the backup")
    part = target.with_name(f".{target.name}.part")
    scratch = Path(tempfile.mkdtemp(prefix=".timeball-", dir=target.parent))  # only its owner sees into it
    try:
        copy = scratch / DATABASE
        gathering.copy_database(source.state_dir, copy, progress)
        gathered = gathering.gather(source.state_dir, source.config_file, source.box, copy)
        manifest = gathering.describe(gathered, source.version, source.now_s, source.image, progress)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as out:
            archive.write(out, gathered, manifest, passphrase, progress)
            out.flush()
            os.fsync(handle)
        part.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return manifest


def name_for(host: str, now_s: float, *, sealed: bool) -> str:
    """A file name that sorts by time and says what it is."""
    stamp = datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%d-%H%M%S")
    plain = re.sub(r"[^A-Za-z0-9-]+", "-", host).strip("-")[:63] or "timeball"
    return f"timeball-{plain}-{stamp}.{'sealed' if sealed else 'tar.gz'}"
