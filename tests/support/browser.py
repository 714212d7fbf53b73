"""A real browser for tests and pictures: headless Chromium, spoken to over its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--mute-audio", "--hide-scrollbars", "--force-color-profile=srgb", "--remote-debugging-port=0",
)  # fmt: skip


class Tab:
    """One page of the browser.

    Attributes:
        complaints: console errors, uncaught exceptions, blocked content and failed requests, in words.
        watchers: each is called with the name and the values of every event of the protocol.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._loaded = asyncio.Event()
        self.complaints: list[str] = []
        self.watchers: list[Callable[[str, Mapping[str, Any]], None]] = []
        self._reader = asyncio.get_running_loop().create_task(self._read())

    async def close(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._socket.close()

    async def ask(self, method: str, **params: Any) -> Any:
        """Send one command and wait for its result."""
        self._number += 1
        future = asyncio.get_running_loop().create_future()
        self._waiting[self._number] = future
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        async with asyncio.timeout(30):
            return await future

    async def _read(self) -> None:
        async for message in self._socket:
            value = json.loads(message.data)
            if "id" in value:
                future = self._waiting.pop(value["id"])
                if "error" in value:
                    future.set_exception(RuntimeError(str(value["error"])))
                elif not future.done():
                    future.set_result(value.get("result"))
            else:
                self._note(value["method"], value.get("params", {}))

    def _note(self, method: str, params: Mapping[str, Any]) -> None:
        for watcher in self.watchers:
            watcher(method, params)
        if method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append("console: " + " ".join(str(a.get("value")) for a in params["args"]))
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.complaints.append(
                f"exception: {details.get('exception', {}).get('description', details['text'])}"
            )
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"log: {params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Audits.issueAdded":
            self.complaints.append(f"issue: {json.dumps(params['issue'])[:400]}")

    async def start(self) -> None:
        for domain in ("Page", "Runtime", "Log", "Audits", "Network"):
            await self.ask(f"{domain}.enable")

    async def look(
        self,
        *,
        width: int = 1280,
        height: int = 900,
        dark: bool = False,
        scripts: bool = True,
        scale: float = 1.0,
    ) -> None:
        """Set what the reader has: a screen, a colour scheme, scripts or none."""
        await self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 500,
        )
        await self.ask(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        )
        await self.ask("Emulation.setScriptExecutionDisabled", value=not scripts)

    async def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded."""
        self._loaded.clear()
        result = await self.ask("Page.navigate", url=url)
        if result.get("errorText"):
            raise RuntimeError(f"{url}: {result['errorText']}")
        async with asyncio.timeout(30):
            await self._loaded.wait()

    async def settled(self) -> None:
        """Wait until two frames have been drawn and nothing moves any more: what was asked for is on the screen."""
        await self.evaluate(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => Promise.allSettled(document.getAnimations().filter((a) => a.effect.getComputedTiming().endTime < 2000).map((a) => a.finished)).then(() => done(true)))))"
        )

    async def complete(self) -> None:
        """Wait until what a page brings after its first picture is there: charts that zoom in the place of drawings."""
        await self.until(
            "!document.getElementById('later') || !!document.getElementById('history').dataset.drawn"
        )
        await self.settled()

    async def world(self, name: str) -> int:
        """A world of our own beside the page's scripts: the same document, other globals. It ends with the page."""
        tree = await self.ask("Page.getFrameTree")
        made = await self.ask(
            "Page.createIsolatedWorld", frameId=tree["frameTree"]["frame"]["id"], worldName=name
        )
        return int(made["executionContextId"])

    async def evaluate(self, expression: str, world: int | None = None) -> Any:
        """A JavaScript expression's value; works also while the page's own scripts are off."""
        where = {} if world is None else {"contextId": world}
        result = await self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, **where
        )
        if "exceptionDetails" in result:
            raise RuntimeError(str(result["exceptionDetails"]))
        return result["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Wait until a JavaScript expression is true."""
        async with asyncio.timeout(20):
            while not (value := await self.evaluate(expression)):  # noqa: ASYNC110 - it lives in the browser
                await asyncio.sleep(0.05)
        return value

    async def fill(self, selector: str, text: str) -> None:
        """Put the cursor into the first field that fits and write in place of what stands there."""
        field = json.dumps(selector)
        await self.evaluate(
            f"(() => {{ const e = document.querySelector({field}); e.focus(); e.select(); }})()"
        )
        await self.ask("Input.insertText", text=text)

    async def click(self, selector: str, *, leads: bool = True) -> None:
        """Click the first element that fits, as a person does, and wait for the page it leads to, when it `leads` to one."""
        expression = f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'center'}}); const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        x, y = await self.evaluate(expression)
        self._loaded.clear()
        for kind in ("mousePressed", "mouseReleased"):
            await self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        if leads:
            async with asyncio.timeout(30):
                await self._loaded.wait()

    async def press(self, key: str, code: int) -> None:
        """Press a key that writes nothing, such as "Tab" (9) or "Enter" (13)."""
        for kind in ("keyDown", "keyUp"):
            await self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    async def picture(self, path: Path, *, whole: bool = True) -> None:
        """Save a PNG of the screen, or of the whole page."""
        shot = await self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(shot["data"]))


class Browser:
    """A running browser.

    Attributes:
        port: where it listens to its DevTools protocol, on 127.0.0.1.
    """

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self.port = port
        self._address = f"127.0.0.1:{port}"

    @asynccontextmanager
    async def tab(self) -> AsyncIterator[Tab]:
        """A fresh page."""
        async with self._session.put(f"http://{self._address}/json/new?about:blank") as reply:
            found = await reply.json(content_type=None)
        socket = await self._session.ws_connect(found["webSocketDebuggerUrl"], max_msg_size=0)
        tab = Tab(socket)
        try:
            await tab.start()
            yield tab
        finally:
            await tab.close()
            async with self._session.get(f"http://{self._address}/json/close/{found['id']}") as reply:
                await reply.read()


@asynccontextmanager
async def browser(program: str, *extra: str, home: Path | None = None) -> AsyncIterator[Browser]:
    """Run Chromium at the path `program` with a profile of its own; `extra` flags such as host-resolver rules.

    Authorities that are trusted stand in `home`/.pki/nssdb.
    """
    with tempfile.TemporaryDirectory(prefix="timeball-chromium-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            program, *FLAGS, *extra, f"--user-data-dir={profile}", "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, **({} if home is None else {"HOME": str(home)})},
        )  # fmt: skip
        try:
            port_file = Path(profile) / "DevToolsActivePort"
            async with asyncio.timeout(60):
                while not (port_file.is_file() and port_file.read_text().count("\n") >= 1):
                    assert process.returncode is None, "Chromium ended at once"
                    await asyncio.sleep(0.05)
            port = int(port_file.read_text().split()[0])
            async with aiohttp.ClientSession() as session:
                yield Browser(session, port)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
