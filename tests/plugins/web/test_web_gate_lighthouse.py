"""Every page as Lighthouse judges it on its telephone: a slow network and a processor four times slower, both simulated.

`pytest -s` shows the table; with TIMEBALL_LIGHTHOUSE_TABLE=FILE it is written there too.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.plugins.web.whole_box import Box, whole
from tests.support.browser import browser
from tests.support.programs import need, npm_modules

#: Of 100. How fast a page loads depends on the machine as well; the others do not.
LEAST = {"performance": 95, "accessibility": 100, "best-practices": 100}
#: On a telephone: when the largest thing is drawn, how long scripts keep the page from reacting, how much is moved about.
LCP_MS, BLOCKED_MS, SHIFT = 1_300, 150, 0.01
#: One page may take this long on a busy machine.
PATIENCE_S = 180
#: On a busy machine its recording may miss the beginning of a load (NO_NAVSTART), which says nothing about the page.
TRIES = 3
#: It asks no registry whether there is a newer one, and tells nobody what it saw.
QUIETLY = ("--quiet", "--no-enable-error-reporting")
HEADING = f"{'page':<44}{'fast':>6}{'access':>8}{'made':>6}{'LCP ms':>8}{'blocked':>9}{'moved':>7}"


async def judged(program: Path, port: int, box: Box, path: str, to: Path) -> dict[str, Any]:
    """Lighthouse's report of one page, as the owner sees it.

    Args:
        program: its command-line program.
        port: of the browser that it uses, which has the owner's session.
        box: the appliance.
        path: the page.
        to: a file for the report.
    """
    command = (
        need("node"), str(program), box.base + path, *QUIETLY, f"--port={port}", "--output=json", f"--output-path={to}",
        f"--only-categories={','.join(LEAST)}",
    )  # fmt: skip
    for left in reversed(range(TRIES)):
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        async with asyncio.timeout(PATIENCE_S):
            said, _ = await process.communicate()
        if process.returncode == 0:
            break
        assert left and b"NO_NAVSTART" in said, said.decode()[-2000:]
    report = json.loads(await asyncio.to_thread(to.read_text, encoding="utf-8"))
    assert isinstance(report, dict)
    shown = urlsplit(report["finalDisplayedUrl"]).path
    assert shown != "/login" or path.startswith("/login"), f"{path} was judged as a stranger sees it"
    return report


def row(path: str, report: dict[str, Any]) -> tuple[str, list[str]]:
    """A line of the table under `HEADING`, and what falls short, in words."""
    audits = report["audits"]
    scores = {name: round(100 * (about["score"] or 0)) for name, about in report["categories"].items()}
    lcp_ms, blocked_ms, shift = (
        float(audits[name]["numericValue"])
        for name in ("largest-contentful-paint", "total-blocking-time", "cumulative-layout-shift")
    )
    short = [
        f"{path}: {name} {scores[name]}, at least {least}"
        for name, least in LEAST.items()
        if scores[name] < least
    ]
    short += [
        f"{path}: {what} {value:g}, at most {most}"
        for what, value, most in (("LCP in ms", lcp_ms, LCP_MS), ("blocked ms", blocked_ms, BLOCKED_MS), ("moved", shift, SHIFT))
        if value > most
    ]  # fmt: skip
    if short:
        short += [
            f"    {ref['id']}: {audits[ref['id']].get('displayValue') or audits[ref['id']]['title']}"
            for category in report["categories"].values()
            for ref in category["auditRefs"]
            if ref["weight"] and (score := audits[ref["id"]]["score"]) is not None and score < 0.9
        ]
    line = f"{path[:43]:<44}" + "".join(
        f"{scores[name]:>{width}}" for name, width in zip(LEAST, (6, 8, 6), strict=True)
    )
    return f"{line}{lcp_ms:>8.0f}{blocked_ms:>9.0f}{shift:>7.3f}", short


def show(text: str) -> None:
    """Print the newest figures, and write all to TIMEBALL_LIGHTHOUSE_TABLE: it takes ten minutes, and may be cut short."""
    print(text.rpartition("\n")[2])  # noqa: T201 - the figures are what this is for
    if to := os.environ.get("TIMEBALL_LIGHTHOUSE_TABLE"):
        Path(to).write_text(text + "\n", encoding="utf-8")


async def found(box: Box) -> list[str]:
    """The pages that there are: Lighthouse refuses to judge one that says that there is none."""
    assert box.cookie is not None
    async with aiohttp.ClientSession(
        cookies=dict([box.cookie]), cookie_jar=aiohttp.CookieJar(unsafe=True)
    ) as session:
        there = []
        for path in box.pages:
            async with session.get(box.base + path, headers={"Accept": "text/html"}) as reply:
                if reply.status < 400:
                    there.append(path)
    return there


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_every_page_with_500_servers_is_well_made(tmp_path):
    program = npm_modules("lighthouse") / "lighthouse" / "cli" / "index.js"
    lines, short = [HEADING], []
    async with whole(tmp_path, "many") as box, browser(need("chromium")) as chromium, chromium.tab() as tab:
        await box.enter(tab)  # a header that Lighthouse adds would be lost where a page leads to another
        for path in await found(box):
            report = await judged(program, chromium.port, box, path, tmp_path / "report.json")
            said, missing = row(path, report)
            lines.append(said)
            short += missing
            show("\n".join(lines))
    assert short == [], "\n".join(short)
