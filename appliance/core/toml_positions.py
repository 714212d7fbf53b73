"""Where each key of a TOML document stands: `tomllib` gives values without lines, and people need the line."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import dataclass
from typing import Literal

Path = tuple[str | int, ...]
Position = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Statement:
    """One header or one key with its value. Offsets count characters from the document's beginning.

    Attributes:
        kind: "table" for [a.b], "element" for [[a.b]], "pair" for a key.
        path: what it defines, from the root.
        table: the table whose header stands above it; of a header itself, its own path.
        start: of the header or key.
        value: where a pair's value begins and ends, (0, 0) for headers.
        end: of what it says, without a comment behind it.
    """

    kind: Literal["table", "element", "pair"]
    path: Path
    table: Path
    start: int
    value: tuple[int, int]
    end: int


@dataclass(frozen=True, slots=True)
class Outline:
    """A document's statements in order, and where its comments stand (from "#" to before the line's end)."""

    statements: tuple[Statement, ...]
    comments: tuple[tuple[int, int], ...]


def positions(text: str) -> dict[Path, Position]:
    """Map each key path of a valid TOML document to (line, column), both from 1.

    Elements of arrays of tables carry their index: ("plugins", "members", "member", 0, "address"). Keys inside inline
    tables are not listed; look their nearest listed parent up instead.
    """
    return _Scanner(text).scan()


def outline(text: str) -> Outline:
    r"""Where every statement and comment of a valid TOML document begins and ends; its lines end in "\n" alone."""
    scanner = _Scanner(text)
    scanner.scan()
    return Outline(tuple(scanner.statements), tuple(scanner.comments))


def locate(found: dict[Path, Position], path: Path) -> Position | None:
    """The position of `path`, or of its nearest parent that stands in the document."""
    for length in range(len(path), 0, -1):
        if path[:length] in found:
            return found[path[:length]]
    return None


def _unquoted(key: str) -> str:
    """The name in a quoted key, its escapes resolved."""
    return next(iter(tomllib.loads(f"{key} = 0"))) if "\\" in key and key[0] == '"' else key[1:-1]


class _Scanner:
    """One pass over a document that `tomllib` has already accepted, so the grammar need not be checked again."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._line_start = 0
        self._table: Path = ()
        self._elements: Counter[Path] = Counter()
        self._found: dict[Path, Position] = {}
        self._value_end = 0
        self.statements: list[Statement] = []
        self.comments: list[tuple[int, int]] = []

    def scan(self) -> dict[Path, Position]:
        while self._skip_blank():
            here = (self._line, self._at - self._line_start + 1)
            start = self._at
            if self._text.startswith("[[", self._at):
                self._at += 2
                self._open_element(self._keys("]"), here)
                self._told("element", self._table, start, (0, 0), self._at + 1)  # behind the second "]"
                self._skip_line()
            elif self._text[self._at] == "[":
                self._at += 1
                self._table = self._resolve(self._keys("]"))
                for length in range(1, len(self._table) + 1):
                    self._found.setdefault(self._table[:length], here)
                self._told("table", self._table, start, (0, 0), self._at)
                self._skip_line()
            else:
                keys = self._keys("=")
                for length in range(1, len(keys) + 1):
                    self._found.setdefault(self._table + tuple(keys[:length]), here)
                while self._text[self._at] in " \t":
                    self._at += 1
                begin = self._at
                self._skip_value()
                self._told(
                    "pair", self._table + tuple(keys), start, (begin, self._value_end), self._value_end
                )
        return self._found

    def _told(
        self,
        kind: Literal["table", "element", "pair"],
        path: Path,
        start: int,
        value: tuple[int, int],
        end: int,
    ) -> None:
        self.statements.append(Statement(kind, path, self._table, start, value, end))

    def _open_element(self, keys: list[str], here: Position) -> None:
        array = (*self._resolve(keys[:-1]), keys[-1])
        self._found.setdefault(array, here)
        self._table = (*array, self._elements[array])
        self._elements[array] += 1
        self._found[self._table] = here

    def _resolve(self, keys: list[str]) -> Path:
        """A header such as [a.b] below [[a]] means the last element of a."""
        path: Path = ()
        for key in keys:
            path = (*path, key)
            if self._elements[path]:
                path = (*path, self._elements[path] - 1)
        return path

    def _skip_blank(self) -> bool:
        """Move to the next key or header; False at the end."""
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == "#":
                self._skip_line()
            elif char in " \t\r\n":
                self._step()
            else:
                return True
        return False

    def _step(self) -> None:
        if self._text[self._at] == "\n":
            self._line += 1
            self._line_start = self._at + 1
        self._at += 1

    def _skip_line(self) -> None:
        """Move to the line's end: over nothing, blanks or a comment."""
        start = self._text.find("#", self._at, self._line_end())
        self._at = self._line_end()
        if start >= 0:
            self.comments.append((start, self._at))

    def _line_end(self) -> int:
        end = self._text.find("\n", self._at)
        return len(self._text) if end < 0 else end

    def _keys(self, end: str) -> list[str]:
        """A dotted key, up to and with `end`."""
        keys: list[str] = []
        bare = ""
        while (char := self._text[self._at]) != end:
            if char in "\"'":
                start = self._at
                self._skip_string()
                keys.append(_unquoted(self._text[start : self._at]))
                bare = ""
            elif char == ".":
                if bare:
                    keys.append(bare)
                bare = ""
                self._at += 1
            else:
                bare += char.strip()
                self._at += 1
        if bare:
            keys.append(bare)
        self._at += 1
        return keys

    def _skip_value(self) -> None:
        depth = 0
        while self._at < len(self._text):
            char = self._text[self._at]
            if char in "\"'":
                self._skip_string()
                self._value_end = self._at
                continue
            if char == "#":
                self._skip_line()
                continue
            if not char.isspace():
                self._value_end = self._at + 1
            if char in "[{":
                depth += 1
            elif char in "]}":
                depth -= 1
            elif char == "\n" and depth == 0:
                return
            self._step()

    def _skip_string(self) -> None:
        quote = self._text[self._at]
        long = self._text.startswith(quote * 3, self._at)
        end = quote * 3 if long else quote
        self._at += len(end)
        while not self._text.startswith(end, self._at):
            if self._text[self._at] == "\\" and quote == '"':
                self._step()
            self._step()
        self._at += len(end)
        # Up to two more quotes may belong to the content of a long string: """a""""".
        while long and self._text.startswith(quote, self._at):
            self._at += 1
