"""The pages in a real browser: no complaint in its console, no script needed, live with scripts, and no sideways scrolling."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from appliance.api.events import VerdictChanged
from appliance.api.model import Verdict
from appliance.api.services import Members, ScoreBoard
from appliance.testing import wait_until
from appliance_web.stream import Hub
from tests.plugins.web.test_web_actions import fake_members_api
from tests.plugins.web.visiting import Visitor, visited
from tests.support.browser import Browser, browser
from tests.support.programs import need

PAGES = (
    "/",
    "/members",
    "/members/m00001",
    "/members/m00003",
    "/members/add",
    "/members/add/form",
    "/time",
    "/clock",
    "/use",
    "/dns",
    "/log",
    "/plugins",
    "/help",
    "/help/web",
    "/api",
    "/status",
    "/tls",
    "/nothing",
)
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@asynccontextmanager
async def window(tmp_path, members=7, *flags, **options) -> AsyncIterator[tuple[Visitor, Browser]]:
    async with (
        visited(tmp_path, members, **options) as visitor,
        browser(need("chromium"), *flags) as chromium,
    ):
        yield visitor, chromium


def serious(complaints, path):
    """What a browser complains about, save the error status that was asked for."""
    return [c for c in complaints if not (path == "/nothing" and "404" in c)]


@pytest.mark.parametrize("members", [0, 7, 150])
async def test_pages_load_without_a_complaint_on_any_screen_in_any_light(tmp_path, members):
    """No console line, no blocked content, no sideways overflow at 320 px, whatever the colour scheme."""
    async with window(tmp_path / "state", members) as (visitor, chromium), chromium.tab() as tab:
        for path in PAGES:
            if members < 7 and path.startswith("/members/m"):
                continue
            for width, dark in ((320, False), (320, True), (768, True), (1280, False)):
                await tab.look(width=width, dark=dark)
                await tab.open(visitor.base + path)
                assert await tab.evaluate(OVERFLOW) <= 0, (path, width)
                assert serious(tab.complaints, path) == [], (path, width)
                tab.complaints.clear()


async def test_hostile_text_runs_nothing_and_breaks_no_layout(tmp_path):
    async with window(tmp_path / "state", 7, hostile=True) as (visitor, chromium), chromium.tab() as tab:
        for path in ("/", "/members", "/members/m00001", "/log", "/dns"):
            await tab.look(width=320)
            await tab.open(visitor.base + path)
            assert tab.complaints == [], path
            assert await tab.evaluate(OVERFLOW) <= 0, path
            assert await tab.evaluate("document.querySelectorAll('script:not([src])').length") == 0


async def test_everything_works_without_scripts(tmp_path):
    """Reading, filtering, sorting, and a form that changes something."""
    seen = []
    async with (
        window(tmp_path / "state", 7, plugins=("web", fake_members_api(seen))) as (visitor, chromium),
        chromium.tab() as tab,
    ):
        await tab.look(scripts=False)
        await tab.open(visitor.base + "/members?state=attention")
        assert await tab.evaluate("document.querySelectorAll('tbody tr').length") == 2
        await tab.click("thead a[href*='sort=-score']")
        assert "sort=-score" in await tab.evaluate("location.search")
        await tab.open(visitor.base + "/members/add/form")
        await tab.evaluate("document.querySelector('#f-address').value = '192.0.2.1'")
        await tab.click("main button.primary")
        assert await tab.evaluate("location.pathname + location.search") == "/members/m00002?done=added"
        assert "The server was added" in await tab.evaluate("document.body.innerText")
        assert seen[0][1] == {"address": "192.0.2.1"}
        assert tab.complaints == []


async def test_an_open_page_follows_what_happens(tmp_path):
    """A verdict changes; the open page shows it by itself, keeps an open fold open, and says that it is live."""
    async with window(tmp_path / "state") as (visitor, chromium), chromium.tab() as tab:
        await tab.look()
        await tab.open(visitor.base + "/")
        await tab.until("document.body.dataset.stream === 'live'")
        assert "3 in the pool" in (await tab.evaluate("document.querySelector('.tally').innerText")).replace(
            "\n", " "
        )
        services = visitor.app.host.services
        member = services.get(Members).find("m00000")
        verdicts = services.get(ScoreBoard).verdicts
        after = Verdict("m00000", 2.0, in_pool=False, reason="no answer to 3 requests", code="low_score")
        verdicts.set({**verdicts.get(), "m00000": after})
        visitor.app.host.bus.publish(VerdictChanged(member, None, after))
        await tab.until("document.querySelector('#members').innerText.includes('no answer to 3 requests')")
        await tab.until("document.querySelector('.verdict h1').innerText.startsWith('3 of 7 servers')")
        assert tab.complaints == []


async def test_a_restarted_box_is_found_again(tmp_path):
    """The stream breaks and comes back; the page is fresh afterwards."""
    async with window(tmp_path / "state") as (visitor, chromium), chromium.tab() as tab:
        await tab.look()
        await tab.open(visitor.base + "/")
        await tab.until("document.body.dataset.stream === 'live'")
        visitor.app.host.services.get(Hub).close()
        await tab.until("document.body.dataset.stream === 'waiting'")
        await tab.until("document.body.dataset.stream === 'live'")


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Pacific/Auckland", "America/St_Johns"])
async def test_times_are_utc_and_say_so_and_can_be_read_in_local_time(tmp_path, zone):
    """Where the clock is ahead by a day or behind by a half hour, summer time included."""
    async with window(tmp_path / "state") as (visitor, chromium), chromium.tab() as tab:
        await tab.ask("Emulation.setTimezoneOverride", timezoneId=zone)
        await tab.look()
        await tab.open(visitor.base + "/members/m00001")
        stamp = "document.querySelector('#probes time.stamp')"
        meant = datetime.fromisoformat(await tab.evaluate(f"{stamp}.dateTime"))
        assert await tab.evaluate(f"{stamp}.innerText") == f"{meant.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        assert (await tab.evaluate("document.querySelector('[data-tick]').innerText")).endswith("UTC")
        await tab.evaluate("document.querySelector('[data-tick]').click()")
        local = meant.astimezone(ZoneInfo(zone))
        assert await tab.evaluate(f"{stamp}.innerText") == f"{local:%Y-%m-%d %H:%M:%S}"
        assert (await tab.evaluate("document.querySelector('[data-tick]').innerText")).endswith("local")
        relative = "document.querySelector('time[title]').title"
        assert (await tab.evaluate(relative)).endswith("local")


async def test_a_hidden_page_gives_its_stream_back(tmp_path):
    """Fifty forgotten tabs cost nothing; looked at again, a page is fresh and live."""
    async with window(tmp_path / "state") as (visitor, chromium), chromium.tab() as tab:
        await tab.look()
        await tab.open(visitor.base + "/")
        hub = visitor.app.host.services.get(Hub)
        await tab.until("document.body.dataset.stream === 'live'")
        assert len(hub) == 1
        for hidden, state, listeners in (("true", "off", 0), ("false", "live", 1)):
            await tab.evaluate(
                f"Object.defineProperty(document, 'hidden', {{value: {hidden}, configurable: true}}); document.dispatchEvent(new Event('visibilitychange'))"
            )
            await tab.until(f"document.body.dataset.stream === '{state}'")

            def left(listeners: int = listeners) -> bool:
                hub.beat()  # a reader that is gone shows itself at the next write
                return len(hub) == listeners

            await wait_until(left, f"{listeners} streams")


async def elsewhere(reader, writer):
    """A stranger's web server: one empty page that forbids nothing."""
    # browsers connect ahead and then may have nothing to ask
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 31\r\nConnection: close\r\n\r\n<!doctype html><title>x</title>"
        )
        await writer.drain()


