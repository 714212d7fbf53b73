"""From a folder to a .deb whose bytes depend on nothing but its content."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
from pathlib import Path

_PROGRAMS = {"usr/bin", "usr/libexec/timeball", "DEBIAN"}
_SCRIPTS = {"preinst", "postinst", "prerm", "postrm"}


def put(stage: Path, name: str, content: str | bytes, *, mode: int = 0o644) -> None:
    """Write one file of the package; `name` is where it will lie, without the leading slash."""
    path = stage / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)


def put_gz(stage: Path, name: str, content: str) -> None:
    """The same, compressed: no time and no name in its head, so that the same text gives the same bytes."""
    put(stage, f"{name}.gz", gzip.compress(content.encode(), compresslevel=9, mtime=0))


def seal(stage: Path, epoch_s: int) -> None:
    """Give everything below `stage` the same time, and the modes of files that anybody may read."""
    for folder, folders, files in os.walk(stage, topdown=False):
        for name in (*files, *folders):
            path = Path(folder, name)
            if not path.is_symlink():
                relative = path.relative_to(stage)
                runs = str(relative.parent) in _PROGRAMS and (
                    relative.parts[0] != "DEBIAN" or name in _SCRIPTS
                )
                path.chmod(0o755 if path.is_dir() or runs else 0o644)
            os.utime(path, (epoch_s, epoch_s), follow_symlinks=False)
    stage.chmod(0o755)
    os.utime(stage, (epoch_s, epoch_s))


def sums(stage: Path) -> str:
    """`md5sums` as dpkg reads it: `dpkg --verify` tells with it which files were changed since."""
    files = sorted(p for p in stage.rglob("*") if p.is_file() and not p.is_symlink())
    return "".join(
        f"{hashlib.md5(p.read_bytes(), usedforsecurity=False).hexdigest()}  {p.relative_to(stage)}\n"
        for p in files
        if p.relative_to(stage).parts[0] not in ("DEBIAN", "etc")
    )


def installed_kib(stage: Path) -> int:
    """What Installed-Size says: files rounded up to a KiB each, one KiB for all else (Policy 5.6.20)."""
    inside = [p for p in stage.rglob("*") if p.relative_to(stage).parts[0] != "DEBIAN"]
    return sum(-(-p.stat().st_size // 1024) if p.is_file() and not p.is_symlink() else 1 for p in inside)


def pack(stage: Path, deb: Path, epoch_s: int) -> str:
    """Make the .deb, whole or not at all: the one of that name stays until the new one is finished; its SHA-256.

    Raises:
        SystemExit: dpkg-deb says why not.
    """
    deb.parent.mkdir(parents=True, exist_ok=True)
    fresh = deb.with_name(f".{deb.name}.new")
    # One thread: what xz makes depends on their number.
    command = ["dpkg-deb", "--root-owner-group", "-Zxz", "--threads-max=1", "--build", str(stage), str(fresh)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(epoch_s)}
    try:
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        raise SystemExit(
            "a .deb is made by dpkg-deb, which is not here: this needs a Debian system"
        ) from None
    if done.returncode != 0:
        fresh.unlink(missing_ok=True)
        raise SystemExit(f"dpkg-deb failed: {done.stderr.strip()}")
    fresh.replace(deb)
    return hashlib.sha256(deb.read_bytes()).hexdigest()
