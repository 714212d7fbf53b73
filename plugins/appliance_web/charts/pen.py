"""Commands of a path, each place told from the one before.

Neighbours are near, so steps are short and alike, and compress well: with places told from the corner, a page with three charts
of 400 points is more than a server sends before it first hears back, and a telephone sees it a round trip later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final


class Pen:
    """Writes one path. Places are kept in halves of a pixel, which nobody sees missing, as whole numbers: no error adds up."""

    def __init__(self) -> None:
        self._commands: list[str] = []
        self._x = self._y = 0

    def move(self, x: float, y: float) -> None:
        """Begin at a place."""
        self._through("m", ((x, y),))

    def lines(self, places: Iterable[tuple[float, float]]) -> None:
        """Draw to each place after the other."""
        self._through("l", places)

    def across(self, x: float) -> None:
        """Draw to the left or to the right."""
        before, self._x = self._x, round(2 * x)
        self._commands.append(f"h{_HALVED[self._x - before]}")

    def down(self, y: float) -> None:
        """Draw up or down."""
        before, self._y = self._y, round(2 * y)
        self._commands.append(f"v{_HALVED[self._y - before]}")

    def dots(self, places: Iterable[tuple[float, float]]) -> None:
        """Lines of no length, of which only the caps are seen."""
        self._through("m", places, "h0")

    def band(self, places: Sequence[tuple[float, float, float]]) -> None:
        """Draw around what lies between the upper and the lower value at each place: across, top, bottom."""
        (x, y, _), *rest = places
        self.move(x, y)
        self._through("l", [(across, top) for across, top, _ in rest])
        self._through("l", [(across, bottom) for across, _, bottom in reversed(places)])
        self._commands.append("z")
        self._x, self._y = round(2 * x), round(2 * y)  # where it began

    @property
    def commands(self) -> str:
        """All of them so far; "" when nothing was drawn."""
        return "".join(self._commands)

    def _through(self, command: str, places: Iterable[tuple[float, float]], after: str = "") -> None:
        """The same command to each place; some two thousand of these are most of the work of a page with charts."""
        x, y, add = self._x, self._y, self._commands.append
        for to_x, to_y in places:
            before_x, before_y = x, y
            x, y = round(2 * to_x), round(2 * to_y)
            add(f"{command}{_HALVED[x - before_x]} {_HALVED[y - before_y]}{after}")
        self._x, self._y = x, y


class _Halved(dict[int, str]):
    """Numbers of halves as text, such as "-3.5": nearly all steps are short ones and known; of others nothing is kept."""

    def __missing__(self, halves: int) -> str:
        return f"{halves / 2:g}"


_HALVED: Final = _Halved({halves: f"{halves / 2:g}" for halves in range(-100, 101)})