async def test_a_page_elsewhere_can_neither_rebind_nor_post(tmp_path):
    """A stranger's name that points at this box is refused; a form on a stranger's page changes nothing."""
    seen = []
    server = await asyncio.start_server(elsewhere, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    flag = "--host-resolver-rules=MAP *.example 127.0.0.1"
    async with (
        server,
        window(tmp_path / "state", 7, flag, plugins=("web", fake_members_api(seen))) as (visitor, chromium),
        chromium.tab() as tab,
    ):
        await tab.look()
        await tab.open(f"http://rebound.example:{visitor.base.rpartition(':')[2]}/members")
        assert "does not answer to that name" in await tab.evaluate("document.querySelector('h1').innerText")
        for stranger in ("http://evil.example", "http://127.0.0.1"):
            await tab.open(f"{stranger}:{port}/")
            target = f"{visitor.base}/members/m00001/pause"
            sent = f"fetch('{target}', {{method: 'POST', mode: 'no-cors', body: new URLSearchParams({{hours: '1'}})}}).then(() => 'sent', (e) => String(e))"
            print(stranger, await tab.evaluate(sent))  # noqa: T201
            await tab.evaluate(
                f"document.body.innerHTML = '<form method=post action={target}><button>x</button></form>'"
            )
            await tab.click("button")
            assert "That is not allowed from here" in await tab.evaluate("document.body.innerText"), stranger
        assert seen == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_text_can_be_read_against_its_background(tmp_path, dark):
    """Contrast of all text, charts included, is at least 4.5 (WCAG 2.2 AA)."""
    async with window(tmp_path / "state") as (visitor, chromium), chromium.tab() as tab:
        await tab.look(dark=dark)
        for path in (
            "/",
            "/members",
            "/members/m00003",
            "/dns",
            "/clock",
            "/use",
            "/status",
            "/log",
            "/plugins",
            "/members/add",
        ):
            await tab.open(visitor.base + path)
            assert await tab.evaluate(CONTRAST) == [], path


async def test_the_keyboard_reaches_everything_and_shows_where_it_is(tmp_path):
    async with window(tmp_path / "state") as (visitor, chromium), chromium.tab() as tab:
        await tab.look()
        await tab.open(visitor.base + "/members")
        reached = []
        for _ in range(24):
            for kind in ("keyDown", "keyUp"):
                await tab.ask(
                    "Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9
                )
            reached.append(
                await tab.evaluate("document.activeElement.innerText.trim() || document.activeElement.name")
            )
            assert await tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        assert reached[0] == "Skip to the content"
        assert "Servers" in reached
        assert "q" in reached


#: Elements whose own text has less contrast than 4.5 against the nearest opaque background.
CONTRAST = """
(() => {
  const parse = (c) => { const m = c.match(/[\\d.]+/g).map(Number); return c.startsWith('color(srgb') ? [m[0]*255, m[1]*255, m[2]*255, m[3] ?? 1] : [m[0], m[1], m[2], m[3] ?? 1]; };
  const light = ([r, g, b]) => { const f = (v) => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }; return .2126 * f(r) + .7152 * f(g) + .0722 * f(b); };
  const back = (node) => { for (; node; node = node.parentElement) { const c = parse(getComputedStyle(node).backgroundColor); if (c[3] > .99) return c; } return [255, 255, 255]; };
  const bad = [];
  for (const node of document.querySelectorAll('body *')) {
    const own = [...node.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || ['SCRIPT', 'TITLE', 'title', 'desc'].includes(node.tagName) || !node.getClientRects().length) continue;
    const style = getComputedStyle(node);
    const front = parse(node.namespaceURI.endsWith('svg') ? style.fill : style.color);
    const [a, b] = [light(front), light(back(node))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) bad.push(`${node.tagName}.${node.className.baseVal ?? node.className} ${ratio.toFixed(2)} ${node.textContent.trim().slice(0, 30)}`);
  }
  return bad;
})()
"""
