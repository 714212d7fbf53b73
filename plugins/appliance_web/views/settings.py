"""The settings in words: what a change does, what became of it, and its difference line by line."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appliance.dataplane.interface import Endpoint
from appliance_web import words
from appliance_web.views.standing import Sentence, Shape


@dataclass(frozen=True, slots=True)
class Table:
    """One card of the settings."""

    id: str
    title: str
    keys: int
    changed: Sequence[str]
    locked: int


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the history."""

    id: int
    ts: float
    actor: str
    keys: Sequence[str]
    shape: Shape
    word: str
    why: str
    waiting: bool
    open: bool
    left_s: float | None
    undoes: int | None
    files: Sequence[str]
    effects: Sequence[str]


_STATES: Mapping[str, tuple[Shape, str]] = {
    "kept": ("ok", "in force"),
    "reverted": ("failing", "taken back"),
    "waiting": ("degraded", "waits for you"),
    "watching": ("none", "being watched"),
    "applying": ("none", "being made"),
}


def tables(found: Sequence[Mapping[str, Any]]) -> list[Table]:
    """From the API's answer; the appliance first, then by title."""
    made = [
        Table(str(t["id"]), str(t["title"]), int(t["keys"]), t["changed"], len(t["locked"])) for t in found
    ]
    return [made[0], *sorted(made[1:], key=lambda t: t.title)] if made else []


def change(entry: Mapping[str, Any]) -> Change:
    """From the API's answer."""
    shape, word = _STATES.get(str(entry["state"]), ("none", str(entry["state"])))
    return Change(
        id=int(entry["id"]),
        ts=float(entry["ts"]),
        actor=str(entry["actor"]),
        keys=[str(key) for key in entry["keys"]],
        shape=shape,
        word=word,
        why=str(entry["why"]),
        waiting=entry["state"] == "waiting",
        open=entry["state"] in ("waiting", "watching", "applying"),
        left_s=entry["left_s"],
        undoes=entry["undoes"],
        files=entry["files"],
        effects=effects([{**e, "plugin": str(e["key"]).split(".")[1]} for e in entry["effects"]]),
    )


def sentence(found: Sequence[Table], history: Sequence[Mapping[str, Any]], broken: str) -> Sentence:
    """The head of the settings page."""
    if broken:
        return Sentence("failing", "The configuration on the disk cannot be used.", broken)
    waiting = next((e for e in history if e["state"] == "waiting"), None)
    if waiting is not None:
        return Sentence("degraded", f"Change {waiting['id']} is taken back unless you confirm it.")
    count = sum(len(t.changed) for t in found)
    text = (
        f"{words.plural(count, 'setting')} differ from the defaults."
        if count != 1
        else "1 setting differs from its default."
    )
    if not count:
        text = "Everything is at its default."
    return Sentence("none", text, "Every change is checked first, shown to you, and can be taken back.")


def effects(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a change does, one sentence for each kind."""
    live = [str(e["key"]) for e in found if e["how"] == "live"]
    plugins = sorted({str(e["plugin"]) for e in found if e["how"] == "plugin"})
    process = [str(e["key"]) for e in found if e["how"] == "process"]
    told = []
    if live:
        told.append(
            f"{_names(live)} {'takes' if len(live) == 1 else 'take'} effect at once, without interruption."
        )
    if plugins and not process:
        many = len(plugins) > 1
        told.append(
            f"The plugin{'s' * many} {_names(plugins)} start{'s' * (not many)} again; everything else goes on."
        )
    if process:
        told.append(f"The whole appliance starts again for {_names(process)}: a few seconds without answers.")
    return told


def diff_lines(diff: str) -> list[tuple[str, str]]:
    """(class, line): "add", "del", "file", "place" or ""."""
    found = []
    for line in diff.split("\n") if diff else ():
        if line.startswith(("---", "+++")):
            found.append(("file", line))
        elif line.startswith("@@"):
            found.append(("place", line))
        else:
            found.append(({"+": "add", "-": "del"}.get(line[:1], ""), line))
    return found


def overlaid(values: Mapping[str, Any], body: Mapping[str, Any], table: str) -> dict[str, Any]:
    """Values as they are now, with what somebody wanted to change on top."""
    result: dict[str, Any] = copy.deepcopy(dict(values))
    for key, value in body.get("set", {}).items():
        here: Any = result
        *way, last = key.removeprefix(f"{table}.").split(".")
        for part in way:
            here = here.setdefault(part, {})
        here[last] = value
    return result


def address(scheme: str, endpoint: Endpoint, host: str) -> str:
    """The address of pages on `endpoint`, for a reader who calls this box `host` now."""
    name = host if endpoint.host in ("0.0.0.0", "::") else endpoint.host  # noqa: S104 - a comparison
    bracketed = f"[{name}]" if ":" in name and not name.startswith("[") else name
    return f"{scheme}://{bracketed}:{endpoint.port}"


def _names(found: Sequence[str]) -> str:
    return ", ".join(found[:-1]) + f" and {found[-1]}" if len(found) > 1 else found[0]
