"""Rules as people write them in TOML, checked with errors that say where and what would be right, compiled for the child."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from appliance.api.errors import Invalid
from appliance_inspector.judging.facts import FIELDS

SHIPPED = Path(__file__).with_name("rules.toml")
MOST_RULES = 200
MOST_FILE_BYTES = 1 << 20
#: Whom packets are counted for, beside a field.
BY = ("source", "prefix", "everybody")
_TESTS = ("not", "at_least", "at_most", "contains")

Value = bool | int | float | str


def _nearest(word: str, known: Sequence[str]) -> str:
    import difflib

    close = difflib.get_close_matches(word, known, 1)
    return f'; did you mean "{close[0]}"?' if close else f"; there are {', '.join(known)}"


class Rule(BaseModel):
    """One rule: packets that match, so many within a while, from one source."""

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    title: Annotated[str, Field(min_length=1, max_length=120)]
    why: Annotated[str, Field(max_length=600)] = ""
    severity: Literal["low", "medium", "high"] = "medium"
    when: Annotated[dict[str, Any], Field(min_length=1, max_length=16)]
    by: str = "prefix"
    count: Annotated[int, Field(ge=1, le=1_000_000_000)] = 1
    count_of: str = ""
    within_s: Annotated[float, Field(ge=0.1, le=86_400)] = 60
    remedy: Literal["ignore", "limit", "none"] = "none"

    @field_validator("when")
    @classmethod
    def _conditions(cls, when: dict[str, Any]) -> dict[str, Any]:
        for field, asked in when.items():
            if field not in FIELDS:
                raise ValueError(f'there is no field "{field}"{_nearest(field, list(FIELDS))}')
            list(_tests(field, asked))
        return when

    @field_validator("by", "count_of")
    @classmethod
    def _field(cls, name: str, info: Any) -> str:
        known = [*BY, *FIELDS] if info.field_name == "by" else ["", *FIELDS]
        if name not in known:
            raise ValueError(f'there is no "{name}"{_nearest(name, known)}')
        return name

    def compiled(self) -> dict[str, Any]:
        """As the child takes it."""
        when = [test for field, asked in self.when.items() for test in _tests(field, asked)]
        return {
            "id": self.id, "when": when, "by": self.by, "count": self.count, "count_of": self.count_of,
            "within_s": self.within_s,
        }  # fmt: skip


def _tests(field: str, asked: Any) -> list[tuple[str, str, Any]]:
    """The tests that stand for one line under `when`.

    Raises:
        ValueError: with what would be right.
    """
    kind, about = FIELDS[field]
    if isinstance(asked, dict):
        if not asked:
            raise ValueError(f"{field}: expected a test such as {{ at_least = 2 }}")
        found = []
        for test, value in asked.items():
            if test not in _TESTS:
                raise ValueError(f'{field}: there is no test "{test}"{_nearest(test, _TESTS)}')
            if (test == "contains") != (kind is str) and test != "not":
                raise ValueError(f"{field} is {about}: {test} makes no sense for it")
            found.append((field, test, _value(field, value)))
        return found
    if isinstance(asked, list):
        return [(field, "in", [_value(field, value) for value in asked])]
    return [(field, "is", _value(field, asked))]


def _value(field: str, value: Any) -> Value:
    kind, about = FIELDS[field]
    right = isinstance(value, bool) == (kind is bool) and isinstance(
        value, (kind, int) if kind is float else kind
    )
    if not right:
        named = {bool: "true or false", int: "a number", float: "a number", str: "text in quotes"}[kind]
        raise ValueError(f"{field} is {about}: expected {named}, got {value!r}")
    assert isinstance(value, (bool, int, float, str))
    return value


def read_rules(path: Path) -> tuple[Rule, ...]:
    """The rules in a file.

    Raises:
        Invalid: everything that is wrong with it, a line for each.
    """
    try:
        if path.stat().st_size > MOST_FILE_BYTES:
            raise Invalid(f"{path}: larger than {MOST_FILE_BYTES:,} bytes")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{path}: cannot be read: {error}") from error
    return parse_rules(text, str(path))


def parse_rules(text: str, name: str) -> tuple[Rule, ...]:
    """The rules in a text; `name` is what errors call it.

    Raises:
        Invalid: everything that is wrong with it, a line for each.
    """
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Invalid(f"{name}: no TOML: {error}") from error
    listed = document.get("rule", [])
    if set(document) - {"rule"} or not isinstance(listed, list) or len(listed) > MOST_RULES:
        raise Invalid(f"{name}: expected up to {MOST_RULES} tables [[rule]] and nothing else")
    rules: list[Rule] = []
    problems: list[str] = []
    for number, written in enumerate(listed):
        try:
            rule = Rule.model_validate(written)
        except ValidationError as error:
            for one in error.errors(include_url=False):
                key = str(one["loc"][0]) if one["loc"] else ""
                what = one["msg"].removeprefix("Value error, ")
                problems.append(f"{name}:{_line(text, number, key)}: {key}: {what}")
            continue
        if rule.id in {known.id for known in rules}:
            problems.append(f'{name}:{_line(text, number, "id")}: id: there is a rule "{rule.id}" already')
        rules.append(rule)
    if problems:
        raise Invalid("\n".join(problems))
    return tuple(rules)


def _line(text: str, number: int, key: str) -> int:
    """Where `key` of the rule number `number` stands, or the rule itself."""
    seen, begin = -1, 1
    for at, line in enumerate(text.splitlines(), 1):
        if re.match(r"\s*\[\[\s*rule\s*\]\]", line):
            seen += 1
            if seen > number:
                break
            begin = at
        elif seen == number and re.match(rf"\s*\[?\s*(rule\.)?[\"']?{re.escape(key)}[\"']?\s*[\]=.]", line):
            return at
    return begin


def all_rules(own: Path | None, without: Sequence[str] = ()) -> tuple[Rule, ...]:
    """The shipped rules and the user's; one of the user's takes the place of a shipped one with the same id.

    Raises:
        Invalid: the user's file makes no sense.
    """
    users = read_rules(own) if own else ()
    mine = {rule.id for rule in users}
    shipped = (rule for rule in read_rules(SHIPPED) if rule.id not in mine)
    return tuple(rule for rule in (*shipped, *users) if rule.id not in without)
