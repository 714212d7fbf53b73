"""What is built, for what: the version and the moment of the commit, the architectures, the tree's own files."""

from __future__ import annotations

import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
CACHE = ROOT / ".cache"
#: Debian 13's: wheels with compiled code fit one minor version only.
PYTHON = (3, 13)


@dataclass(frozen=True, slots=True)
class Architecture:
    """A machine that we make a package for.

    Attributes:
        name: as Debian says it.
        machine: as the kernel and wheels say it.
        rust: the target's name for cargo.
        linker: what links for it, "" for the compiler's own choice.
        wheels: platform tags that Debian 13 can run (its C library is 2.41), best first.
    """

    name: str
    machine: str
    rust: str
    linker: str

    @property
    def wheels(self) -> tuple[str, ...]:
        return tuple(
            f"{manylinux}_{self.machine}"
            for manylinux in ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014")
        )


ARCHITECTURES = {
    one.name: one
    for one in (
        Architecture("amd64", "x86_64", "x86_64-unknown-linux-gnu", "x86_64-linux-gnu-gcc"),
        Architecture("arm64", "aarch64", "aarch64-unknown-linux-gnu", "aarch64-linux-gnu-gcc"),
    )
}


@dataclass(frozen=True, slots=True)
class Release:
    """What the package is called.

    Attributes:
        version: of the package. Between releases "0.1.0~git20261126.210503.5f07e48": older than 0.1.0, newer than all before.
        epoch_s: the commit's time, which every file in the package gets (SOURCE_DATE_EPOCH).
        commit: whole, with "+changed" where files differ from it.
    """

    version: str
    epoch_s: int
    commit: str


def release() -> Release:
    """Read it from the tree.

    Raises:
        SystemExit: this is no git tree.
    """
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    commit, epoch, moment = _git(
        "log", "-1", "--format=%H %ct %cd", "--date=format-local:%Y%m%d.%H%M%S"
    ).split()
    changed = _git("status", "--porcelain", "--untracked-files=no") != ""
    tagged = f"v{stated}" in _git("tag", "--points-at", "HEAD").split()
    version = stated if tagged and not changed else f"{stated}~git{moment}.{commit[:7]}"
    return Release(
        version + ("+changed" if changed else ""), int(epoch), commit + ("+changed" if changed else "")
    )


def tracked(*folders: str) -> list[Path]:
    """Files of the tree that are committed or about to be, relative to it."""
    listed = _git("ls-files", "-z", "--", *folders)
    return sorted(Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file())


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, env=_QUIET, check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise SystemExit(
            f"the package takes its version and its files from git, which says: {done.stderr.strip()}"
        )
    return done.stdout.strip()


_QUIET = {"PATH": "/usr/local/bin:/usr/bin:/bin", "TZ": "UTC", "LC_ALL": "C", "HOME": str(Path.home())}
