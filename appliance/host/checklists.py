"""Plugins' checklists beside what is seen of the plugins here."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING

from appliance.api.errors import StoreError
from appliance.kit.measure import Measured, of_contributions, of_files, seen
from appliance.kit.quality import Quality, judged, read

if TYPE_CHECKING:
    from appliance.host.app import Host
    from appliance.host.loader import Loaded


class Checklists:
    """What their files say is read once for each module: what runs is what was imported, not what lies there now."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._of_files: dict[str, tuple[ModuleType | None, Measured]] = {}

    async def of(self, plugins: Mapping[str, Loaded]) -> dict[str, Quality]:
        """Each plugin's checklist, by ID; one that was not set up shows its own word alone."""
        shared = self._host.shared
        contributed = {key: hooks for key in plugins if (hooks := shared.contributions.get(key)) is not None}
        try:
            found = await seen(contributed, self._host.store)
        except StoreError:
            found = {}
        unread = [
            loaded
            for key, loaded in plugins.items()
            if key in found and self._of_files.get(key, (None,))[0] is not loaded.module
        ]
        if unread:
            read_now = await asyncio.get_running_loop().run_in_executor(
                shared.threads, lambda: [of_files(loaded) for loaded in unread]
            )
            self._of_files |= {
                loaded.id: (loaded.module, rules) for loaded, rules in zip(unread, read_now, strict=True)
            }
        return {
            key: judged(loaded.quality, {**of_contributions(loaded, found[key]), **self._of_files[key][1]})
            if key in found
            else loaded.quality or read("")
            for key, loaded in plugins.items()
        }
