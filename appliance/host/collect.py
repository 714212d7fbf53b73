"""Calls hooks, one plugin at a time, so that every result and every failure has a name."""

from __future__ import annotations

import contextlib
import graphlib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from appliance.api.contrib import (
    AnswerSource,
    HealthCheck,
    LiveName,
    Metric,
    Migration,
    PacketPolicy,
    Panel,
    ProbeKind,
    Retention,
    Route,
    ScoreRule,
)
from appliance.core.contained import contained, in_time
from appliance.host.loader import Loaded, Plugins

#: The hooks that return contributions, with the type of each item.
CONTRIBUTIONS: dict[str, type] = {
    "migrations": Migration,
    "retention": Retention,
    "routes": Route,
    "panels": Panel,
    "probe_kinds": ProbeKind,
    "score_rules": ScoreRule,
    "answer_sources": AnswerSource,
    "live_names": LiveName,
    "packet_policies": PacketPolicy,
    "metrics": Metric,
    "health_checks": HealthCheck,
}

#: Contributions of one kind that a plugin may make.
MOST_ITEMS = 10_000


@contextlib.contextmanager
def _kept(loaded: Loaded, hook: str) -> Iterator[None]:
    """A stranger's hook neither ends the process nor holds it up for ever."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(contained(cancelling=True))
        if not loaded.builtin:
            stack.enter_context(in_time(f'the plugin {loaded.id}, in its hook "{hook}",'))
        yield


def call(plugins: Plugins, loaded: Loaded, hook: str, **arguments: Any) -> Any:
    """Call `hook` of one plugin; its value, or None when it does not implement it.

    Raises what the plugin raises.

    Raises:
        Escaped, TookTooLong: it wanted to end the process, or did not come to an end itself.
    """
    others = [p for p in plugins.manager.get_plugins() if p is not loaded.module]
    with _kept(loaded, hook):
        results = plugins.manager.subset_hook_caller(hook, remove_plugins=others)(**arguments)
    return results[0] if results else None


def collect(plugins: Plugins, loaded: Loaded, ctx: Any) -> dict[str, tuple[Any, ...]]:
    """Everything that one plugin contributes, by hook.

    Raises:
        TypeError: it returned something of the wrong type.
    """
    contributions = {}
    for hook, kind in CONTRIBUTIONS.items():
        if hook not in loaded.hooks:
            continue
        result = call(plugins, loaded, hook, ctx=ctx)
        if result is None:
            continue
        if not isinstance(result, Iterable):
            raise TypeError(f'"{hook}" returned {type(result).__name__}, not a list of {kind.__name__}')
        with _kept(loaded, hook):
            items = tuple(itertools.islice(result, MOST_ITEMS + 1))
        if len(items) > MOST_ITEMS:
            raise TypeError(f'"{hook}" returned more than {MOST_ITEMS:,} of {kind.__name__}')
        for item in items:
            if not isinstance(item, kind):
                raise TypeError(f'"{hook}" returned a {type(item).__name__} where a {kind.__name__} belongs')
        contributions[hook] = items
    return contributions


def order(loaded: Iterable[Loaded]) -> list[Loaded]:
    """Dependency order: providers before those that require them, `after` respected; ours first, otherwise by id.

    A plugin in a cycle gets its `error` set and is left out.
    """
    by_id = {p.id: p for p in loaded}
    provider = {kind: p.id for p in by_id.values() for kind in _info(p).provides}
    while True:
        graph = graphlib.TopologicalSorter[str]()
        for plugin_id in sorted(by_id):
            info = _info(by_id[plugin_id])
            needed = {provider[k] for k in info.requires if k in provider} | {
                a for a in info.after if a in by_id
            }
            graph.add(plugin_id, *sorted(needed - {plugin_id}))
        try:
            graph.prepare()
        except graphlib.CycleError as cycle:
            ring = cycle.args[1]
            for plugin_id in set(ring):
                by_id.pop(plugin_id).error = "requires itself in a ring: " + " -> ".join(ring)
            continue
        sequence: list[str] = []
        ready: list[tuple[bool, int, str]] = []
        while graph.is_active():
            # Ours before anybody's: what takes the path of another is the one that fails, and not the pages.
            ready += [(not by_id[p].builtin, len(sequence), p) for p in graph.get_ready()]
            ready.sort()
            sequence.append(ready.pop(0)[2])
            graph.done(sequence[-1])
        return [by_id[plugin_id] for plugin_id in sequence]


def _info(loaded: Loaded) -> Any:
    assert loaded.info is not None
    return loaded.info
