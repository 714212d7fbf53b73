"""Take pictures of a running appliance's pages: python3 packaging/screenshots.py http://127.0.0.1:8080 FOLDER [PATH ...].

Each page is taken at phone and desk width, light and dark; a page that complains or scrolls sideways ends it with status 1.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.browser import Tab, browser

PAGES = (
    "/",
    "/members",
    "/time",
    "/clock?range=1h",
    "/dns?draws=1000",
    "/log?show=below",
    "/use",
    "/status",
    "/plugins",
    "/help",
)
SCREENS = (("desk", 1280, 900), ("phone", 360, 780))


async def _take(tab: Tab, url: str, folder: Path, name: str, *, whole: bool) -> list[str]:
    """All pictures of one page; returns what is wrong with it."""
    wrong = []
    for screen, width, height in SCREENS:
        for dark in (False, True):
            await tab.look(width=width, height=height, dark=dark, scale=2 if screen == "phone" else 1)
            await tab.open(url)
            sideways = await tab.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            wrong += [f"{url} scrolls {sideways} px sideways at {width} px"] if sideways > 0 else []
            wrong += [f"{url}: {complaint}" for complaint in tab.complaints]
            tab.complaints.clear()
            path = folder / f"{name}-{screen}{'-dark' if dark else ''}.png"
            await tab.picture(path, whole=whole)
            print(path)
    return wrong


async def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("base", help="address of the pages")
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("paths", nargs="*", default=PAGES, help="pages, such as / or /members/ID")
    parser.add_argument("--screen", action="store_true", help="what a screen shows, not the whole page")
    asked = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print("chromium is not installed; run: sudo apt-get install chromium", file=sys.stderr)
        return 1
    asked.folder.mkdir(parents=True, exist_ok=True)
    wrong = []
    async with browser(chromium) as window, window.tab() as tab:
        for path in asked.paths:
            name = path.strip("/").replace("/", "-").split("?")[0] or "overview"
            wrong += await _take(
                tab, asked.base.rstrip("/") + path, asked.folder, name, whole=not asked.screen
            )
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
