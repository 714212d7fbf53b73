"""What a plugin put in the place of other people's functions: seen by whose code stands there.

No module of ours, and none of Python's, ever takes anything out of a plugin that did not come with the appliance. Where one of those
has a function, a class or an object of such a plugin, the plugin put it there, at its import or later.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import FunctionType, MethodType, ModuleType
from typing import Any

from appliance.host.leftovers import belongs

#: It offers what the demo's plugin is made of.
_KIT = "appliance.testing"


@dataclass(frozen=True, slots=True)
class Patch:
    """One place.

    Attributes:
        plugin: whose code stands there.
        place: "time.sleep", "appliance.core.clock.SystemClock.sleep".
    """

    plugin: str
    place: str


def find(
    modules: Iterable[ModuleType], stranger_of: Callable[[str], str], builtin: Callable[[str], bool]
) -> Iterator[Patch]:
    """Every place in `modules` where a stranger's code stands that is not its own.

    Args:
        modules: those that are loaded.
        stranger_of: the stranger whose code the module of a name holds, or "".
        builtin: whether the module of a name is the appliance's, its plugins included.
    """
    for module in modules:
        name = module.__name__
        home = stranger_of(name)
        # Libraries and other strangers may have imported it from there under its own name; so does our kit for tests.
        imports = belongs(_KIT, name) or (not builtin(name) and not _pythons(name))
        for attribute, value in list(vars(module).items()):
            if issubclass(type(value), type) and _written_in(value) == name:
                for member, inner in list(type.__getattribute__(value, "__dict__").items()):
                    if (plugin := stranger_of(_written_in(inner))) and plugin != home:
                        yield Patch(plugin, f"{name}.{attribute}.{member}")
            elif (plugin := stranger_of(_written_in(value))) and plugin != home:
                imported = imports and attribute == _own_name(value)
                if not imported:
                    yield Patch(plugin, f"{name}.{attribute}")


def _own_name(value: Any) -> str:
    """Under which it was defined; a class may have a metaclass, whose code is not run for it."""
    if issubclass(type(value), type):
        return str(type.__getattribute__(value, "__name__"))
    return str(value.__name__) if type(value) is FunctionType else ""


def worth_a_look(stranger_of: Callable[[str], str], builtin: Callable[[str], bool]) -> list[ModuleType]:
    """The modules that are loaded and that nobody may change: ours, Python's, installed libraries and strangers. Not programs, nor tests."""
    return [
        module
        for name, module in list(sys.modules.items())
        if type(module) is ModuleType
        and (builtin(name) or _pythons(name) or stranger_of(name) or _is_library(module))
    ]


def made_by(package: str) -> list[str]:
    """Places of ours and of Python's where the code of a module, or of any in a package, stands."""

    def owner(name: str) -> str:
        return package if belongs(package, name) else ""

    def ours(name: str) -> bool:
        return name.startswith(("appliance.", "appliance_")) and not owner(name)

    modules = [module for module in worth_a_look(owner, ours) if not _is_library(module)]
    return sorted({patch.place for patch in find(modules, owner, ours)})


def _pythons(name: str) -> bool:
    return name.partition(".")[0] in sys.stdlib_module_names


def _is_library(module: ModuleType) -> bool:
    file = str(getattr(module, "__file__", None) or "")
    return "/site-packages/" in file or "/dist-packages/" in file


def _written_in(value: Any) -> str:
    """Name of the module that the code of a value is in; nothing of the value's own is run for it."""
    for _ in range(5):
        if type(value) is FunctionType:
            return str(value.__globals__.get("__name__", ""))
        if issubclass(type(value), type):  # `isinstance` would ask the value
            return str(type.__getattribute__(value, "__module__"))
        if type(value) in (staticmethod, classmethod, MethodType):
            value = value.__func__
        elif type(value) is property:
            value = value.fget
        elif type(value) is functools.partial or type(value) is functools.cached_property:
            value = value.func
        else:
            break
    return str(type(value).__module__)
