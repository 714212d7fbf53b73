"""The charts of a server in a real browser: they zoom where the chart library is, and are drawings everywhere else."""

from __future__ import annotations

import pytest

from appliance_web.assets import FOLDER, Assets
from tests.plugins.web.test_web_browser import OVERFLOW, window
from tests.support.programs import cannot_run
from tests.support.wait import wait_for

SERVER = "/members/m00001"
#: How much was moved about since the page began (CLS).
MOVED = (
    "new Promise((done) => { let sum = 0; new PerformanceObserver((list) => { for (const e of list.getEntries()) if (!e.hadRecentInput) sum += e.value; })"
    ".observe({type: 'layout-shift', buffered: true}); requestAnimationFrame(() => setTimeout(() => done(sum), 100)); })"
)
DRAWN = "document.querySelector('#history').dataset.drawn"


@pytest.fixture
def library() -> None:
    if not (FOLDER / "vendor" / "uplot.js").exists():
        cannot_run("the chart library is not fetched; run: make web")


async def drawn(tab) -> list[float]:
    """The window that is shown, once it is shown."""
    text = await tab.until(DRAWN)
    return [float(part) for part in text.split()[0].split("-")]


async def drag(tab, begin: float, end: float) -> None:
    """Drag the pointer over the offset chart, in shares of its width."""
    await tab.evaluate("document.querySelector('[data-plot=offset]').scrollIntoView({block: 'center'})")
    x, y, width = await tab.evaluate(
        "(() => { const r = document.querySelector('[data-plot=offset] .u-over').getBoundingClientRect(); return [r.x, r.y + r.height / 2, r.width]; })()"
    )
    await tab.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x + width * begin, y=y)
    await tab.ask(
        "Input.dispatchMouseEvent", type="mousePressed", x=x + width * begin, y=y, button="left", clickCount=1
    )
    for share in ((begin + end) / 2, end):
        await tab.ask(
            "Input.dispatchMouseEvent", type="mouseMoved", x=x + width * share, y=y, button="left", buttons=1
        )
    await tab.ask(
        "Input.dispatchMouseEvent", type="mouseReleased", x=x + width * end, y=y, button="left", clickCount=1
    )


@pytest.mark.parametrize(("width", "dark"), [(320, True), (1280, False)])
async def test_the_charts_take_over_without_a_complaint_and_without_moving_anything(
    tmp_path, library, width, dark
):
    async with window(tmp_path / "state") as (visitor, chromium), chromium.tab() as tab:
        await tab.look(width=width, dark=dark)
        await tab.open(visitor.base + SERVER)
        await drawn(tab)
        assert await tab.evaluate("document.querySelectorAll('.plot canvas').length") == 3
        assert await tab.evaluate("document.querySelectorAll('.plot svg').length") == 0
        assert await tab.evaluate(MOVED) < 0.001
        labels = await tab.evaluate(
            "[...document.querySelectorAll('.uplot')].map((e) => e.getAttribute('aria-label'))"
        )
        assert labels[0].startswith("Offset over time. Median ")
        assert await tab.evaluate(OVERFLOW) <= 0
        assert tab.complaints == []


async def test_dragging_zooms_all_charts_and_a_double_click_shows_the_whole(tmp_path, library):
    async with window(tmp_path / "state") as (visitor, chromium), chromium.tab() as tab:
        await tab.look()
        await tab.open(visitor.base + SERVER)
        begin, end = await drawn(tab)
        await drag(tab, 0.25, 0.75)
        await tab.until(f"{DRAWN} !== '{begin:.0f}-{end:.0f}' && !!document.querySelector('.zoom.zoomed')")
        inner = await drawn(tab)
        assert inner[1] - inner[0] == pytest.approx((end - begin) / 2, rel=0.05)
        await tab.evaluate("document.querySelector('[aria-label=\"Zoom in\"]').click()")
        await tab.until(f"{DRAWN} !== '{inner[0]:.0f}-{inner[1]:.0f}'")
        await tab.evaluate(
            "document.querySelector('.u-over').dispatchEvent(new MouseEvent('dblclick', {bubbles: true}))"
        )
        await tab.until("!document.querySelector('.zoom.zoomed')")
        assert tab.complaints == []


async def test_values_under_the_cursor_are_told_in_words(tmp_path, library):
    async with window(tmp_path / "state") as (visitor, chromium), chromium.tab() as tab:
        await tab.look()
        await tab.open(visitor.base + SERVER)
        await drawn(tab)
        await tab.evaluate(
            "(() => { const o = document.querySelector('.u-over'), r = o.getBoundingClientRect(); o.dispatchEvent(new MouseEvent('mousemove', {clientX: r.x + r.width / 2, clientY: r.y + 50, bubbles: true})); })()"
        )
        legend = await tab.until(
            "(() => { const t = document.querySelector('.u-legend').innerText; return /\\d ms/.test(t) && t; })()"
        )
        assert "Time (UTC)" in legend


async def test_the_classic_picture_is_one_switch_away_and_is_remembered(tmp_path, library):
    async with window(tmp_path / "state") as (visitor, chromium), chromium.tab() as tab:
        await tab.look()
        await tab.open(visitor.base + SERVER)
        await drawn(tab)
        await tab.evaluate("document.querySelector('[name=classic]').click()")
        await tab.until(f"{DRAWN}.endsWith('classic')")
        assert await tab.evaluate("document.querySelectorAll('.plot canvas').length") == 2
        assert "Score" in await tab.evaluate(
            "document.querySelector('[data-plot=offset] .u-legend').innerText"
        )
        await tab.open(visitor.base + SERVER)
        await tab.until(f"({DRAWN} || '').endsWith('classic')")
        assert tab.complaints == []


