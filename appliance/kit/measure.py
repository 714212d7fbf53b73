"""Looks at what a plugin claims in its checklist: whatever a machine can see is seen, and not believed."""

from __future__ import annotations

import ast
import contextlib
import functools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from appliance.api.contrib import HealthCheck, Retention, Route

if TYPE_CHECKING:
    import sqlite_utils

    from appliance.api.services import Store
    from appliance.host.loader import Loaded

#: What was found of a rule: "" when it holds, else why it does not. A rule that nobody could look at is not there.
Measured = Mapping[str, str]

#: A page of fewer letters says nothing.
_SHORT: Final = 200
#: Larger sources than these are not read through: it would take a small box too long.
_MOST_BYTES: Final = 2_000_000


@dataclass(frozen=True, slots=True)
class Seen:
    """What an appliance shows of a plugin that it has set up.

    Attributes:
        contributions: what it contributes, by hook.
        growing: its append-only tables without a `Retention`.
    """

    contributions: Mapping[str, Sequence[Any]]
    growing: tuple[str, ...] = ()


async def seen(contributed: Mapping[str, Mapping[str, Sequence[Any]]], store: Store) -> dict[str, Seen]:
    """Look at plugins in a running appliance: by each one's ID, what it contributes."""
    growing: dict[str, list[str]] = {}
    for table in await store.read(_append_only):
        growing.setdefault(table.partition("__")[0], []).append(table)
    found = {}
    for key, contributions in contributed.items():
        kept = {item.table for item in contributions.get("retention", ()) if isinstance(item, Retention)}
        # The summaries of a kept table are the host's own.
        left = [t for t in growing.get(key, ()) if t not in kept and re.sub(r"_\d+$", "", t) not in kept]
        found[key] = Seen(contributions, tuple(left))
    return found


def _append_only(db: sqlite_utils.Database) -> list[str]:
    """Plugins' tables that have a time in each row."""
    rows = db.execute(
        "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c ON c.name = 'ts'"
        " WHERE m.type = 'table' AND m.name LIKE '%!_!_%' ESCAPE '!'"
    )
    return [name for (name,) in rows]


def measured(loaded: Loaded, found: Seen) -> dict[str, str]:
    """Every rule that can be looked at in a running appliance."""
    return {**of_contributions(loaded, found), **of_files(loaded)}


def of_contributions(loaded: Loaded, found: Seen) -> dict[str, str]:
    """Rules about what it adds to the appliance."""
    return {
        "config-documented": _config(loaded),
        "health-check": "" if _of(found, HealthCheck) else "it has no health check",
        "no-public-change": "; ".join(_public_changes(_of(found, Route))),
        "retention": ", ".join(f"{table} is never deleted from" for table in found.growing),
        "schemas": "; ".join(_undescribed(_of(found, Route))),
    }


def with_contract(
    rules: Measured, outcomes: Iterable[Mapping[str, Any]], tests: Mapping[str, Any] | None
) -> Measured:
    """The same, with what `plugin test` found.

    Args:
        rules: measured before.
        outcomes: of the contract suite, each with "check", "state", "why".
        tests: of its own tests, with "state" and "why"; None when nobody looked for them.
    """
    failed = [f"{entry['check']} failed" for entry in outcomes if entry["state"] == "failed"]
    found = {**rules, "contract": ", ".join(failed)}
    if tests is not None and not (tests["state"] == "skipped" and "not installed" in tests["why"]):
        found["tests"] = "" if tests["state"] == "passed" else str(tests["why"]).splitlines()[-1]
    return found


def _of(found: Seen, kind: type[Any]) -> list[Any]:
    return [item for items in found.contributions.values() for item in items if isinstance(item, kind)]


def _config(loaded: Loaded) -> str:
    from appliance.testing.contract.described import undocumented

    assert loaded.info is not None
    return "; ".join(undocumented(loaded.info.config)) if loaded.info.config is not None else ""


def _public_changes(routes: Iterable[Route]) -> Iterator[str]:
    from appliance.testing.contract.answers import public_changes

    return public_changes(routes)


