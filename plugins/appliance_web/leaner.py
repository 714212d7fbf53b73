"""Scripts of ours without what only their authors read: comments, indentation, spaces around punctuation.

No name is changed and no line is joined with another, so that what a browser reports can be found in the source.
"""

from __future__ import annotations

import re

#: What may stand beside a space that means nothing. Not + and - (`a + +b`), not / (a regular expression).
_PUNCTUATION = re.compile(r"[{}()\[\];,:?=<>&|]")
_SPACE = re.compile(r"[ \t]+")
_TEXT = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'')
_COMMENT = re.compile(r"//[^\n]*|/\*[^*\n]*\*/")
_WORD = re.compile(r"[^\s{}()\[\];,:?=<>&|\"'`/]+")


def lean(script: str) -> str:
    """Make a script lean. A division is told from a regular expression by the spaces around it: ours has them.

    Raises:
        ValueError: a text over several lines, a comment over several lines, or a regular expression; none of ours has one.
    """
    lines = []
    for number, line in enumerate(script.splitlines(), 1):
        try:
            lines.append(_line(line.strip()))
        except ValueError as error:
            raise ValueError(f"line {number}, {error}: {line.strip()[:60]}") from None
    return "\n".join(line for line in lines if line)


def _line(line: str) -> str:
    parts: list[str] = []
    at = 0
    while at < len(line):
        if found := _COMMENT.match(line, at):
            at = found.end()
        elif found := _SPACE.match(line, at):
            at = found.end()
            beside = (line[found.start() - 1 : found.start()], line[at : at + 1])
            needless = any(map(_PUNCTUATION.fullmatch, beside)) or _COMMENT.match(line, at) is not None
            needless = needless and beside != ("<", "!")  # together with -- they begin a comment
            parts.append("" if needless else " ")
        elif found := _TEXT.match(line, at) or _WORD.match(line, at) or _PUNCTUATION.match(line, at):
            parts.append(found[0])
            at = found.end()
        elif line[at] == "`":
            end = _template(line, at)
            parts.append(line[at:end])
            at = end
        elif line[at] == "/" and line[at - 1 : at + 2] == " / ":
            parts.append("/")
            at += 1
        else:
            raise ValueError("a text over several lines, or a regular expression")
    return "".join(parts)


def _template(line: str, at: int) -> int:
    """Where the template that begins at `at` ends, with the templates within it."""
    at += 1
    while at < len(line):
        if line[at] == "`":
            return at + 1
        if line[at] == "\\":
            at += 2
        elif line.startswith("${", at):
            at = _inserted(line, at + 2)
        else:
            at += 1
    raise ValueError("a text over several lines")


def _inserted(line: str, at: int) -> int:
    """Where the `${…}` whose inside begins at `at` ends."""
    depth = 1
    while at < len(line):
        if found := _TEXT.match(line, at):
            at = found.end()
        elif line[at] == "`":
            at = _template(line, at)
        else:
            depth += {"{": 1, "}": -1}.get(line[at], 0)
            at += 1
            if not depth:
                return at
    raise ValueError("a text over several lines")
