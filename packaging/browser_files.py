#!/usr/bin/env python3
"""Fetches what the pages take from others: with npm, checked against packaging/web/package-lock.json. Without npm every page works too."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import npm

ROOT = Path(__file__).resolve().parent.parent
VENDOR = ROOT / "plugins" / "appliance_web" / "static" / "vendor"
#: What is taken of each package, and what it is called here.
TAKEN = {
    "uplot/dist/uPlot.iife.min.js": "uplot.js",
    "uplot/dist/uPlot.min.css": "uplot.css",
    "uplot/LICENSE": "uplot-LICENSE.txt",
}


def fetch(*, insist: bool = False) -> str:
    """Fetch if it is not there as pinned; a sentence that says what happened.

    Raises:
        SystemExit: `insist`, and it cannot be fetched.
    """
    wanted = _digest()
    stamp = VENDOR / "pinned"
    if stamp.exists() and stamp.read_text() == wanted and all((VENDOR / n).exists() for n in TAKEN.values()):
        return "the chart library is there"
    try:
        modules = npm.fetch("web")
    except npm.NotFetched as error:
        if insist:
            raise SystemExit(f"{error}; charts are drawn on the server then, and cannot be zoomed") from None
        return f"charts cannot be zoomed: {error}"
    VENDOR.mkdir(parents=True, exist_ok=True)
    for source, name in TAKEN.items():
        # A running appliance reads them once at its start; a half-written file it must not find.
        fresh = VENDOR / f"{name}.new"
        shutil.copyfile(modules / source, fresh)
        fresh.replace(VENDOR / name)
    stamp.write_text(wanted)
    return "the chart library is fetched"


def _digest() -> str:
    """What should be there: the pinned files, and what we take of them."""
    return hashlib.sha256((npm.pinned("web") + repr(TAKEN)).encode()).hexdigest()


if __name__ == "__main__":
    print(fetch(insist=True))
