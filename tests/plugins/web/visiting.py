"""A running appliance with nothing but the pages and stand-ins, and a client that talks to its listener."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from appliance.core.clock import SystemClock
from appliance.testing import RunningAppliance, running
from tests.plugins.web import fake_pool


class Visitor:
    """Somebody with a browser or a program.

    Attributes:
        base: address of the listener.
        app: the appliance.
    """

    def __init__(self, app: RunningAppliance, base: str, session: aiohttp.ClientSession) -> None:
        self.app = app
        self.base = base
        self.session = session

    async def get(self, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
        """Status, text and headers (names in lower case)."""
        asked = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.get(self.base + path, headers=asked, allow_redirects=False) as reply:
            return reply.status, await reply.text(), {k.lower(): v for k, v in reply.headers.items()}


def address(app: RunningAppliance, scheme: str = "http") -> str:
    """Where the pages are served, without the last slash."""
    return next(
        word.rstrip("/,;") for word in app.status("web").text.split() if word.startswith(f"{scheme}://")
    )


@asynccontextmanager
async def visited(
    tmp_path: Path,
    members: int | None = 7,
    *,
    config: str = "",
    hostile: bool = False,
    plugins: tuple[object, ...] = ("web",),
    provide: dict[type, object] | None = None,
) -> AsyncIterator[Visitor]:
    """Run the pages on a free port; `members` None: there is no registry at all."""
    clock = SystemClock()
    services = {} if members is None else fake_pool.pool(clock, members, hostile=hostile)
    services |= provide or {}
    text = f'[plugins.web]\nlisten = "127.0.0.1:0"\ntrust_loopback = "operate"\n{config}'
    async with (
        running(list(plugins), text, state_dir=tmp_path, clock=clock, provide=services) as app,
        aiohttp.ClientSession(headers={"Accept": "text/html"}) as session,
    ):
        await app.until_running("web")
        base = address(app)
        yield Visitor(app, base, session)
