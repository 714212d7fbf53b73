"""Every page that there is, in each state of the box, light and dark, at four widths: nothing to complain about.

Console and policy complaints are counted as the page is, axe-core looks from a world of its own.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugins.web.whole_box import BREAKS, State, whole
from tests.support import axe
from tests.support.browser import Tab, browser
from tests.support.programs import REPOSITORY, need

CHECKS = (REPOSITORY / "tests" / "support" / "page_checks.js").read_text(encoding="utf-8")
WIDTHS = (1280, 768, 360, 320)
#: The accessibility checker looks at these of them: it sees no widths, only what is there.
AXE_WIDTHS = (1280, 360)
#: Statuses that some pages have on purpose; the browser writes each into its console.
REFUSALS = ("404", "401", "403")


#: One line for the middle of somebody else's page: it has neither a heading nor anything to skip.
FRAGMENTS = ("/status/embed",)


def expected(complaint: str, path: str = "") -> bool:
    """The browser's own line about the status of a page that was refused, or broke, on purpose."""
    codes = (*REFUSALS, "500") if path == BREAKS else REFUSALS
    return "Failed to load resource" in complaint and any(f"status of {code}" in complaint for code in codes)


LEAKS = r"document.body.textContent.match(/<(?:bound method|function|class|Undefined)\b.{0,40}| object at 0x[0-9a-f]+/)"


async def judge(tab: Tab, base: str, path: str, *, widths: tuple[int, ...] = WIDTHS) -> list[tuple[str, str]]:
    """Everything that is wrong with one page: where, and what."""
    wrong: list[tuple[str, str]] = []
    for dark in (False, True) if len(widths) > 1 else (True,):
        await tab.look(width=widths[0], dark=dark)
        await tab.open(base + path)
        await tab.complete()
        for width in widths:
            await tab.look(width=width, dark=dark)
            if width < 500:  # what is folded away must be in order too
                await tab.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
            await tab.settled()
            where = f"{path} {width} px {'dark' if dark else 'light'}"
            # A value that no page was meant to show: a function, an object, a variable that is not there.
            leak = await tab.evaluate(LEAKS)
            wrong += [(where, f"leak: {leak[0]}")] if leak else []
            wrong += [
                (where, line)
                for line in await tab.evaluate(CHECKS)
                if not (path in FRAGMENTS and line.startswith(("heading: 0", "skip:")))
            ]
            if width in AXE_WIDTHS or len(widths) == 1:
                wrong += [(where, f"axe {line}") for line in await axe.violations(tab)]
        wrong += [(path, line) for line in tab.complaints if not expected(line, path)]
        tab.complaints.clear()
    return wrong


async def judged(folder: Path, state: State, *, widths: tuple[int, ...] = WIDTHS) -> str:
    """What is wrong with the pages of a box in that state; each complaint once, with the places where it holds."""
    found: dict[str, list[str]] = {}
    async with (
        whole(folder, state) as box,
        browser(need("chromium")) as chromium,
        chromium.tab() as tab,
    ):
        await box.enter(tab)
        for path in box.pages:
            for where, line in await judge(tab, box.base, path, widths=widths):
                found.setdefault(line, []).append(where)
    return "\n".join(f"{line}\n    {said(places)}" for line, places in found.items())


def said(places: list[str]) -> str:
    """Some of them, and how many there are."""
    return "; ".join(places[:3]) + (f"; and {len(places) - 3} more" if len(places) > 3 else "")


@pytest.mark.timeout(600)
async def test_every_page_of_a_small_pool_is_in_order_on_the_smallest_screen(tmp_path):
    """One look at each page, for everyday use: 320 px, dark, everything unfolded."""
    wrong = await judged(tmp_path, "demo", widths=(320,))
    assert not wrong, "\n" + wrong


@pytest.mark.slow
@pytest.mark.parametrize("state", ["fresh", "empty", "demo", "many", "failed", "member"])
@pytest.mark.timeout(1800)
async def test_no_page_in_no_state_has_anything_to_complain_about(tmp_path, state):
    wrong = await judged(tmp_path, state)
    assert not wrong, "\n" + wrong


#: Where the focus is, and whether one can see it: an outline, or nothing.
FOCUS = """
(() => {
  const e = document.activeElement, s = getComputedStyle(e), box = e.getBoundingClientRect();
  if (e === document.body) return null;
  return [e.matches('.skip'), s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2 && box.width > 0, `${e.tagName} ${(e.textContent || e.name).trim().slice(0, 30)}`];
})()
"""


@pytest.mark.slow
async def test_the_keyboard_shows_where_it_is_on_every_page(tmp_path):
    """The first stop leads to the content, and each of the first twenty can be seen."""
    wrong = []
    async with whole(tmp_path, "demo") as box, browser(need("chromium")) as chromium, chromium.tab() as tab:
        await box.enter(tab)
        await tab.look()
        for path in box.pages:
            if path in FRAGMENTS:
                continue
            await tab.open(box.base + path)
            for stop in range(20):
                await tab.press("Tab", 9)
                found = await tab.evaluate(FOCUS)
                if found is None:
                    break
                skips, seen, what = found
                wrong += [f"{path}: stop {stop}, {what}, cannot be seen"] if not seen else []
                wrong += [f"{path}: the first stop is {what}"] if stop == 0 and not skips else []
    assert wrong == [], "\n".join(wrong)


@pytest.mark.slow
async def test_a_form_that_is_refused_is_in_order_too(tmp_path):
    """Every form of every page, sent with nothing in it: what comes back is judged like any page."""
    found: dict[str, list[str]] = {}
    async with whole(tmp_path, "demo") as box, browser(need("chromium")) as chromium, chromium.tab() as tab:
        await box.enter(tab)
        for path in (
            "/members/add/form",
            "/members/import",
            "/account",
            "/users",
            "/setup/server",
            "/settings/web",
        ):
            await tab.look(width=360, dark=True)
            await tab.open(box.base + path)
            await tab.evaluate(
                "document.querySelectorAll('main form').forEach((f) => { f.noValidate = true; f.querySelectorAll('input:not([type=hidden]):not([type=checkbox]), textarea').forEach((i) => { i.value = ''; }); })"
            )
            await tab.evaluate("document.querySelectorAll('main details').forEach((d) => { d.open = true; })")
            await tab.click("main form button.primary")
            await tab.settled()
            for line in [*await tab.evaluate(CHECKS), *await axe.violations(tab)]:
                found.setdefault(line, []).append(path)
            for line in tab.complaints:
                if "status of 4" not in line:
                    found.setdefault(line, []).append(path)
            tab.complaints.clear()
    assert not found, "\n" + "\n".join(f"{line}\n    {said(places)}" for line, places in found.items())
