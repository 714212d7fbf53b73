"""Changes single keys of a TOML document and leaves every other byte as a person wrote it.

Only the text of the changed value is replaced (ADR on editing says why not the whole document): comments, order, blank lines,
line ends and a byte order mark stay. What comes out is read again, and must say exactly what was asked for.
"""

from __future__ import annotations

import copy
import difflib
import itertools
import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from appliance.core.config import MISSING, look_up
from appliance.core.toml_positions import Outline, Path, Statement, outline

#: What a key is changed to when it shall not be set any more.
UNSET: Any = type("Unset", (), {"__repr__": lambda _: "UNSET"})()

#: A list longer than this is written with one entry a line.
_WIDE = 90
_BOM = "\ufeff"


class CannotEdit(Exception):
    """This document cannot be changed by a program without risk; the message says why in words."""


def edit(text: str, changes: Iterable[tuple[Path, Any]]) -> str:
    """The document after all `changes`, (path, value or UNSET) each.

    Raises:
        CannotEdit: the document is written in a way in which the change cannot be made.
    """
    bom = _BOM if text.startswith(_BOM) else ""
    body = text.removeprefix(_BOM)
    crlf = "\r\n" in body
    body = body.replace("\r\n", "\n")
    said = Counter(_comments(body))
    expected = tomllib.loads(body)
    for path, value in changes:
        expected = changed(expected, path, value)
        body = _unset(body, path) if value is UNSET else _set(body, path, value)
    try:
        result = tomllib.loads(body)
    except ValueError as error:
        raise CannotEdit(f"the change would leave a document that cannot be read ({error})") from None
    if _without_empty(result) != _without_empty(expected):
        raise CannotEdit(
            "the tables of this document are written in a way that only a person can change safely"
        )
    if said - Counter(_comments(body)):
        raise CannotEdit("the change would lose a comment")
    return bom + (body.replace("\n", "\r\n") if crlf else body)


