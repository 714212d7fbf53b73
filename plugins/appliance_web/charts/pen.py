"""Commands of a path, each place told from the one before.

Neighbours are near, so steps are short and alike, and compress well: with places told from the corner, a page with three charts
of 400 points is more than a server sends before it first hears back, and a telephone sees it a round trip later.
"""

from __future__ import annotations

from collections.abc import Sequence


class Pen:
    """Writes one path. Places are kept in halves of a pixel, which nobody sees missing, as whole numbers: no error adds up."""

    def __init__(self) -> None:
        self._commands: list[str] = []
        self._x = self._y = 0

    def move(self, x: float, y: float) -> None:
        """Begin at a place."""
        self._step("m", x, y)

    def line(self, x: float, y: float) -> None:
        """Draw to a place."""
        self._step("l", x, y)

    def across(self, x: float) -> None:
        """Draw to the left or to the right."""
        before, self._x = self._x, round(2 * x)
        self._commands.append(f"h{(self._x - before) / 2:g}")

    def down(self, y: float) -> None:
        """Draw up or down."""
        before, self._y = self._y, round(2 * y)
        self._commands.append(f"v{(self._y - before) / 2:g}")

    def dot(self, x: float, y: float) -> None:
        """A line of no length, of which only the caps are seen."""
        self._step("m", x, y)
        self._commands.append("h0")

    def band(self, places: Sequence[tuple[float, float, float]]) -> None:
        """Draw around what lies between the upper and the lower value at each place: across, top, bottom."""
        (x, y, _), *rest = places
        self.move(x, y)
        for across, top, _ in rest:
            self.line(across, top)
        for across, _, bottom in reversed(places):
            self.line(across, bottom)
        self._commands.append("z")
        self._x, self._y = round(2 * x), round(2 * y)  # where it began

    @property
    def commands(self) -> str:
        """All of them so far; "" when nothing was drawn."""
        return "".join(self._commands)

    def _step(self, command: str, x: float, y: float) -> None:
        before_x, before_y = self._x, self._y
        self._x, self._y = round(2 * x), round(2 * y)
        self._commands.append(f"{command}{(self._x - before_x) / 2:g} {(self._y - before_y) / 2:g}")
