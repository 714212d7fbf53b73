"""Libraries that others import and we do not use: they are read when somebody asks them for something, if ever."""

from __future__ import annotations

import sys
import threading
from importlib import util
from types import ModuleType
from typing import Any, Final

#: Three megabytes for nothing at rest: a parser of dates for sqlite-utils' recipes, and words that look alike, for errors alone.
SELDOM: Final = ("dateutil.parser", "difflib")

_reading = threading.RLock()
_begun: set[str] = set()


class _Late(ModuleType):
    """A module that is imported and not read. The standard library's own is read by the next import of it until Python 3.12."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked of every module by those who look through all: not what it is for
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        with _reading:
            if self.__name__ not in _begun:
                _begun.add(self.__name__)
                assert self.__spec__ is not None
                assert self.__spec__.loader is not None
                self.__spec__.loader.exec_module(self)
                self.__class__ = ModuleType  # type: ignore[assignment]
        return ModuleType.__getattribute__(self, name)


def import_late(*names: str) -> None:
    """Let the first use of these modules read them, whoever imports them before.

    One that is read already stays as it is, and one that is not there is left to whoever imports it. No other thread may run yet.
    """
    for name in names:
        try:
            spec = None if name in sys.modules else util.find_spec(name)
        except ModuleNotFoundError:  # nor is the package that it would be in
            continue
        if spec is not None and spec.loader is not None:
            module = util.module_from_spec(spec)
            module.__class__ = _Late
            sys.modules[name] = module
            package, _, last = name.rpartition(".")
            if package:
                setattr(sys.modules[package], last, module)
