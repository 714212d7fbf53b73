"""What every page may cost. Sizes, requests and calm are asserted; times are printed, since they depend on the machine.

`pytest -s` shows the table; with TIMEBALL_PAGES_TABLE=FILE it is written there too.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.plugins.web.whole_box import Box, whole
from tests.support.browser import browser
from tests.support.page_weight import HEADING, Weight, line, weigh
from tests.support.programs import need

#: Bytes as they travel, compressed, headers included; of scripts the content alone.
PAGE, PAGE_WITH_CHART, PUBLIC_STATUS, WARM = 60_000, 110_000, 40_000, 15_000
OWN_SCRIPT, ALL_SCRIPT = 6_000, 40_000
REQUESTS, ELEMENTS, SHIFT = 10, 1_500, 0.01
#: The document of all operations is one long page on purpose: it is searched in the browser. Its elements are not counted.
LONG = ("/api", "/help/operations-list")


def too_much(path: str, cold: Weight, warm: Weight, desk: Weight) -> list[str]:
    """What is over its budget, in words."""
    most = PAGE_WITH_CHART if cold.chart else PUBLIC_STATUS if path == "/status" else PAGE
    checks = (
        ("bytes cold", cold.bytes, most),
        ("requests", cold.requests, REQUESTS),
        ("requests elsewhere", len(cold.away), 0),
        ("bytes of own script", cold.script_bytes, OWN_SCRIPT),
        ("bytes of script", cold.script_bytes + cold.library_bytes, ALL_SCRIPT),
        ("elements", 0 if path in LONG else cold.elements, ELEMENTS),
        ("movement on a phone", cold.shift, SHIFT),
        ("movement on a desk", desk.shift, SHIFT),
        ("bytes warm", 0 if cold.chart or path in LONG else warm.bytes, WARM),
    )
    return [f"{path}: {what} {value:g}, at most {most_:g}" for what, value, most_ in checks if value > most_]


async def table_of(box: Box, *, slower: float = 4.0) -> tuple[list[str], list[str]]:
    """The table, and what is over its budget."""
    lines, over = [HEADING], []
    async with browser(need("chromium")) as chromium, chromium.tab() as tab:
        await box.enter(tab)
        for path in box.pages:
            await tab.look(width=360, height=780)
            cold = await weigh(tab, box.base + path, slower=slower)
            warm = await weigh(tab, box.base + path, cold=False)
            await tab.look(width=1280, height=900)
            desk = await weigh(tab, box.base + path, cold=False)
            lines.append(line(path, cold, warm, desk))
            over += too_much(path, cold, warm, desk)
    return lines, over


def show(text: str) -> None:
    """Print the figures, and write them to TIMEBALL_PAGES_TABLE."""
    print(text)  # noqa: T201 - the figures are what this is for
    if to := os.environ.get("TIMEBALL_PAGES_TABLE"):
        Path(to).write_text(text + "\n", encoding="utf-8")


@pytest.mark.slow
async def test_every_page_with_500_servers_keeps_to_its_budget(tmp_path):
    async with whole(tmp_path, "many") as box:
        lines, over = await table_of(box)
    text = "\n".join(lines)
    show(text)
    assert over == [], "\n".join(over)


async def test_the_public_status_is_small_and_has_no_script(tmp_path):
    """For everybody: what a stranger sees, with 500 servers."""
    async with (
        whole(tmp_path, "many", history=False) as box,
        browser(need("chromium")) as chromium,
        chromium.tab() as tab,
    ):
        await tab.look(width=360, height=780)
        weight = await weigh(tab, box.base + "/status")
        assert weight.bytes <= PUBLIC_STATUS
        assert weight.script_bytes + weight.library_bytes == 0
        assert await tab.evaluate("document.scripts.length") == 0
        assert weight.requests <= REQUESTS
        assert weight.away == ()
