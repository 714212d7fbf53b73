"""The navigation: every page that says that it belongs there, for those who may open it, in groups that fit a screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from appliance.api.actor import KEPT_AREAS, Actor
from appliance.core.routes import Mounted
from appliance_web import words

#: Above the links of each group; "first" needs no word, it stands in the head of the page.
GROUPS = {"pool": "Pool", "box": "This box"}
#: So few fit a row, whatever their group.
FEW = 6
#: A plugin's title must not push everything else off the row.
_LONGEST = 24


@dataclass(frozen=True, slots=True)
class Entry:
    """One link."""

    name: str
    path: str
    here: bool


@dataclass(frozen=True, slots=True)
class Navigation:
    """What the head of a page shows.

    Attributes:
        first: links in the row.
        groups: (title, links) that are folded away.
        here: name of the current page when it is among those, or "".
    """

    first: Sequence[Entry] = ()
    groups: Sequence[tuple[str, Sequence[Entry]]] = ()
    here: str = ""


def navigation(actor: Actor | None, routes: Iterable[Mounted], here: str = "") -> Navigation:
    """What a reader can go to.

    Args:
        actor: the reader; None is one of whom nothing is known, and who is shown what is no secret that it exists.
        routes: of all plugins.
        here: path of the current page's entry.
    """
    shown = [
        (m.route.menu, m.path)
        for m in routes
        if m.route.menu is not None and m.route.method == "GET" and _may_open(actor, m)
    ]
    shown.sort(key=lambda s: (s[0].order, s[0].name))
    by_group: dict[str, list[Entry]] = {}
    for menu, path in shown:
        entry = Entry(words.printable(menu.name)[:_LONGEST], path, path == here)
        by_group.setdefault(menu.group if len(shown) > FEW else "first", []).append(entry)
    groups = [(title, by_group[group]) for group, title in GROUPS.items() if group in by_group]
    found = next((e.name for _, entries in groups for e in entries if e.here), "")
    return Navigation(by_group.get("first", ()), groups, found)


def _may_open(actor: Actor | None, mounted: Mounted) -> bool:
    if actor is None:
        return mounted.scope.partition(":")[0] not in KEPT_AREAS
    return actor.may(mounted.scope) or bool(mounted.route.own and actor.may_own(mounted.scope))
