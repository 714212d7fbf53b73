"""Finds plugins (entry points and drop-in folders) and loads each alone: one that cannot be imported harms nobody."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
import time
import tomllib
import traceback
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
from pydantic import ValidationError

from appliance.api import hookspecs
from appliance.api.foreign import printable
from appliance.api.plugin import API, API_MIN, HOOKS_OF_MODULE, PluginInfo
from appliance.core.contained import contained, in_time
from appliance.kit.quality import Quality, of_module

GROUP = "appliance.plugins"
#: What lies beside a plugin in its folder: private things, and its tests.
_NO_PLUGINS = ("_", ".", "test_", "conftest.")
OURS = "timeball"


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that may be a plugin, and has not been imported yet.

    Attributes:
        name: the entry point's or file's.
        origin: as `Loaded.origin`.
        load: imports it.
        source: file or folder that it consists of, where that is known without importing it.
    """

    name: str
    origin: str
    version: str
    load: Callable[[], ModuleType]
    source: Path | None = None


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
        candidate: where it was found.
        deprecated: hooks and arguments it implements that will go, each with what to use in its place.
        import_s: how long it took to import it.
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
    candidate: Candidate | None = None
    deprecated: tuple[str, ...] = ()
    import_s: float = 0.0


@dataclass(slots=True)
class Plugins:
    """All plugins that were found, and the pluggy manager that holds the good ones."""

    manager: pluggy.PluginManager
    found: list[Loaded] = field(default_factory=list)

    def good(self) -> list[Loaded]:
        return [p for p in self.found if p.module is not None and not p.error]


class _Manager(pluggy.PluginManager):
    """Takes a short look at the names of a module that are no hooks, which nearly all are."""

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        marked = hasattr(vars(plugin).get(name), "appliance_impl")
        return super().parse_hookimpl_opts(plugin, name) if marked else None


def discover(
    folders: Sequence[Path] = (), *, safe_mode: bool = False, only: Iterable[str] | None = None
) -> Plugins:
    """Load every plugin.

    Args:
        folders: drop-in folders; each `*.py` and each package in them is a plugin, tests and what begins with _ aside.
        safe_mode: leave out everything that did not come with the appliance, without importing it.
        only: load nothing but these ids (tests).
    """
    manager = _Manager("appliance")
    manager.add_hookspecs(hookspecs)
    plugins = Plugins(manager)
    wanted = None if only is None else set(only)
    for candidate in _candidates(folders):
        if wanted is not None and candidate.name not in wanted:
            continue
        loaded = _unloaded(candidate)
        if safe_mode and not loaded.builtin:
            loaded.left_out, loaded.error = True, "is left out: safe mode"
            plugins.found.append(loaded)
        else:
            add(plugins, loaded, candidate.load)
    return plugins


def _unloaded(candidate: Candidate) -> Loaded:
    builtin = candidate.origin == "built in"
    # It goes into logs and terminals before anybody has looked at it.
    name = printable(candidate.name, keep="")
    return Loaded(name, candidate.origin, candidate.version, builtin=builtin, candidate=candidate)


def load_again(plugins: Plugins, loaded: Loaded) -> Loaded:
    """Import an edited plugin anew, in place of what was imported before; failure is recorded, never raised."""
    candidate = loaded.candidate
    assert candidate is not None
    assert candidate.source is not None
    if loaded.module is not None:
        plugins.manager.unregister(loaded.module)
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and (Path(file) == candidate.source or candidate.source in Path(file).parents):
            del sys.modules[name]
            # Bytecode is taken for current when second and size agree: two edits in one second would not be seen.
            Path(importlib.util.cache_from_source(file)).unlink(missing_ok=True)
    importlib.invalidate_caches()
    plugins.found.remove(loaded)
    return add(plugins, _unloaded(candidate), candidate.load)


def strangers(folders: Sequence[Path] = ()) -> list[str]:
    """Plugins that did not come with the appliance, "name (origin)", without importing any."""
    return [f"{c.name} ({c.origin})" for c in _candidates(folders) if c.origin != "built in"]


