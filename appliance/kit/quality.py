"""The graded checklist of a plugin: `quality.toml` beside its code says what is done, what is to do, what does not apply.

What a machine can see is looked at and not believed (`appliance.kit.measure`); the rest is the author's word.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Final

#: Rules by level, each with what it asks. Who has done (or need not do) all of a level and of those below it, has reached it.
RULES: Final = {
    "bronze": {
        "config-documented": "every key of the configuration has a default that works, a sentence and a unit",
        "tests": "its own tests cover what it promises",
        "contract": "`timeball plugin test` passes",
        "readme": "a page says what it is for, how it is configured and what it needs",
    },
    "silver": {
        "health-check": "a health check says when it does not do its work",
        "says-what-it-does": "ctx.status tells people in one line what it does or waits for",
        "errors-read-like-help": "what a user can do wrong is told with what would be right",
        "schemas": "every operation that answers JSON says what it looks like (`returns`)",
    },
    "gold": {
        "typed": "mypy --strict finds nothing",
        "no-public-change": "nothing changes without somebody who may",
        "retention": "what it writes down does not grow for ever",
        "manual": "a page of the manual explains it, and its examples run in the tests",
    },
}
LEVELS: Final = tuple(RULES)
#: Which check of the contract a rule of the checklist may exempt from.
_CHECK_OF: Final = {"no-public-change": "routes"}


@dataclass(frozen=True, slots=True)
class Quality:
    """How good a plugin is.

    Attributes:
        level: the highest level of which everything is done or exempt; "" below bronze.
        todo: rules that are open.
        exempt: reason by rule.
        faults: what is wrong with the checklist itself.
        seen: rules that were looked at and hold.
        refuted: what was seen instead, by rule that the checklist calls done.
        why: what is missing, by open rule that was looked at.
    """

    level: str = ""
    todo: tuple[str, ...] = ()
    exempt: tuple[tuple[str, str], ...] = ()
    faults: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    refuted: tuple[tuple[str, str], ...] = ()
    why: tuple[tuple[str, str], ...] = ()

    def missing(self) -> dict[str, str]:
        """What the next level still asks, by rule: what was seen, else what the rule wants."""
        ahead = next((level for level in RULES if set(RULES[level]) & set(self.todo)), "")
        seen = {**dict(self.why), **dict(self.refuted)}
        return {
            rule: seen.get(rule, asks) for rule, asks in RULES.get(ahead, {}).items() if rule in self.todo
        }


def read(text: str) -> Quality:
    """The checklist in `text`; what cannot be understood is a fault, and counts as open."""
    try:
        tables = tomllib.loads(text)
    except ValueError as error:
        return Quality(faults=(f"quality.toml is not TOML: {error}",), todo=_all())
    todo: list[str] = []
    exempt: list[tuple[str, str]] = []
    faults = [f"there is no level {name!r}" for name in tables if name not in RULES]
    for level, rules in RULES.items():
        said = tables.get(level, {})
        said = said if isinstance(said, dict) else {}
        faults += [f"there is no rule {level}.{name}" for name in said if name not in rules]
        for rule in rules:
            answer = said.get(rule, "todo")
            if answer == "done":
                continue
            if isinstance(answer, dict) and set(answer) == {"exempt"} and str(answer["exempt"]).strip():
                exempt.append((rule, str(answer["exempt"])))
                continue
            if answer != "todo":
                faults.append(f'{level}.{rule}: "done", "todo" or {{ exempt = "why" }}, not {answer!r}')
            todo.append(rule)
    return Quality(_reached(todo), tuple(todo), tuple(exempt), tuple(faults))


def judged(claimed: Quality | None, measured: Mapping[str, str]) -> Quality:
    """The checklist beside what was seen.

    What was seen to hold is done, whatever the checklist says. What was seen not to hold is open, unless an exemption with its reason says
    that it need not. The rest is as it was claimed, and open where nobody claims anything.

    Args:
        claimed: the plugin's own checklist; None when it has none.
        measured: "" or what is wrong, by rule that could be looked at.
    """
    claims = claimed or read("")
    exempt = tuple((rule, why) for rule, why in claims.exempt if measured.get(rule) != "")
    excused = {rule for rule, _ in exempt}
    false = {rule: why for rule, why in measured.items() if why and rule not in excused}
    todo = tuple(
        rule for rule in _all() if rule in false or (rule in claims.todo and measured.get(rule) != "")
    )
    return replace(
        claims,
        level=_reached(todo),
        todo=todo,
        exempt=exempt,
        seen=tuple(rule for rule in _all() if measured.get(rule) == ""),
        refuted=tuple((rule, why) for rule, why in false.items() if rule not in claims.todo),
        why=tuple((rule, why) for rule, why in false.items() if rule in claims.todo),
    )


def _reached(todo: Collection[str]) -> str:
    reached = ""
    for level, rules in RULES.items():
        if set(rules) & set(todo):
            break
        reached = level
    return reached


def of_module(module: ModuleType | None) -> Quality | None:
    """The checklist beside a plugin's code; None when it has none."""
    text = text_of(module)
    return None if text is None else read(text)


def text_of(module: ModuleType | None) -> str | None:
    """Its text; None when there is none. One that cannot be read is as good as one that says nothing."""
    file = getattr(module, "__file__", None)
    path = Path(file).with_name("quality.toml") if file else None
    if path is None or Path(file or "").name != "__init__.py" or not path.is_file():
        return None
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def exemptions(module: ModuleType) -> dict[str, str]:
    """Checks of the contract that the plugin's checklist exempts it from, with its reasons."""
    quality = of_module(module)
    return {_CHECK_OF[rule]: why for rule, why in (quality.exempt if quality else ()) if rule in _CHECK_OF}


def as_dict(quality: Quality | None) -> dict[str, Any] | None:
    """For the API: level, what the next one asks, and where each of it comes from."""
    if quality is None:
        return None
    return {
        "level": quality.level, "todo": list(quality.todo), "missing": quality.missing(),
        "exempt": dict(quality.exempt), "faults": list(quality.faults),
        "seen": list(quality.seen), "refuted": dict(quality.refuted),
    }  # fmt: skip


def _all() -> tuple[str, ...]:
    return tuple(rule for rules in RULES.values() for rule in rules)
