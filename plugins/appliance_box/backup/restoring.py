"""Take a backup in: everything is checked and put beside the old state first; the next start exchanges the two (`Exchange`)."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import sqlite3
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from appliance.core.swapping import Exchange
from appliance_box.backup import BOX, CONFIG, DATABASE, STATE, BadArchive, Progress, quiet
from appliance_box.backup.gathering import check_room
from appliance_box.backup.manifest import Manifest, fits

_MOST_CONFIG_BYTES: Final = 4 << 20
_INSTALLED: Final = f"{STATE}/plugins.d/"


@dataclass(slots=True)
class Prepared:
    """A backup that waits for the next start.

    Attributes:
        manifest: what it says of itself.
        notes: what will not be as it was, and what to do about it.
        config: files of the configuration by name ("config.toml", "conf.d/x.toml").
        box: settings of the box, or None.
    """

    manifest: Manifest
    notes: list[str] = field(default_factory=list)
    config: dict[str, bytes] = field(default_factory=dict)
    box: dict[str, Any] | None = None


def verify(file: Path, version: str, *, passphrase: str = "", progress: Progress = quiet) -> Manifest:
    """Read all of it, and write nothing.

    Raises:
        BadArchive: it cannot be restored here, with the reason.
    """
    from appliance_box.backup import archive

    with archive.opened(file, passphrase) as (manifest, tar):
        fits(manifest, version)
        archive.read_all(tar, manifest, archive.drain, progress)
    return manifest


def summary(file: Path, *, passphrase: str = "") -> Manifest:
    """What it says of itself; only the manifest is read.

    Raises:
        BadArchive: it is none of ours.
    """
    from appliance_box.backup import archive

    with archive.opened(file, passphrase) as (manifest, _):
        return manifest


def prepare(
    file: Path,
    state_dir: Path,
    version: str,
    *,
    passphrase: str = "",
    progress: Progress = quiet,
    with_plugins: bool = True,
) -> Prepared:
    """Check the backup while it is put beside the state; nothing of the state is touched.

    Raises:
        BadArchive: it cannot be restored here. OSError: it cannot be written.
    """
    from appliance_box.backup import archive

    state_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
    exchange = Exchange(state_dir)
    with archive.opened(file, passphrase) as (manifest, tar):
        fits(manifest, version)
        check_room(state_dir, manifest.bytes, "the restored state")
        prepared = Prepared(manifest)
        plugins = with_plugins and _plugins_run_here(manifest, prepared.notes)
        new = exchange.clear()
        try:
            out = archive.write_out(new, lambda name: _place(name, plugins=plugins))

            def take(name: str, entry: Any, content: Any) -> None:
                if name.startswith(f"{STATE}/"):
                    out(name, entry, content)
                elif entry.size > _MOST_CONFIG_BYTES:
                    raise BadArchive("damaged", f"{name} is too large to be what it says")
                else:
                    _keep(prepared, name, b"".join(iter(content.read, b"")))

            archive.read_all(tar, manifest, take, progress)
            _link(new, manifest, plugins=plugins)
            _examine(new / DATABASE)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
    return prepared


def arrange(state_dir: Path, manifest: Manifest) -> None:
    """Let the next start take what was prepared. As root, the new state belongs to whom the old one did."""
    exchange = Exchange(state_dir)
    if os.geteuid() == 0:
        owner = state_dir.stat()
        for path in [exchange.home, *exchange.home.rglob("*")]:
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
    exchange.arrange(f"the backup of {manifest.host or 'a box'}")
    if os.geteuid() == 0:
        for path in (exchange.home, *exchange.home.glob("*.json")):
            os.chown(path, owner.st_uid, owner.st_gid)


def write_config(config_file: Path, files: dict[str, bytes]) -> list[str]:
    """Put the configuration in its place, with the old one beside it; what was written.

    Raises:
        OSError: it cannot be written.
    """
    written = []
    for name, content in files.items():
        path = config_file if name == "config.toml" else config_file.parent / name
        if path.exists() and path.read_bytes() == content:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            shutil.copy2(path, path.with_name(f"{path.name}.before-restore"))
        fresh = path.with_name(f".{path.name}.new")
        with fresh.open("wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        with contextlib.suppress(OSError):
            old = path.stat()
            fresh.chmod(old.st_mode & 0o777)
            os.chown(fresh, old.st_uid, old.st_gid)
        fresh.replace(path)
        written.append(str(path))
    return written


def _place(name: str, *, plugins: bool) -> str | None:
    if name.startswith(_INSTALLED) and not plugins:
        return None
    return name.removeprefix(f"{STATE}/")


def _keep(prepared: Prepared, name: str, content: bytes) -> None:
    if name.startswith(f"{CONFIG}/"):
        inner = name.removeprefix(f"{CONFIG}/")
        if inner != "config.toml" and not (
            inner.startswith("conf.d/") and inner.endswith(".toml") and inner.count("/") == 1
        ):
            raise BadArchive("damaged", f"{name} is no file of a configuration")
        prepared.config[inner] = content
    elif name == f"{BOX}/box.json":
        try:
            value = json.loads(content)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise BadArchive("damaged", "the settings of the box cannot be read")
        prepared.box = value


def _plugins_run_here(manifest: Manifest, notes: list[str]) -> bool:
    """Whether installed plugins can be taken along; if not, a note says which to install anew."""
    here = (platform.machine(), f"{sys.version_info.major}.{sys.version_info.minor}")
    if not manifest.compiled or (manifest.machine, manifest.python) == here:
        return True
    names = ", ".join(f"{p.name} {p.version}".strip() for p in manifest.plugins) or "installed plugins"
    notes.append(
        f"{names}: compiled for {manifest.machine} and Python {manifest.python}, and this box is {here[0]} with {here[1]}; install them "
        "again: timeball plugin install NAME"
    )
    return False


def _link(new: Path, manifest: Manifest, *, plugins: bool) -> None:
    for name, target in manifest.links.items():
        if name.startswith(_INSTALLED) and not plugins:
            continue
        path = new / name.removeprefix(f"{STATE}/")
        if (path.parent / target).exists() and not os.path.lexists(path):
            path.symlink_to(target)


def _examine(database: Path) -> None:
    try:
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro&immutable=1", uri=True)) as db:
            said = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        said = str(error)
    if said != "ok":
        raise BadArchive("damaged", f"the database in the backup is damaged: {said}", "take another backup")