def add(plugins: Plugins, loaded: Loaded, load: Callable[[], ModuleType]) -> Loaded:
    """Import one plugin and check what it says about itself; failure is recorded, never raised."""
    plugins.found.append(loaded)
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(contained(cancelling=True))
            if not loaded.builtin:
                stack.enter_context(
                    in_time(f"the plugin {loaded.id} ({loaded.origin}), while it is imported,")
                )
            began_s = time.monotonic()
            module = load()
            loaded.import_s = time.monotonic() - began_s
            _keep_hooks(module)
            loaded.error = _check(plugins, loaded, module)
    except Exception as error:  # noqa: BLE001 - a stranger's module may raise anything; it is named and left out
        loaded.error = f"cannot be imported: {type(error).__name__}: {error}"
        loaded.detail = traceback.format_exc()
        return loaded
    if not loaded.error:
        loaded.module = module
        loaded.quality = of_module(module)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            plugins.manager.register(module, name=loaded.id)
        loaded.deprecated = tuple(str(warning.message) for warning in caught)
        loaded.hooks = tuple(sorted(name for name, _ in _implementations(plugins.manager, module)))
    return loaded


def _candidates(folders: Sequence[Path]) -> Iterable[Candidate]:
    points = sorted(importlib.metadata.entry_points(group=GROUP), key=lambda p: p.name)
    # Asked for its name, a distribution reads all that it says of itself; most of these are one and the same.
    named: dict[int, tuple[str, str]] = {}
    for point in points:
        if point.dist and id(point.dist) not in named:
            named[id(point.dist)] = point.dist.name, point.dist.version
        dist, version = named[id(point.dist)] if point.dist else ("?", "")
        origin = "built in" if dist == OURS else f"{dist} {version}"
        yield Candidate(point.name, origin, version, point.load)
    for folder in folders:
        if not folder.is_dir():
            continue
        if project := _of_project(folder):
            yield from project
            continue
        for path in sorted(folder.iterdir()):
            source = path / "__init__.py" if path.is_dir() else path
            if source.suffix == ".py" and source.is_file() and not path.name.startswith(_NO_PLUGINS):
                yield Candidate(path.stem, str(path), "", _file_loader(path.stem, source), path)


def _of_project(folder: Path) -> list[Candidate]:
    """The plugins that a project's pyproject.toml names, imported as they will be once they are installed."""
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        points = project["project"]["entry-points"][GROUP]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    root = (folder / "src" if (folder / "src").is_dir() else folder).resolve()
    return [
        Candidate(
            name, str(folder), "", _module_loader(root, str(value)), root / str(value).replace(".", "/")
        )
        for name, value in points.items()
    ]


def _module_loader(root: Path, name: str) -> Callable[[], ModuleType]:
    def load() -> ModuleType:
        if str(root) not in sys.path:
            sys.path.append(str(root))
        return importlib.import_module(name)

    return load


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
    if not (info.id.isascii() and info.id.isidentifier()) or info.id != info.id.lower():
        return f'its id "{info.id}" is not a lower-case word'
    if any(other.id == info.id and other is not loaded and not other.error for other in plugins.found):
        return f'the id "{info.id}" is taken by another plugin'
    loaded.id = info.id
    if info.api > API:
        return f"was written for API level {info.api}; this appliance offers {API}: update the appliance"
    if info.api < API_MIN:
        return f"was written for API level {info.api}, which ended; this appliance needs {API_MIN}: update the plugin"
    return _check_hooks(plugins.manager, module) or _check_config(info)


def _check_config(info: PluginInfo) -> str:
    """A model may refuse what people write, in its own words; it may not fail itself."""
    if info.config is None:
        return ""
    try:
        info.config.model_validate({}, context={"typed": True})
    except ValidationError:
        return ""
    except Exception as error:  # noqa: BLE001 - as above
        return f"cannot be configured: its model fails with {type(error).__name__}: {error}"
    return ""


def _keep_hooks(module: ModuleType) -> None:
    """Give hooks back their names: the function `routes` of a package loses its to `routes.py` when that is imported.

    That may have happened before the package came here (a test of its modules), or when it is loaded again in the same process.
    """
    hooks = vars(module).setdefault(HOOKS_OF_MODULE, {})
    hooks |= {name: value for name, value in vars(module).items() if hasattr(value, "appliance_impl")}
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
