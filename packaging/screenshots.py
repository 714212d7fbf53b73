"""Take pictures of the pages: `make screenshots` takes every page of a small pool, of one without servers and of one with 500.

    make screenshots ARGS="FOLDER --state demo"
    make screenshots ARGS="FOLDER --base http://127.0.0.1:8080 / /members"     those of an appliance that runs already

Each page is taken at phone and desk width, light and dark; a page that complains or scrolls sideways ends it with status 1.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import get_args

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.plugins.web.whole_box import BREAKS, State, whole  # noqa: E402 - see above
from tests.support.browser import Tab, browser  # noqa: E402 - see above

SCREENS = (("desk", 1280, 900), ("phone", 360, 780))


async def _take(tab: Tab, url: str, folder: Path, name: str, *, full: bool) -> list[str]:
    """All pictures of one page; returns what is wrong with it."""
    wrong = []
    for screen, width, height in SCREENS:
        for dark in (False, True):
            await tab.look(width=width, height=height, dark=dark, scale=1)
            await tab.open(url)
            await tab.settled()
            sideways = await tab.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            wrong += [f"{url} scrolls {sideways} px sideways at {width} px"] if sideways > 0 else []
            on_purpose = ("status of 4", "status of 500") if url.endswith(BREAKS) else ("status of 4",)
            wrong += [f"{url}: {c}" for c in tab.complaints if not any(status in c for status in on_purpose)]
            tab.complaints.clear()
            await tab.picture(folder / f"{name}-{screen}{'-dark' if dark else ''}.png", whole=full)
    return wrong


def _name(path: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", path).strip("-") or "overview"


async def _of_states(tab: Tab, states: list[State], folder: Path, *, full: bool) -> list[str]:
    """Every page of a box in each of these states, each state in a folder of its own."""
    wrong = []
    for state in states:
        into = folder / state
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as kept:
            async with whole(Path(kept), state) as box:
                await box.enter(tab)
                for path in box.pages:
                    wrong += await _take(tab, box.base + path, into, _name(path), full=full)
                await tab.ask("Network.clearBrowserCookies")
        print(into)
    return wrong


async def _main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", type=Path, nargs="?", default=ROOT / "build" / "screenshots", help="where they go"
    )
    parser.add_argument("paths", nargs="*", default=["/"], help="pages, with --base")
    parser.add_argument("--base", help="address of the pages of an appliance that runs already")
    parser.add_argument("--state", action="append", choices=get_args(State), help="these alone")
    parser.add_argument("--screen", action="store_true", help="what a screen shows, not the whole page")
    asked = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print("chromium is not installed; run: sudo apt-get install chromium", file=sys.stderr)
        return 1
    logging.disable(logging.WARNING)
    asked.folder.mkdir(parents=True, exist_ok=True)
    wrong = []
    async with browser(chromium) as window, window.tab() as tab:
        if asked.base:
            for path in asked.paths:
                wrong += await _take(
                    tab, asked.base.rstrip("/") + path, asked.folder, _name(path), full=not asked.screen
                )
        else:
            states = asked.state or list(get_args(State))
            wrong += await _of_states(tab, states, asked.folder, full=not asked.screen)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
