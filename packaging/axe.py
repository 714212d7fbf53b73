#!/usr/bin/env python3
"""Fetches axe-core, the judge of the pages' accessibility: with npm, checked against packaging/axe/package-lock.json.

Its licence is MPL-2.0. It stays in a folder that is neither committed nor shipped, and no page ever loads it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINNED = ROOT / "packaging" / "axe"
WORK = ROOT / ".cache" / "axe"
SCRIPT = WORK / "node_modules" / "axe-core" / "axe.min.js"
_PINS = ("package.json", "package-lock.json")
#: How long a slow network may take.
PATIENCE_S = 120
#: Nothing of a package runs, and nobody is told what we install.
_QUIETLY = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")


class NotFetched(Exception):
    """It is not there, and the message says why."""


def fetch() -> Path:
    """The script, fetched when it is not there as pinned.

    Raises:
        NotFetched: npm is missing, or could not fetch it.
    """
    wanted = "".join((PINNED / name).read_text(encoding="utf-8") for name in _PINS)
    stamp = WORK / "pinned"
    if SCRIPT.is_file() and stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return SCRIPT
    npm = shutil.which("npm")
    if npm is None:
        raise NotFetched("axe-core is fetched with npm, which is not installed; run: sudo make peers")
    WORK.mkdir(parents=True, exist_ok=True)
    for name in _PINS:
        shutil.copyfile(PINNED / name, WORK / name)
    try:
        done = subprocess.run(
            [npm, "ci", *_QUIETLY],
            cwd=WORK,
            check=False,
            timeout=PATIENCE_S,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise NotFetched(f"npm took longer than {PATIENCE_S} s to fetch axe-core") from None
    if done.returncode != 0 or not SCRIPT.is_file():
        said = next((line for line in done.stderr.splitlines() if "error" in line.lower()), "it said nothing")
        raise NotFetched(f"npm could not fetch axe-core: {said}")
    stamp.write_text(wanted, encoding="utf-8")
    return SCRIPT


if __name__ == "__main__":
    try:
        print(fetch())
    except NotFetched as error:
        sys.exit(str(error))