def changed(values: Mapping[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """A copy of nested `values` in which `path` is `value`, or is gone.

    Raises:
        CannotEdit: the path leads through something that is no table or list, or past the end of a list.
    """
    copied: dict[str, Any] = copy.deepcopy(dict(values))
    here: Any = copied
    for part, below in itertools.pairwise(path):
        if isinstance(part, str) and isinstance(here, dict):
            if value is UNSET and part not in here:
                return copied
            here = here.setdefault(part, {} if isinstance(below, str) else [])
        elif isinstance(part, int) and isinstance(here, list) and part < len(here):
            here = here[part]
        else:
            raise CannotEdit(f"{part!r} of {path!r} is not there")
    last = path[-1]
    if isinstance(here, dict) and isinstance(last, str):
        if value is UNSET:
            here.pop(last, None)
        else:
            here[last] = copy.deepcopy(value)
    elif isinstance(here, list) and isinstance(last, int) and last <= len(here):
        here[last : last + 1] = [] if value is UNSET else [copy.deepcopy(value)]
    else:
        raise CannotEdit(f"{last!r} of {path!r} is not there")
    return copied


def written(value: Any) -> str:
    """A value as TOML; a long list has one entry a line."""
    text: str = _item(value).as_string()
    if isinstance(value, (list, tuple)) and value and len(text) > _WIDE:
        text = "[\n" + "".join(f"  {_item(entry).as_string()},\n" for entry in value) + "]"
    return text


def _item(value: Any) -> Any:
    import tomlkit  # half a megabyte, for a box whose settings somebody changes

    if isinstance(value, Mapping):
        table = tomlkit.inline_table()
        for key, inner in value.items():
            table.append(key, _item(inner))
        return table
    if isinstance(value, (list, tuple)):
        array = tomlkit.array()
        for entry in value:
            array.append(_item(entry))
        return array
    return tomlkit.item(value)


# -- one change ---------------------------------------------------------------------------------------------------------


def _set(text: str, path: Path, value: Any) -> str:
    old = look_up(tomllib.loads(text), path)
    if old is not MISSING and _same(old, value):
        return text
    plan = outline(text)
    pair = _holding(plan, path)
    if pair is not None:
        inner = path[len(pair.path) :]
        whole = look_up(tomllib.loads(text), pair.path)
        new = changed({"": whole}, ("", *inner), value)[""] if inner else value
        return _replaced(text, plan, pair, new)
    if isinstance(value, Mapping) and (old is MISSING or isinstance(old, Mapping)):
        for key in old if old is not MISSING else ():
            if key not in value:
                text = _unset(text, (*path, key))
        for key, entry in value.items():
            text = _set(text, (*path, key), entry)
        if not value and old is MISSING:
            text = _new_section(text, outline(text), path, f"[{_key(path)}]\n")
        return text
    if _are_tables(value) and (old is MISSING or _are_tables(old) or old == []):
        return _set_elements(text, path, [] if old is MISSING else old, value)
    if old is not MISSING:  # tables stand where the value belongs
        return _set(_unset(text, path), path, value)
    return _added(text, path, value)


def _unset(text: str, path: Path) -> str:
    if look_up(tomllib.loads(text), path) is MISSING:
        return text
    plan = outline(text)
    pair = _holding(plan, path)
    if pair is not None and len(pair.path) < len(path):
        whole = look_up(tomllib.loads(text), pair.path)
        return _replaced(text, plan, pair, changed({"": whole}, ("", *path[len(pair.path) :]), UNSET)[""])
    for statement in reversed(plan.statements):
        if statement.path[: len(path)] == path:
            text = _cut(text, plan, statement)
    return text


def _holding(plan: Outline, path: Path) -> Statement | None:
    """The pair whose value is, or holds, what stands at `path`."""
    return next((s for s in plan.statements if s.kind == "pair" and path[: len(s.path)] == s.path), None)


def _replaced(text: str, plan: Outline, pair: Statement, value: Any) -> str:
    """The pair with another value; comments inside the old one move above it."""
    begin, end = pair.value
    inside = [text[a:b] for a, b in plan.comments if begin <= a < end]
    line = text.rfind("\n", 0, pair.start) + 1
    indent = text[line : pair.start]
    above = "".join(f"{indent}{comment}\n" for comment in inside)
    return text[:line] + above + text[line:begin] + written(value) + text[end:]


def _cut(text: str, plan: Outline, statement: Statement) -> str:
    """Without the statement's lines; its comments stay as lines of their own."""
    start = text.rfind("\n", 0, statement.start) + 1
    end = _line_end(text, statement.end)
    kept = [text[a:b] for a, b in plan.comments if start <= a < end]
    return text[:start] + "".join(f"{comment}\n" for comment in kept) + text[end:]


# -- new keys and tables ------------------------------------------------------------------------------------------------


def _added(text: str, path: Path, value: Any) -> str:
    """A key that does not stand in the document yet, at the end of its table."""
    plan = outline(text)
    parent = path[:-1]
    section = [s for s in plan.statements if s.table == parent]
    if section:
        last = section[-1]
        line = text[text.rfind("\n", 0, last.start) + 1 : last.start] if last.kind == "pair" else ""
        return _insert(text, _line_end(text, last.end), f"{line}{_key(path[-1:])} = {written(value)}\n")
    if not parent:
        first = next((s for s in plan.statements if s.kind != "pair"), None)
        at = len(text) if first is None else text.rfind("\n", 0, first.start) + 1
        return _insert(text, at, f"{_key(path)} = {written(value)}\n")
    dotted = [s for s in plan.statements if s.kind == "pair" and s.path[: len(parent)] == parent]
    dotted = [s for s in dotted if len(s.table) < len(parent)]
    if dotted:  # the table is made of dotted keys: so is the new one
        last = dotted[-1]
        line = f"{_key(path[len(last.table) :])} = {written(value)}\n"
        return _insert(text, _line_end(text, last.end), line)
    return _new_section(text, plan, parent, f"[{_key(parent)}]\n{_key(path[-1:])} = {written(value)}\n")


def _new_section(text: str, plan: Outline, path: Path, section: str) -> str:
    """A header with its keys, behind the tables that it is nearest to."""
    at = len(text)
    for length in range(len(path), 0, -1):
        near = [s for s in plan.statements if s.path[:length] == path[:length]]
        if near:
            at = _behind(text, plan, near[-1])
            break
    return _insert(text, at, ("\n" if text[:at].strip() else "") + section)


def _insert(text: str, at: int, lines: str) -> str:
    before = text[:at]
    if before and not before.endswith("\n"):
        before += "\n"
    return before + lines + text[at:]


def _behind(text: str, plan: Outline, statement: Statement) -> int:
    """Where a table can begin after a statement without coming between it and what is said about it.

    A comment directly below belongs to the statement, one directly above the next statement to that; below the last statement all
    is about what is there already, or about the whole file.
    """
    end = _line_end(text, statement.end)
    following = next((s.start for s in plan.statements if s.start > statement.end), None)
    if following is None:
        return len(text)
    at = end
    for line in text[end : text.rfind("\n", 0, following) + 1].splitlines(keepends=True):
        if not line.strip():
            return at
        at += len(line)
    return end


def _line_end(text: str, at: int) -> int:
    """Behind the end of the line that `at` is in."""
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1


def _key(path: Path) -> str:
    import tomlkit

    return ".".join(tomlkit.key(str(part)).as_string() for part in path if isinstance(part, str))


# -- arrays of tables ---------------------------------------------------------------------------------------------------


def _set_elements(text: str, path: Path, old: Sequence[Any], new: Sequence[Any]) -> str:
    """Turn the elements of [[path]] into `new`, touching only those that differ; from the last to the first."""
    matcher = difflib.SequenceMatcher(None, [_sign(e) for e in old], [_sign(e) for e in new], autojunk=False)
    for kind, a, b, c, d in reversed(matcher.get_opcodes()):
        if kind == "equal":
            continue
        both = min(b - a, d - c)
        for element in new[c + both : d][::-1]:
            text = _insert_element(text, path, a + both, element)
        for index in range(b - 1, a + both - 1, -1):
            text = _unset(text, (*path, index))
        for i in range(both - 1, -1, -1):
            text = _set(text, (*path, a + i), new[c + i])
    if not new and not old:
        text = _added(text, path, [])
    return text


def _insert_element(text: str, path: Path, index: int, element: Mapping[str, Any]) -> str:
    """A new element before the one that is `index` now, or at the end."""
    plan = outline(text)
    section = f"[[{_key(path)}]]\n" + "".join(f"{_key((k,))} = {written(v)}\n" for k, v in element.items())
    here = [s for s in plan.statements if s.path[: len(path)] == path]
    if not here or index == 0:
        following = next((s for s in here if s.kind == "element"), None)
        if following is None:
            return _new_section(text, plan, path, section)
        return _insert(text, text.rfind("\n", 0, following.start) + 1, section + "\n")
    before = [s for s in here if s.path[: len(path) + 1] == (*path, index - 1)]
    return _insert(text, _behind(text, plan, before[-1]), "\n" + section)


def _are_tables(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(e, Mapping) for e in value)


def _sign(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _same(a: Any, b: Any) -> bool:
    """Equal, and `1`, `1.0` and `true` are three things."""
    return type(a) is type(b) and bool(a == b) and _sign(a) == _sign(b)


def _comments(text: str) -> list[str]:
    return [text[a:b] for a, b in outline(text).comments]


def _without_empty(value: Any) -> Any:
    """Without tables that say nothing: whether [plugins] stands there makes no difference."""
    if isinstance(value, Mapping):
        pairs = ((key, _without_empty(inner)) for key, inner in value.items())
        return {key: inner for key, inner in pairs if inner != {}}
    if isinstance(value, (list, tuple)):
        return [_without_empty(entry) for entry in value]
    return value
