"""What the host tells about itself to plugins that show it: a read-only view, provided as a service."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar

from appliance.api.model import Health, PluginStatus
from appliance.settings.masking import secret_values

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.core.cells import Cell
    from appliance.host.app import Host

T = TypeVar("T")


class Inside:
    """The host from inside: implements the service `HostView`."""

    def __init__(self, host: Host) -> None:
        self._host = host

    @property
    def version(self) -> str:
        return self._host.version

    @property
    def health(self) -> Cell[Health]:
        """The latest fold of everything."""
        return self._host.health

    def plugins(self) -> list[PluginStatus]:
        """Every plugin's state."""
        return self._host.statuses()

    def contributions(self, plugin_id: str) -> dict[str, int]:
        """How many things a plugin contributes, by hook."""
        return {
            hook: len(items) for hook, items in self._host.shared.contributions.get(plugin_id, {}).items()
        }

    def contributed(self, kind: type[T]) -> list[tuple[str, T]]:
        """Every contribution of one type with the id of the plugin that made it, in dependency order."""
        return [
            (plugin, item)
            for plugin, hooks in self._host.shared.contributions.items()
            for items in hooks.values()
            for item in items
            if isinstance(item, kind)
        ]

    @property
    def config_file(self) -> Path | None:
        """The file of --config, or None."""
        return self._host.changes.editor.sources.config_file

    def secrets(self) -> frozenset[str]:
        """Every value of the configuration that is a secret."""
        editor = self._host.changes.editor
        return frozenset(
            text
            for plugin, config in self._host.config.plugins.items()
            for text in secret_values(config, editor.mask(config, ("plugins", plugin)))
        )

    def uptime_s(self) -> float:
        """How long this process runs, whatever the system clock did meanwhile."""
        return (self._host.clock.monotonic_ns() - self._host.started_ns) / 1e9

    def lag(self) -> dict[str, Any]:
        """Event-loop lag: last_s, worst_s, stalls, last_culprit."""
        return dataclasses.asdict(self._host.lag.lag)

    def store(self) -> dict[str, Any]:
        """Store statistics."""
        return self._host.store.stats()

    def dropped(self) -> dict[str, int]:
        """Events that slow subscribers lost."""
        return self._host.bus.dropped()
