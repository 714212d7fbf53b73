#!/usr/bin/env python3
"""Fetches what the pages take from others: with npm, checked against packaging/web/package-lock.json. Without npm every page works too."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINNED = ROOT / "packaging" / "web"
VENDOR = ROOT / "plugins" / "appliance_web" / "static" / "vendor"
WORK = ROOT / ".cache" / "web"
#: What is taken of each package, and what it is called here.
TAKEN = {
    "uplot/dist/uPlot.iife.min.js": "uplot.js",
    "uplot/dist/uPlot.min.css": "uplot.css",
    "uplot/LICENSE": "uplot-LICENSE.txt",
}
#: How long a slow network may take before we go on without it.
PATIENCE_S = 120
#: Nothing of a package runs, and nobody is told what we install.
_QUIETLY = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")


def fetch(*, insist: bool = False) -> str:
    """Fetch if it is not there as pinned; a sentence that says what happened.

    Raises:
        SystemExit: `insist`, and it cannot be fetched.
    """
    wanted = _digest()
    stamp = VENDOR / "pinned"
    if stamp.exists() and stamp.read_text() == wanted and all((VENDOR / n).exists() for n in TAKEN.values()):
        return "the chart library is there"
    npm = shutil.which("npm")
    if npm is None:
        return _without("npm is not installed", insist=insist)
    WORK.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
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
        return _without(f"npm took longer than {PATIENCE_S} s", insist=insist)
    if done.returncode != 0:
        if insist:
            print(done.stderr, file=sys.stderr)
        said = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        return _without(f"npm failed: {said[0] if said else 'see `make web`'}", insist=insist)
    VENDOR.mkdir(parents=True, exist_ok=True)
    for source, name in TAKEN.items():
        # A running appliance reads them once at its start; a half-written file it must not find.
        fresh = VENDOR / f"{name}.new"
        shutil.copyfile(WORK / "node_modules" / source, fresh)
        fresh.replace(VENDOR / name)
    stamp.write_text(wanted)
    return "the chart library is fetched"


def _digest() -> str:
    """What should be there: the pinned files, and what we take of them."""
    content = b"".join((PINNED / name).read_bytes() for name in ("package.json", "package-lock.json"))
    return hashlib.sha256(content + repr(TAKEN).encode()).hexdigest()


def _without(why: str, *, insist: bool) -> str:
    if insist:
        raise SystemExit(f"{why}; charts are drawn on the server then, and cannot be zoomed")
    return f"charts cannot be zoomed: {why}"


if __name__ == "__main__":
    print(fetch(insist=True))
