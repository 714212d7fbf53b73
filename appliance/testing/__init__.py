"""For tests of plugins, ours and yours: a whole appliance in memory, with the plugins and services you choose.

from appliance.testing import running

async def test_my_panel(tmp_path):
    async with running(["hello"], state_dir=tmp_path) as app:
        assert (await app.get("/p/hello/greeting")) == {"hello": "world"}
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar
from urllib.parse import urlencode

from appliance.api.actor import Role, acting, local
from appliance.api.http import Reply, Request
from appliance.api.model import PluginState, PluginStatus
from appliance.api.services import Store
from appliance.core.clock import Clock, FakeClock
from appliance.core.config import Layer, read_text
from appliance.core.config_check import validate
from appliance.dataplane import choose
from appliance.host import loader
from appliance.host.app import Host
from appliance.host.backoff import Timing
from appliance.host.changes import Patience
from appliance.settings.sources import MemorySources, Sources

T = TypeVar("T")

__all__ = ["Client", "FakeClock", "RunningAppliance", "running", "wait_until"]

#: Only a safety net under conditions: long enough for a small machine that does much else at the same time.
PATIENCE_S = 60.0
#: Waits of the supervisor, shrunk: tests of plugins should not wait for real backoff.
QUICK = Timing(
    backoff_first_s=0.01, backoff_most_s=0.05, settled_s=60, strike_window_s=60, ready_s=30, stop_s=3
)


class RunningAppliance:
    """A host with its plugins, running in this event loop.

    Attributes:
        host: the real thing, for what the shortcuts do not cover.
    """

    def __init__(self, host: Host) -> None:
        self.host = host

    def status(self, plugin_id: str) -> PluginStatus:
        return self.host.supervised[plugin_id].status

    def service(self, kind: type[T]) -> T:
        """The service of that type.

        Raises:
            LookupError: nobody provides it.
        """
        return self.host.services.get(kind)

    def contributed(self, kind: type[T]) -> list[T]:
        """What the plugins contributed of that type: panels, metrics, health checks, ..."""
        return self.host.shared.of_type(kind)

    @property
    def store(self) -> Store:
        """The database, as plugins see it."""
        return self.host.store

    async def until_running(self, *plugin_ids: str, timeout_s: float = PATIENCE_S) -> None:
        """Wait until the plugins (all, when none is named) are RUNNING.

        Raises:
            AssertionError: one of them failed, or took too long.
        """
        wanted = plugin_ids or tuple(self.host.supervised)

        def there() -> bool:
            states = [self.status(plugin_id) for plugin_id in wanted]
            for status in states:
                assert status.state is not PluginState.FAILED, f"{status.id} failed: {status.why}"
            return all(
                s.state in (PluginState.RUNNING, PluginState.DISABLED, PluginState.STOPPED) for s in states
            )

        await wait_until(there, f"plugins {wanted} to run", timeout_s=timeout_s)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        role: Role = "owner",
    ) -> Reply:
        """Send one request to the route table, as the admin socket would, or as somebody of another role."""
        request = Request(
            method, path, query={k: str(v) for k, v in (query or {}).items()},
            actor=local("test") if role == "owner" else acting(role),
            content=b"" if body is None else json.dumps(body).encode(),
        )  # fmt: skip
        reply = await self.host.routes.dispatch(request)
        assert isinstance(reply, Reply), f"{method} {path}?{urlencode(query or {})} answered {reply!r}"
        return reply

    async def get(self, path: str, **query: Any) -> Any:
        """GET, check for success, decode JSON (or return the text)."""
        return decoded(await self.ask("GET", path, query=query))

    async def post(self, path: str, body: Any = None) -> Any:
        """POST, check for success, decode."""
        return decoded(await self.ask("POST", path, body=body))

    def acting(self, role: Role) -> Client:
        """Somebody of that role."""
        return Client(self, role)


class Client:
    """Somebody of one role, who asks for pages and operations as that role may.

    Attributes:
        role: "public" for somebody who did not sign in.
    """

    def __init__(self, app: RunningAppliance, role: Role) -> None:
        self._app = app
        self.role: Role = role

    async def ask(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None
    ) -> Reply:
        """One request, whatever comes of it."""
        return await self._app.ask(method, path, query=query, body=body, role=self.role)

    async def get(self, path: str, **query: Any) -> Any:
        """GET, check for success, decode."""
        return decoded(await self.ask("GET", path, query=query))

    async def post(self, path: str, body: Any = None) -> Any:
        """POST, check for success, decode."""
        return decoded(await self.ask("POST", path, body=body))


def decoded(reply: Reply) -> Any:
    """A successful answer's JSON, or its text.

    Raises:
        AssertionError: it was refused.
    """
    text = reply.body().decode()
    assert reply.status < 400, text
    return json.loads(text) if "json" in reply.content_type and text else text


@asynccontextmanager
async def running(
    plugins: Sequence[str | ModuleType] | None = None,
    config: str | Mapping[str, Any] = "",
    *,
    state_dir: Path,
    clock: Clock | None = None,
    provide: Mapping[type, object] | None = None,
    timing: Timing = QUICK,
    admin_socket: bool = False,
    config_file: Path | None = None,
    patience: Patience | None = None,
) -> AsyncIterator[RunningAppliance]:
    """Run an appliance in this event loop.

    Args:
        plugins: ids of installed plugins, or modules; None for all that are installed.
        config: TOML text or nested dict.
        state_dir: a folder for this test alone (pytest's `tmp_path`).
        clock: a `FakeClock`, or None for the real one.
        provide: services that stand in for plugins that are not loaded.
        timing: the supervisor's waits.
        admin_socket: also listen on STATE_DIR/admin.sock.
        config_file: where `config` (a text) is written first, so that it can be changed in its place.
        patience: how long changes of the configuration are watched.

    Raises:
        BadConfig: the configuration is wrong.
    """
    names = None if plugins is None else [p for p in plugins if isinstance(p, str)]
    found = loader.discover(only=names)
    for module in plugins or ():
        if isinstance(module, ModuleType):
            loader.add(found, loader.Loaded(module.__name__, "test"), lambda module=module: module)  # type: ignore[misc]
    last = Layer("state_dir", {"appliance": {"state_dir": str(state_dir)}}, stronger=True)
    if config_file is not None:
        assert isinstance(config, str), "a file holds text"
        config_file.write_text(config, encoding="utf-8")  # noqa: ASYNC240 - a test's own file, before anything runs
        sources: Sources = Sources(config_file, str(state_dir))
    else:
        layer = read_text(config, "test") if isinstance(config, str) else Layer("test", config)
        sources = MemorySources([layer], [last])
    models = {p.id: p.info.config for p in found.good() if p.info is not None}
    valid = validate(sources.read(), models, unchecked=[p.id for p in found.found if p.error])
    host = Host(
        valid, found, choose("python"), clock=clock, timing=timing, admin=admin_socket, version="test",
        sources=sources, patience=patience,
    )  # fmt: skip
    for kind, service in (provide or {}).items():
        host.services.provide(kind, service, owner="test")
    await host.start()
    try:
        yield RunningAppliance(host)
    finally:
        clean = await host.stop()
        assert clean, "a plugin did not stop when it was asked to"


async def wait_until(condition: Callable[[], bool], what: str, *, timeout_s: float = PATIENCE_S) -> None:
    """Wait for a condition, not for a time.

    Raises:
        AssertionError: it did not come true within `timeout_s` (which is only a safety net).
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    while not condition():
        assert loop.time() < end, f"waited {timeout_s:.0f} s in vain for {what}"
        await asyncio.sleep(0.01)
