"""For people who write plugins: prints every contribution and change of state, and loads edited plugins again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.api.events import PluginChanged
from appliance.api.model import PluginState
from appliance.core.config import BadConfig, Config
from appliance.host import loader

if TYPE_CHECKING:
    from appliance.host.app import Host

log = logging.getLogger("timeball.host")

LOOK_S = 0.5
_WATCHED = frozenset({".py", ".toml", ".html", ".css", ".js", ".json"})
#: In these words an item of each kind is told.
_NAMES = ("name", "id", "owner", "table", "path")

Stamp = Mapping[Path, tuple[int, int]]


async def tell(host: Host, say: Callable[[str], None]) -> None:
    """Print each plugin's states, and what those contribute that did not come with the appliance, until cancelled."""
    told: dict[str, object] = {}
    with host.bus.subscribe(PluginChanged, owner="trace", maxsize=1000, overflow="drop_oldest") as changes:
        async for change in changes:
            status = change.status
            contributed = host.shared.contributions.get(status.id)
            strange = status.origin != "built in"  # ours would bury what an author looks for under 300 lines
            if strange and contributed is not None and told.get(status.id) is not contributed:
                told[status.id] = contributed
                for line in contributions(contributed):
                    say(f"{status.id:12} {line}")
            say(f"{status.id:12} is {status.state.value}" + (f": {status.why}" if status.why else ""))


def contributions(contributed: Mapping[str, tuple[Any, ...]]) -> Iterator[str]:
    """A line for each thing that a plugin contributes."""
    for hook, items in contributed.items():
        for item in items:
            name = next((str(getattr(item, word)) for word in _NAMES if hasattr(item, word)), "")
            method = f"{item.method} " if hasattr(item, "method") else ""
            yield f"{hook}: {method}{name}".rstrip()


async def watch(host: Host, reread: Callable[[], Config], say: Callable[[str], None]) -> None:
    """Look at the files of plugins that did not come with the appliance, and load those anew that changed."""
    seen = {p.origin: stamps(p) for p in _watched(host)}
    while True:
        await asyncio.sleep(LOOK_S)
        for loaded in _watched(host):
            now = stamps(loaded)
            if now != seen.get(loaded.origin):
                seen[loaded.origin] = now
                say(f"{loaded.id:12} was edited: it is loaded again")
                await load_again(host, loaded, reread)


def _watched(host: Host) -> list[loader.Loaded]:
    return [p for p in host.plugins.found if p.candidate is not None and p.candidate.source is not None]


def stamps(loaded: loader.Loaded) -> Stamp:
    """Time and size of every file that a plugin consists of."""
    assert loaded.candidate is not None
    source = loaded.candidate.source
    assert source is not None
    files = [source] if source.is_file() else [p for p in source.rglob("*") if p.suffix in _WATCHED]
    found = {}
    for path in files:
        try:
            stat = path.stat()
        except OSError:
            continue  # an editor is just replacing it
        found[path] = (stat.st_mtime_ns, stat.st_size)
    return found


async def load_again(host: Host, loaded: loader.Loaded, reread: Callable[[], Config]) -> None:
    """Stop one plugin, import it anew, check its configuration, set it up and start it; what fails is its state."""
    running = host.supervised.get(loaded.id)
    if running is not None and not await running.stop():
        return  # it hangs; its state says so
    host.forget(loaded.id)
    fresh = loader.load_again(host.plugins, loaded)
    host.changes.learn()
    try:
        config = reread()
    except BadConfig as bad:
        fresh.error = fresh.error or f"cannot work with its configuration: {bad}"
    else:
        if fresh.id in config.plugins:
            host.config = replace(
                host.config, plugins={**host.config.plugins, fresh.id: config.plugins[fresh.id]}
            )
    await host.enter(fresh)
    if host.supervised[fresh.id].status.state is PluginState.LOADED:
        host.supervised[fresh.id].start()