def _undescribed(routes: Iterable[Route]) -> Iterator[str]:
    """Operations that answer JSON and do not say what it looks like."""
    for route in routes:
        silent = route.page or route.stream or route.status == 204 or "application/json" not in route.produces
        if not silent and route.returns is None:
            yield f"{route.method} {route.path} does not say what it returns"


# -- what its files say -----------------------------------------------------------------------------------------------


def of_files(loaded: Loaded) -> dict[str, str]:
    """Rules about its code and its page; reads them, which is work for a thread."""
    module = loaded.module
    assert module is not None
    sources = _sources(module)
    found = {"readme": _page(loaded)}
    if loaded.builtin:
        found["manual"] = found["readme"]
    if sources:
        speaks = "run" not in loaded.hooks or any(".status(" in text for _, text in sources)
        found["says-what-it-does"] = "" if speaks else "nothing in it calls ctx.status"
        # Ours are read by the type checker whenever they change. That all is annotated does not prove that it fits.
        if not loaded.builtin and (why := untyped(tuple(sources))):
            found["typed"] = why
    return found


def _file(module: ModuleType) -> Path:
    """Where its code is; a module that was made in memory has no file."""
    return Path(getattr(module, "__file__", None) or "")


def _sources(module: ModuleType) -> list[tuple[str, str]]:
    """Name and text of each file of its code; nothing when they cannot be read, or are too many."""
    file = _file(module)
    if not file.name:
        return []
    paths = sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]
    try:
        if sum(path.stat().st_size for path in paths) > _MOST_BYTES:
            return []
        return [(path.name, path.read_text(encoding="utf-8")) for path in paths]
    except (OSError, ValueError):
        return []


@functools.lru_cache(maxsize=64)
def untyped(sources: tuple[tuple[str, str], ...]) -> str:
    """The first function that does not say what it takes or gives, or ""."""
    for name, text in sources:
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            return f"{name} cannot be parsed"
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and (what := _missing(node)):
                return f"{name}:{node.lineno}: {node.name} does not say what {what}"
    return ""


def _missing(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    a = node.args
    given = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
    first = given[0].arg if given else ""
    bare = [
        one.arg
        for one in given
        if one.annotation is None and not (one.arg == first and first in ("self", "cls"))
    ]
    if bare:
        return f"{bare[0]} is"
    # As the type checker has it: __init__ with typed arguments need not say that it returns nothing.
    return "" if node.returns is not None or (node.name == "__init__" and len(given) > 1) else "it returns"


def _page(loaded: Loaded) -> str:
    """Why nobody can read what it is for, or "": a page of our manual, its README, or the text of its wheel."""
    if loaded.builtin:
        return "" if loaded.id in _ours() else f"no page of the manual speaks of [plugins.{loaded.id}]"
    module = loaded.module
    assert module is not None
    place = _file(module).parent
    if _file(module).name != "__init__.py":  # of one file: its docstring is the page
        return "" if len(module.__doc__ or "") >= 40 else "its docstring does not say what it is for"
    folders = [place, place.parent, *([place.parent.parent] if place.parent.name == "src" else [])]
    texts = [_text(folder / "README.md") for folder in folders]
    with contextlib.suppress(metadata.PackageNotFoundError, ValueError, KeyError):
        found = metadata.metadata(loaded.origin.partition(" ")[0])
        texts.append(str(found.get_payload() or found["Description"] or ""))  # type: ignore[attr-defined]
    return "" if any(len(text) >= _SHORT for text in texts) else "there is no README that says what it is for"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")[:10_000]
    except (OSError, ValueError):
        return ""


#: Pages that are made from the code name every plugin.
_MADE: Final[Collection[str]] = ("keys.md", "commands.md", "operations-list.md")


@functools.cache
def _ours() -> frozenset[str]:
    """Plugins that a page of the manual is about."""
    found: set[str] = set()
    for page in (files("appliance") / "docs").iterdir():
        if page.name.endswith(".md") and page.name not in _MADE:
            found |= {page.name.removesuffix(".md")}
            found |= set(re.findall(r"\[+plugins\.([a-z_]+)", page.read_text(encoding="utf-8")))
    return frozenset(found)
