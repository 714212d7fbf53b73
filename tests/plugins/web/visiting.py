"""A running appliance with nothing but the pages and stand-ins, and a client that talks to its listener."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from appliance.api.actor import Actor, Role, acting
from appliance.core.clock import SystemClock
from appliance.host.changes import Patience
from appliance.testing import RunningAppliance, running
from tests.plugins.web import fake_pool


def signed_in_as(monkeypatch: pytest.MonkeyPatch, role: Role) -> None:
    """Everybody who calls the listener is somebody of this role: for what lies behind the log-in."""
    from appliance_web import opening

    async def who(raw: object, way: object) -> Actor:
        return acting(role)

    monkeypatch.setattr(opening, "who_asks", lambda ctx: who)


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

    async def post(self, path: str, form: dict[str, object]) -> tuple[int, str, str]:
        """Send a form as a browser does: status, text, and where it leads."""
        headers = {"Origin": self.base}
        async with self.session.post(
            self.base + path, data=form, headers=headers, allow_redirects=False
        ) as reply:
            return reply.status, await reply.text(), reply.headers.get("Location", "")

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
    config_file: Path | None = None,
    patience: Patience | None = None,
) -> AsyncIterator[Visitor]:
    """Run the pages on a free port; `members` None: there is no registry at all."""
    clock = SystemClock()
    services = {} if members is None else fake_pool.pool(clock, members, hostile=hostile)
    services |= provide or {}
    text = f'[plugins.web]\nlisten = "127.0.0.1:0"\ntrust_loopback = "operate"\n{config}'
    async with (
        running(
            list(plugins),
            text,
            state_dir=tmp_path,
            clock=clock,
            provide=services,
            config_file=config_file,
            patience=patience,
        ) as app,  # fmt: skip
        aiohttp.ClientSession(headers={"Accept": "text/html"}) as session,
    ):
        await app.until_running("web")
        base = address(app)
        yield Visitor(app, base, session)
