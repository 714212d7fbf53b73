"""The stream of one check: every line as a server-sent event, then `done`."""

from __future__ import annotations

import asyncio
import contextlib
import json

from aiohttp import web

from appliance.core.routes import Request
from appliance_web.checking import PATIENCE_S, Check
from appliance_web.site import Site

#: A reader that takes nothing for so long is let go.
WRITE_S = 20.0


class CheckStream:
    """Serves a check to its readers; each begins with the first line."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def handle(self, request: Request) -> web.StreamResponse:
        """Answer GET /checks/{check}/stream.

        Raises:
            NotFound: there is no such check any more.
        """
        check = self._site.checks.find(request.params["check"], request)
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
        )
        with contextlib.suppress(ConnectionError, TimeoutError):
            await response.prepare(request.raw)
            async with asyncio.timeout(PATIENCE_S + WRITE_S):
                await self._follow(check, response)
        response.force_close()
        return response

    async def _follow(self, check: Check, response: web.StreamResponse) -> None:
        told = [0] * len(check.parts)
        while True:
            changed, done = check.changed, check.done
            for number, part in enumerate(check.parts):
                while told[number] < len(part.lines):
                    line = part.lines[told[number]]
                    data = {"part": number, "index": told[number], "shape": line.shape, "text": line.text}
                    await response.write(f"event: line\ndata: {json.dumps(data)}\n\n".encode())
                    told[number] += 1
            if done:
                await response.write(b"event: done\ndata: {}\n\n")
                return
            await changed.wait()
