"""Plugins as people see them: state, reason, what they do for the box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appliance.api.model import Level
from appliance_web import words
from appliance_web.views import overview
from appliance_web.views.standing import Sentence, Shape, number

_SHAPES: Mapping[str, Shape] = {
    "running": "ok",
    "starting": "none",
    "loaded": "none",
    "backoff": "degraded",
    "failed": "failing",
    "stopping": "paused",
    "stopped": "paused",
    "disabled": "paused",
}
_WORDS = {"backoff": "will try again"}
_RANK: Mapping[Shape, int] = {"failing": 0, "degraded": 1, "none": 2, "ok": 3, "paused": 4}


@dataclass(frozen=True, slots=True)
class PluginRow:
    """One plugin; every text may be hostile.

    Attributes:
        level: of its quality, as far as it was seen here; "" below the lowest.
        missing: what the next level asks, rule and why.
        refuted: rules that its checklist calls done and that were seen not to be.
    """

    id: str
    title: str
    shape: Shape
    word: str
    why: str
    text: str
    since: float | None
    restarts: int
    strikes: int
    version: str
    origin: str
    hooks: Sequence[str]
    contributions: Sequence[str]
    parts: int
    faults: Sequence[str] = ()
    level: str = ""
    missing: Sequence[tuple[str, str]] = ()
    refuted: Sequence[str] = ()


def rows(found: Sequence[Mapping[str, Any]]) -> list[PluginRow]:
    """From the answer of /api/v1/plugins; those in trouble first."""
    made = [_row(p) for p in found]
    return sorted(made, key=lambda r: (_RANK[r.shape], r.id))


def _row(p: Mapping[str, Any]) -> PluginRow:
    state = str(p.get("state", ""))
    contributions = p.get("contributions") or {}
    quality = p.get("quality") or {}
    return PluginRow(
        id=str(p.get("id", "")),
        title=str(p.get("title", "")),
        shape=_SHAPES.get(state, "none"),
        word=_WORDS.get(state, state),
        why=str(p.get("why", "")),
        # One without a task of its own has nothing to report.
        text=str(p.get("text", "")) or ("at work when it is asked" if state == "running" else ""),
        since=p.get("since") or None,
        restarts=int(p.get("restarts") or 0),
        strikes=int(p.get("strikes") or 0),
        version=str(p.get("version", "")),
        origin=str(p.get("origin", "")),
        parts=sum(int(n) for n in contributions.values()),
        faults=[str(f) for f in p.get("faults") or ()],
        level=str(quality.get("level") or ""),
        missing=[(str(rule), str(why)) for rule, why in (quality.get("missing") or {}).items()],
        refuted=[str(rule) for rule in quality.get("refuted") or ()],
        hooks=[str(h) for h in p.get("hooks") or ()],
        contributions=[
            words.plural(
                int(n), *_NOUNS.get(str(hook), (str(hook).replace("_", " "), str(hook).replace("_", " ")))
            )
            for hook, n in contributions.items()
            if n
        ],
    )


_NOUNS = {
    "routes": ("route", "routes"),
    "panels": ("card", "cards"),
    "metrics": ("metric", "metrics"),
    "migrations": ("migration", "migrations"),
    "retention": ("kept table", "kept tables"),
    "probe_kinds": ("kind of probe", "kinds of probe"),
    "score_rules": ("score rule", "score rules"),
    "answer_sources": ("answer source", "answer sources"),
    "live_names": ("live name", "live names"),
    "packet_policies": ("packet policy", "packet policies"),
    "health_checks": ("health check", "health checks"),
}


def problems(box: Mapping[str, Any]) -> dict[str, list[tuple[Shape, str]]]:
    """What health says of each plugin besides its state: shape and sentence by its id."""
    found: dict[str, list[tuple[Shape, str]]] = {}
    health = overview.health(box)
    for problem in health.problems if health is not None else ():
        shape: Shape = "failing" if problem.level is Level.FAILING else "degraded"
        found.setdefault(problem.source, []).append((shape, problem.text))
    return found


def host_facts(box: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the host says of itself, only what says something."""
    facts: list[tuple[str, str]] = _how_it_runs(box)
    if lag := box.get("loop_lag"):
        culprit = f", by {lag['last_culprit']}" if lag.get("last_culprit") else ""
        worst = words.seconds(number(lag.get("worst_s")))
        facts.append(
            ("Event loop", f"{words.seconds(number(lag.get('last_s')))} late now, {worst} at worst{culprit}")
        )
    for key, value in (box.get("store") or {}).items():
        label = f"Store: {key.removesuffix('_bytes').replace('_', ' ')}"
        if value:
            facts.append((label, words.size(number(value)) if key.endswith("_bytes") else str(value)))
    facts += [
        (f"Events lost by {who}", words.count(lost))
        for who, lost in (box.get("bus_dropped") or {}).items()
        if lost
    ]
    return facts


def _how_it_runs(box: Mapping[str, Any]) -> list[tuple[str, str]]:
    plane, process = box.get("plane"), box.get("process")
    if not plane or not process:
        return []
    sandbox = plane.get("sandbox") or {}
    privileges = ", ".join(process.get("capabilities") or ()) or "no privileges"
    facts = [
        ("Data plane", f"{plane['name']}: {plane['why']}"),
        ("Packet threads", f"{words.count(plane.get('workers', 1))} for each address"),
        ("Their sandbox", "in force" if sandbox.get("on") else f"not in force: {sandbox.get('why', '')}"),
        ("Runs as", f"{process['user']} ({privileges})"),
    ]
    return facts + [(f"Advice: {one['text']}", one["remedy"]) for one in box.get("advice") or ()]


def sentence(found: Sequence[PluginRow]) -> Sentence:
    """All plugins in one sentence."""
    if not found:
        return Sentence("failing", "The host does not say which plugins there are.")
    wanted = [r for r in found if r.shape != "paused"]
    running = sum(r.shape == "ok" for r in wanted)
    failed = [r for r in wanted if r.shape == "failing"]
    if failed:
        names = ", ".join(r.title or r.id for r in failed)
        return Sentence(
            "failing",
            f"{running} of {len(wanted)} plugins are running; {len(failed)} failed.",
            f"{names}: see why below.",
        )
    if running < len(wanted):
        return Sentence(
            "degraded", f"{running} of {len(wanted)} plugins are running; the others are on their way."
        )
    return Sentence("ok", f"All {len(wanted)} plugins are running.")
