"""What a plugin says about itself."""

from __future__ import annotations

from dataclasses import dataclass

import pluggy
from pydantic import BaseModel

#: API level of this host. Adding things does not raise it; removing something does.
API = 1
#: Oldest API level that still works here.
API_MIN = 1

hookspec = pluggy.HookspecMarker("appliance")
hookimpl = pluggy.HookimplMarker("appliance")


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """A plugin's identity; every plugin module has one, named `plugin`.

    Attributes:
        id: lower-case word; names the config table, URL prefix, table prefix and logger.
        title: for people.
        api: the API level it was written for.
        config: pydantic model of `[plugins.<id>]`, or None when there is nothing to configure.
        provides: service types it registers in `setup`.
        requires: service types it cannot work without; their providers are set up first.
        after: plugin ids that are set up first if they are enabled.
        needs: privileges shown to whoever installs it, such as "udp:123" or "net_raw".
        enabled: False when it must be asked for with `[plugins.<id>] enabled = true`.
    """

    id: str
    title: str
    api: int
    config: type[BaseModel] | None = None
    provides: tuple[type, ...] = ()
    requires: tuple[type, ...] = ()
    after: tuple[str, ...] = ()
    needs: frozenset[str] = frozenset()
    enabled: bool = True