async def test_colours_follow_the_reader_from_day_to_night(tmp_path, library):
    """Pixels of the canvas, since no checker of pages looks into one."""
    ink = (
        "(() => { const c = document.querySelector('.plot canvas'), d = c.getContext('2d').getImageData(0, 0, 60, c.height).data;"
        " let seen = [0, 0]; for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 200) { seen[0] += d[i]; seen[1]++; } return seen[0] / seen[1]; })()"
    )
    async with window(tmp_path / "state") as (visitor, chromium), chromium.tab() as tab:
        await tab.look()
        await tab.open(visitor.base + SERVER)
        await drawn(tab)
        by_day = await tab.evaluate(ink)
        await tab.look(dark=True)
        by_night = await tab.until(
            f"(() => {{ const seen = {ink}; return seen > {by_day} + 30 && seen; }})()"
        )
        assert by_night > 140


async def test_without_a_script_the_drawings_stay_and_nothing_offers_to_zoom(tmp_path):
    async with window(tmp_path / "state") as (visitor, chromium), chromium.tab() as tab:
        await tab.look(scripts=False)
        await tab.open(visitor.base + SERVER)
        assert await tab.evaluate("document.querySelectorAll('.plot svg.chart').length") == 3
        assert await tab.evaluate("getComputedStyle(document.querySelector('.zoom')).display") == "none"
        assert await tab.evaluate("document.querySelectorAll('#figures table tbody tr').length") > 10


async def test_without_the_library_the_page_asks_for_nothing_that_is_not_there(tmp_path, monkeypatch):
    from appliance_web.assets import Assets

    monkeypatch.setattr(Assets, "has", lambda self, *names: False)
    async with window(tmp_path / "state") as (visitor, chromium), chromium.tab() as tab:
        await tab.look()
        await tab.open(visitor.base + SERVER)
        assert await tab.evaluate("document.querySelectorAll('.plot svg.chart').length") == 3
        assert tab.complaints == []


async def test_the_library_comes_after_the_page_and_nothing_of_it_before(tmp_path, library):
    """What it is for needs the drawings first; a telephone on a slow network shows them without waiting for it."""
    async with window(tmp_path / "state") as (visitor, chromium), chromium.tab() as tab:
        asked: list[str] = []

        def watch(method, params):
            if method == "Network.requestWillBeSent":
                asked.append(params["request"]["url"])
            elif method == "Page.loadEventFired":
                asked.append("loaded")

        tab.watchers.append(watch)
        await tab.look(width=360)
        await tab.open(visitor.base + SERVER)
        await drawn(tab)
        late = {address.rpartition("/")[2] for address in asked[asked.index("loaded") :]}
        early = {address.rpartition("/")[2] for address in asked[: asked.index("loaded")]}
        needed = {Assets().url(name).rpartition("/")[2] for name in ("uplot.js", "uplot.css", "charts.js")}
        assert needed <= late
        assert not needed & early
        ended, begun = await tab.evaluate(
            "[performance.getEntriesByType('navigation')[0].loadEventEnd, performance.getEntriesByType('resource').filter((e) => /\\/(uplot|charts)\\./.test(e.name)).map((e) => e.startTime)]"
        )
        assert len(begun) == 3
        assert min(begun) >= ended


@pytest.mark.parametrize("missing", ["uplot.js", "uplot.css"])
async def test_where_a_part_of_the_library_does_not_come_the_drawings_stay(tmp_path, library, missing):
    """Without its script there is nothing to draw with, and without its stylesheet it would draw in the wrong places."""
    address = Assets().url(missing)
    asked: dict[str, str] = {}
    ended: set[str] = set()

    def watch(method, params):
        if method == "Network.requestWillBeSent":
            asked[params["requestId"]] = params["request"]["url"]
        elif method in ("Network.loadingFinished", "Network.loadingFailed"):
            ended.add(asked[params["requestId"]].rpartition("/")[2].partition(".")[0] + method[15:])

    async with window(tmp_path / "state") as (visitor, chromium), chromium.tab() as tab:
        tab.watchers.append(watch)
        await tab.look()
        await tab.ask("Network.setBlockedURLs", urls=[f"*{address}"])
        await tab.open(visitor.base + SERVER)
        await wait_for(lambda: {"uplotFinished", "uplotFailed"} <= ended, "both parts to come or not to come")
        await tab.settled()
        assert not [url for url in asked.values() if "/charts." in url or "/chart?" in url]
        assert await tab.evaluate("document.querySelectorAll('.plot svg.chart').length") == 3
        assert await tab.evaluate("document.querySelectorAll('.plot canvas').length") == 0
        assert await tab.evaluate("getComputedStyle(document.querySelector('.zoom')).visibility") == "hidden"
        assert not [line for line in tab.complaints if address not in line]


async def test_hostile_text_in_marks_and_monitors_stays_text(tmp_path, library):
    async with window(tmp_path / "state", 7, hostile=True) as (visitor, chromium), chromium.tab() as tab:
        await tab.look()
        await tab.open(visitor.base + SERVER)
        await drawn(tab)
        assert tab.complaints == []
        assert await tab.evaluate("document.querySelectorAll('script:not([src])').length") == 0
