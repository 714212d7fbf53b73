#!/usr/bin/env python3
"""Fetches pinned packages with npm: checked by version and hash against a folder's package-lock.json, and nothing of them runs.

What pages take (`packaging/web`) and the judges of pages (`packaging/axe`, `packaging/lighthouse`) come this way, into a folder
that is neither committed nor shipped.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT = Path(__file__).resolve().parent.parent
PINNED = ROOT / "packaging"
WORK = ROOT / ".cache"
PINS: Final = ("package.json", "package-lock.json")
#: How long a slow network may take.
PATIENCE_S: Final = 120
#: Nothing of a package runs, and nobody is told what we install.
_QUIETLY: Final = (
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--no-update-notifier",
    "--loglevel=error",
)


class NotFetched(Exception):
    """They are not there, and the message says why in one line."""


def fetch(name: str) -> Path:
    """The folder of modules that `packaging/NAME` pins; fetched when they are not there as pinned.

    Raises:
        NotFetched: npm is missing, or could not fetch them.
    """
    work = WORK / name
    modules, stamp, wanted = work / "node_modules", work / "pinned", pinned(name)
    if modules.is_dir() and stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return modules
    npm = shutil.which("npm")
    if npm is None:
        raise NotFetched("npm is not installed")
    work.mkdir(parents=True, exist_ok=True)
    for pin in PINS:
        shutil.copyfile(PINNED / name / pin, work / pin)
    try:
        done = subprocess.run(
            [npm, "ci", *_QUIETLY],
            cwd=work,
            check=False,
            timeout=PATIENCE_S,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise NotFetched(f"npm took longer than {PATIENCE_S} s") from None
    if done.returncode != 0:
        said = next((line for line in done.stderr.splitlines() if "error" in line.lower()), "it said nothing")
        raise NotFetched(f"npm failed: {said}")
    stamp.write_text(wanted, encoding="utf-8")
    return modules


def pinned(name: str) -> str:
    """What `packaging/NAME` pins."""
    return "".join((PINNED / name / pin).read_text(encoding="utf-8") for pin in PINS)


if __name__ == "__main__":
    try:
        for folder in sys.argv[1:]:
            print(fetch(folder))
    except NotFetched as error:
        sys.exit(str(error))
