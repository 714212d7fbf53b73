"""Finds plugins (entry points and drop-in folders) and loads each alone: one that cannot be imported harms nobody."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from appliance.api import hookspecs
from appliance.api.plugin import API, API_MIN, PluginInfo
from appliance.kit.quality import Quality, of_module

GROUP = "appliance.plugins"
OURS = "timeball"


@dataclass(slots=True)
class Loaded:
    """A plugin as far as it could be loaded.

    Attributes:
        id: from its PluginInfo, else the entry point's or file's name.
        origin: where it comes from, for people: "built in", "timeball-foo 1.2", a path.
        module: None when loading failed.
        error: why loading failed, in one sentence.
        detail: the traceback, for the log.
        hooks: names of the hooks it implements.
        quality: its checklist, or None when it has none.
        left_out: there, and not even imported, because of safe mode.
    """

    id: str
    origin: str
    version: str = ""
    module: ModuleType | None = None
    info: PluginInfo | None = None
    error: str = ""
    detail: str = ""
    hooks: tuple[str, ...] = ()
    builtin: bool = False
    quality: Quality | None = None
    left_out: bool = False


@dataclass(slots=True)
class Plugins:
    """All plugins that were found, and the pluggy manager that holds the good ones."""

    manager: pluggy.PluginManager
    found: list[Loaded] = field(default_factory=list)

    def good(self) -> list[Loaded]:
        return [p for p in self.found if p.module is not None and not p.error]


def discover(
    folders: Sequence[Path] = (), *, safe_mode: bool = False, only: Iterable[str] | None = None
) -> Plugins:
    """Load every plugin.

    Args:
        folders: drop-in folders; each `*.py` and each package in them is a plugin.
        safe_mode: leave out everything that did not come with the appliance, without importing it.
        only: load nothing but these ids (tests).
    """
    manager = pluggy.PluginManager("appliance")
    manager.add_hookspecs(hookspecs)
    plugins = Plugins(manager)
    wanted = None if only is None else set(only)
    for name, origin, version, load in _candidates(folders):
        if wanted is not None and name not in wanted:
            continue
        loaded = Loaded(name, origin, version, builtin=origin == "built in")
        if safe_mode and not loaded.builtin:
            loaded.left_out, loaded.error = True, "is left out: safe mode"
            plugins.found.append(loaded)
        else:
            add(plugins, loaded, load)
    return plugins


def strangers(folders: Sequence[Path] = ()) -> list[str]:
    """Plugins that did not come with the appliance, "name (origin)", without importing any."""
    return [f"{name} ({origin})" for name, origin, _, _ in _candidates(folders) if origin != "built in"]


def add(plugins: Plugins, loaded: Loaded, load: Callable[[], ModuleType]) -> Loaded:
    """Import one plugin and check what it says about itself; failure is recorded, never raised."""
    plugins.found.append(loaded)
    try:
        module = load()
    except Exception as error:  # noqa: BLE001 - a stranger's module may raise anything; it is named and left out
        loaded.error = f"cannot be imported: {type(error).__name__}: {error}"
        loaded.detail = traceback.format_exc()
        return loaded
    _keep_hooks(module)
    loaded.error = _check(plugins, loaded, module)
    if not loaded.error:
        loaded.module = module
        loaded.quality = of_module(module)
        plugins.manager.register(module, name=loaded.id)
        loaded.hooks = tuple(sorted(name for name, _ in _implementations(plugins.manager, module)))
    return loaded


def _candidates(folders: Sequence[Path]) -> Iterable[tuple[str, str, str, Callable[[], ModuleType]]]:
    points = sorted(importlib.metadata.entry_points(group=GROUP), key=lambda p: p.name)
    for point in points:
        dist = point.dist.name if point.dist else "?"
        version = point.dist.version if point.dist else ""
        origin = "built in" if dist == OURS else f"{dist} {version}"
        yield point.name, origin, version, point.load
    for folder in folders:
        if not folder.is_dir():
            continue
        for path in sorted(folder.iterdir()):
            source = path / "__init__.py" if path.is_dir() else path
            if source.suffix == ".py" and source.is_file() and not path.name.startswith(("_", ".")):
                yield path.stem, str(path), "", _file_loader(path.stem, source)


def load_file(name: str, source: Path) -> ModuleType:
    """Import one file (or a package's `__init__.py`) as a drop-in folder's would be."""
    return _file_loader(name, source)()


def _file_loader(name: str, source: Path) -> Callable[[], ModuleType]:
    def load() -> ModuleType:
        module_name = f"appliance_dropin_{name}"
        spec = importlib.util.spec_from_file_location(
            module_name,
            source,
            submodule_search_locations=[str(source.parent)] if source.name == "__init__.py" else None,
        )
        if spec is None or spec.loader is None:
            raise ImportError(f"{source} is not a Python module")
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module  # so that dataclasses and pickling find it
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[module_name]
            raise
        return module

    return load


def _check(plugins: Plugins, loaded: Loaded, module: ModuleType) -> str:
    """What is wrong with the plugin in one sentence, or ""."""
    info = getattr(module, "plugin", None)
    if not isinstance(info, PluginInfo):
        return 'has no PluginInfo named "plugin"'
    loaded.info = info
    if not info.id.isidentifier() or info.id != info.id.lower():
        return f'its id "{info.id}" is not a lower-case word'
    if any(other.id == info.id and other is not loaded and not other.error for other in plugins.found):
        return f'the id "{info.id}" is taken by another plugin'
    loaded.id = info.id
    if info.api > API:
        return f"was written for API level {info.api}; this appliance offers {API}: update the appliance"
    if info.api < API_MIN:
        return f"was written for API level {info.api}, which ended; this appliance needs {API_MIN}: update the plugin"
    return _check_hooks(plugins.manager, module)


def _keep_hooks(module: ModuleType) -> None:
    """Give hooks back their names: the function `routes` of a package loses its to `routes.py` when that is imported.

    A module that is loaded again in the same process (tests, a second host) would else have lost the hook.
    """
    hooks = module.__dict__.setdefault(
        "__appliance_hooks__",
        {name: value for name, value in vars(module).items() if hasattr(value, "appliance_impl")},
    )
    for name, function in hooks.items():
        if isinstance(getattr(module, name, None), ModuleType):
            setattr(module, name, function)


def _implementations(manager: pluggy.PluginManager, module: ModuleType) -> Iterable[tuple[str, Any]]:
    for name in dir(module):
        options = manager.parse_hookimpl_opts(module, name)
        if options is not None:
            yield options.get("specname") or name, (getattr(module, name), options)


def _check_hooks(manager: pluggy.PluginManager, module: ModuleType) -> str:
    specs = {name: spec for name, spec in vars(hookspecs).items() if hasattr(spec, "appliance_spec")}
    for hook, (function, options) in _implementations(manager, module):
        if hook not in specs:
            close = difflib.get_close_matches(hook, specs, n=1)
            return f'implements an unknown hook "{hook}"' + (
                f' (did you mean "{close[0]}"?)' if close else ""
            )
        if options["wrapper"] or options["hookwrapper"]:
            return f'"{hook}" is a wrapper; each plugin is called alone, so wrappers have nothing to wrap'
        if inspect.iscoroutinefunction(function) != (hook == "run"):
            return f'"{hook}" must {"" if hook == "run" else "not "}be an async function'
        allowed = set(inspect.signature(specs[hook]).parameters)
        for name, parameter in inspect.signature(function).parameters.items():
            if name not in allowed:
                return f'"{hook}" asks for "{name}", which the host does not give (it gives: {", ".join(sorted(allowed))})'
            if parameter.default is not parameter.empty or parameter.kind is parameter.KEYWORD_ONLY:
                return f'"{hook}" must take "{name}" plainly, without default and not keyword-only'
    return ""
