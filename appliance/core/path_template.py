"""The path of a route: fixed text with parameters in it, such as `/members/{id}` or `/help/{page:[a-z/]+}`.

There are some hundreds, and most are never asked for: a template without parameters is compared as text, one with parameters
becomes a regular expression when a path begins as it does.
"""

from __future__ import annotations

import re

_PARAMETER = re.compile(r"\{(\w+)(?::([^{}]+))?\}")


class PathTemplate:
    """One template.

    Attributes:
        text: as it was written.
        parameters: their names, in order.
        shape: the same for templates that take the same paths, whatever they call their parameters.
    """

    __slots__ = ("_begin", "_pattern", "parameters", "shape", "text")

    def __init__(self, text: str) -> None:
        """Take a template apart.

        Raises:
            re.error: a parameter's pattern is no regular expression, or its name is none or there twice.
        """
        found = list(_PARAMETER.finditer(text))
        self.text = text
        self.parameters = tuple(parameter[1] for parameter in found)
        self.shape = _PARAMETER.sub("{}", text)
        self._begin = text[: found[0].start()] if found else text
        self._pattern: re.Pattern[str] | None = None
        plain = all(parameter[2] is None and parameter[1].isidentifier() for parameter in found)
        if not plain or len(set(self.parameters)) < len(found):
            self._pattern = _compile(text)  # what is wrong with it is said now

    def match(self, path: str) -> dict[str, str] | None:
        """The parameters of a path that it takes, still quoted; None when it does not take it."""
        if not path.startswith(self._begin):
            return None
        if not self.parameters:
            return {} if path == self.text else None
        if self._pattern is None:
            self._pattern = _compile(self.text)
        found = self._pattern.fullmatch(path)
        return None if found is None else found.groupdict()

    @property
    def specificity(self) -> tuple[bool, int, str]:
        """Sort key: fixed paths before those with parameters, long before short."""
        return bool(self.parameters), -len(self.shape) + 2 * len(self.parameters), self.text


def _compile(path: str) -> re.Pattern[str]:
    text, at = "", 0
    for found in _PARAMETER.finditer(path):
        text += re.escape(path[at : found.start()]) + f"(?P<{found[1]}>{found[2] or '[^/]+'})"
        at = found.end()
    return re.compile(text + re.escape(path[at:]))
