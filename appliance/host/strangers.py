"""Plugins that did not come with the appliance: whose is this module, this file, this table?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from appliance.host.leftovers import belongs
from appliance.host.loader import Loaded, Plugins


class Strangers:
    """Other people's plugins among all. What is asked often is remembered, until `forget`."""

    def __init__(self, plugins: Plugins) -> None:
        self._plugins = plugins
        self._modules: dict[str, str] = {}
        self._files: dict[str, str] = {}

    def all(self) -> list[Loaded]:
        return [plugin for plugin in self._plugins.good() if not plugin.builtin]

    def __contains__(self, plugin_id: str) -> bool:
        return any(plugin.id == plugin_id for plugin in self.all())

    def of(self, module: str) -> str:
        """The one whose code the module of that name holds, or ""."""
        known = self._modules.get(module)
        if known is None:
            found = (p.id for p in self.all() if p.module and belongs(p.module.__name__, module))
            known = self._modules[module] = next(found, "")
        return known

    def of_file(self, file: str) -> str:
        """The one whose code a file of Python holds, or ""."""
        known = self._files.get(file)
        if known is None:
            found = (
                plugin
                for plugin, place in self.places().items()
                if file == place or file.startswith(f"{place}/")
            )
            known = self._files[file] = next(found, "")
        return known

    def places(self) -> Mapping[str, str]:
        """The file, or the folder of the package, that each is in, by id."""
        found = {}
        for plugin in self.all():
            file = getattr(plugin.module, "__file__", None)
            if file:
                path = Path(file)
                found[plugin.id] = str(path.parent if path.name == "__init__.py" else path)
        return found

    def forget(self) -> None:
        """A plugin came or went."""
        self._modules.clear()
        self._files.clear()
