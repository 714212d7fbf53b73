"""What a plugin says about itself."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar, overload

import pluggy
from pydantic import BaseModel

#: API level of this host. Adding things does not raise it; removing something does.
API = 1
#: Oldest API level that still works here.
API_MIN = 1

hookspec = pluggy.HookspecMarker("appliance")
_marked = pluggy.HookimplMarker("appliance")

F = TypeVar("F", bound=Callable[..., object])

#: Name in a module of the hooks that it defines, by their names.
HOOKS_OF_MODULE: Final = "__appliance_hooks__"


@overload
def hookimpl(function: F) -> F: ...
@overload
def hookimpl(function: None = None, **options: Any) -> Callable[[F], F]: ...
def hookimpl(function: F | None = None, **options: Any) -> F | Callable[[F], F]:
    """Mark a function of a plugin's module as the hook of its name; `options` are those of pluggy.

    The module remembers it: whoever imports `routes.py` of a package puts that module in the place of the function `routes`.
    """
    if function is None:
        return lambda later: hookimpl(_marked(later, **options))
    marked = _marked(function) if not hasattr(function, "appliance_impl") else function
    module = sys.modules.get(function.__module__)
    if module is not None and function.__qualname__ == function.__name__:
        vars(module).setdefault(HOOKS_OF_MODULE, {})[function.__name__] = function
    return marked


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
