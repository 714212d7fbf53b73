"""What the checks of the box itself look at: they work with a running appliance and without one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from appliance.core.config import Config
from appliance.core.layers import named_state_dir
from appliance.dataplane.interface import Endpoint


@dataclass(frozen=True, slots=True)
class Door:
    """A port that a plugin wants.

    Attributes:
        plugin: its id.
        served: its plugin runs and holds it.
    """

    plugin: str
    title: str
    protocol: Literal["udp", "tcp"]
    endpoint: Endpoint
    served: bool

    def __str__(self) -> str:
        return f"{self.endpoint}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The box around the appliance.

    Attributes:
        config: as the files say.
        doors: ports that are wanted.
        running: whether an appliance runs.
        root: of the file system, "/" but in tests.
        is_root: whether we may change the system.
        on_disk: keys that differ between the files and what is in force.
        refused: why the files cannot be used as they are now, a problem each.
    """

    config: Config
    doors: tuple[Door, ...]
    running: bool
    root: Path = Path("/")
    is_root: bool = field(default_factory=lambda: os.geteuid() == 0)
    on_disk: Callable[[], tuple[str, ...]] = tuple
    refused: tuple[str, ...] = ()

    @property
    def state_dir(self) -> Path:
        return named_state_dir(self.config.layers)

    @property
    def proc(self) -> Path:
        return self.root / "proc"


def threaded(look: Callable[[], Any]) -> Callable[[], Awaitable[Any]]:
    """A check that reads files and asks the kernel: not on the event loop, which packets of others wait for."""

    async def ping() -> Any:
        return await asyncio.to_thread(look)

    return ping


def doors(
    plugins: Mapping[str, tuple[str, BaseModel | None, frozenset[str]]], served: Callable[[str], bool]
) -> Iterator[Door]:
    """The ports that plugins want: each key `listen`, over the protocols that the plugin says it needs.

    Args:
        plugins: title, configuration and `PluginInfo.needs` by id, of those that are switched on.
        served: whether a plugin runs.
    """
    for plugin, (title, config, needs) in plugins.items():
        listen = getattr(config, "listen", None)
        protocols = sorted({need.partition(":")[0] for need in needs} & {"udp", "tcp"})
        for text in listen if isinstance(listen, (list, tuple)) else ():
            try:
                endpoint = Endpoint.parse(text)
            except (ValueError, TypeError):
                continue
            for protocol in protocols:
                if endpoint.port:
                    yield Door(plugin, title, protocol, endpoint, served(plugin))  # type: ignore[arg-type]
