"""What a page costs: bytes as they travel, requests, elements, and how calmly it is drawn; all measured by the browser itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.support.browser import Tab

#: The largest picture, moves of the layout and long tasks of the main thread, all since the page began.
_OBSERVED = """
new Promise((done) => {
  const found = {lcp_ms: 0, shift: 0, blocked_ms: 0};
  const watch = (type, take) => new PerformanceObserver((list) => list.getEntries().forEach(take)).observe({type, buffered: true});
  watch('largest-contentful-paint', (e) => { found.lcp_ms = e.startTime; });
  watch('layout-shift', (e) => { if (!e.hadRecentInput) found.shift += e.value; });
  watch('longtask', (e) => { found.blocked_ms += Math.max(0, e.duration - 50); });
  requestAnimationFrame(() => setTimeout(() => done({...found, elements: document.querySelectorAll('*').length, charts: document.querySelectorAll('section.charts svg.chart, section.charts .uplot').length}), 300));
})
"""


@dataclass(frozen=True, slots=True)
class Weight:
    """One load of one page.

    Attributes:
        bytes: of all answers as they travelled, headers included.
        script_bytes: of our own scripts among them, compressed, without headers; those of a library are not ours.
        library_bytes: of the chart library, likewise.
        requests: how many; the live stream, which stays open, is one of them.
        away: addresses on other machines that were asked.
        elements: in the document.
        chart: it has one.
        lcp_ms, blocked_ms: the largest picture's time, and how long tasks kept the page from reacting.
        shift: how much was moved about (CLS).
    """

    bytes: int
    script_bytes: int
    library_bytes: int
    requests: int
    away: tuple[str, ...]
    elements: int
    chart: bool
    lcp_ms: float
    blocked_ms: float
    shift: float


async def weigh(tab: Tab, url: str, *, cold: bool = True, slower: float = 1.0) -> Weight:
    """Load the page and wait until the network is calm; `slower` says how many times slower the processor is made."""
    asked: dict[str, tuple[str, str]] = {}
    sizes: dict[str, int] = {}
    heads: dict[str, int] = {}
    under_way: set[str] = set()

    def watch(method: str, params: Mapping[str, Any]) -> None:
        key = params.get("requestId", "")
        if method == "Network.requestWillBeSent" and not params["request"]["url"].startswith("data:"):
            asked[key] = (params["request"]["url"], params.get("type", ""))
            if params.get("type") != "EventSource":
                under_way.add(key)
        elif method == "Network.responseReceived":
            heads[key] = int(params["response"]["encodedDataLength"])
        elif method == "Network.loadingFinished":
            sizes[key] = int(params["encodedDataLength"])
            under_way.discard(key)
        elif method == "Network.loadingFailed":
            under_way.discard(key)

    tab.watchers.append(watch)
    try:
        await tab.ask("Network.setCacheDisabled", cacheDisabled=cold)
        await tab.ask("Emulation.setCPUThrottlingRate", rate=slower)
        await tab.open(url)
        await tab.complete()
        while under_way:
            await tab.settled()
        seen = await tab.evaluate(_OBSERVED)
    finally:
        tab.watchers.remove(watch)
        await tab.ask("Emulation.setCPUThrottlingRate", rate=1)
    host = urlsplit(url).netloc
    scripts = [key for key, (_, kind) in asked.items() if kind == "Script"]
    library = [key for key in scripts if "uplot" in asked[key][0].lower()]
    return Weight(
        bytes=sum(sizes.values()),
        script_bytes=sum(sizes.get(key, 0) - heads.get(key, 0) for key in scripts if key not in library),
        library_bytes=sum(sizes.get(key, 0) - heads.get(key, 0) for key in library),
        requests=len(asked),
        away=tuple(address for address, _ in asked.values() if urlsplit(address).netloc != host),
        elements=seen["elements"],
        chart=seen["charts"] > 0,
        lcp_ms=seen["lcp_ms"],
        blocked_ms=seen["blocked_ms"],
        shift=seen["shift"],
    )


HEADING = f"{'page':<44}{'kB cold':>8}{'warm':>6}{'script':>8}{'asks':>6}{'nodes':>7}{'LCP ms':>8}{'blocked':>9}{'moved':>7}"


def line(path: str, cold: Weight, warm: Weight, desk: Weight) -> str:
    """One row of the table under `HEADING`; what moved is told for the screen on which more did."""
    return (
        f"{path[:43]:<44}{cold.bytes / 1000:>8.1f}{warm.bytes / 1000:>6.1f}{cold.script_bytes / 1000:>8.1f}"
        f"{cold.requests:>6}{cold.elements:>7}{cold.lcp_ms:>8.0f}{cold.blocked_ms:>9.0f}{max(cold.shift, desk.shift):>7.3f}"
    )
