"""Families as text: the classic format and OpenMetrics 1.0, as github.com/prometheus/docs describes them.

`prometheus_client` writes the same, letter for letter (the tests hold us to it), but asks anew for every line whether names
are names and escapes the same labels in every scrape: with 500 servers that is most of the work of the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from prometheus_client.core import Sample

Labels = tuple[str, ...]
#: Up to here Python and Go write a number alike.
_ALIKE: Final = 1e6


@dataclass(frozen=True, slots=True)
class Family:
    """One metric with all its series; named and made like a family of `prometheus_client`, whose encoders take it too.

    Attributes:
        name: with our prefix and without "_total".
        documentation: its help, one line.
        type: "counter" or "gauge".
        labels: the names of its labels.
        series: value by label values.
    """

    name: str
    documentation: str
    type: Literal["counter", "gauge"]
    labels: Labels = ()
    series: Mapping[Labels, float] = field(default_factory=dict)
    unit: str = ""

    @property
    def exposed(self) -> str:
        """The name of its series."""
        return f"{self.name}_total" if self.type == "counter" else self.name

    @property
    def samples(self) -> Sequence[Sample]:
        """Its series one by one, for who uses `prometheus_client` on them."""
        from prometheus_client.core import Sample

        return [
            Sample(self.exposed, dict(zip(self.labels, key, strict=True)), value)
            for key, value in self.series.items()
        ]


class Scribe:
    """Writes pages of families, and knows the labels of the last page by heart."""

    def __init__(self) -> None:
        self._written: dict[str, dict[Labels, str]] = {}

    def page(self, families: Iterable[Family], *, open_metrics: bool) -> bytes:
        """All of them as UTF-8 text."""
        lines: list[str] = []
        written: dict[str, dict[Labels, str]] = {}
        for family in families:
            name = family.name if open_metrics else family.exposed
            told = family.documentation.replace("\\", r"\\").replace("\n", r"\n")
            lines.append(f"# HELP {name} {_escaped(family.documentation) if open_metrics else told}\n")
            lines.append(f"# TYPE {name} {family.type}\n")
            written[family.name] = self._series(family, lines)
        self._written = written
        if open_metrics:
            lines.append("# EOF\n")
        return "".join(lines).encode()

    def _series(self, family: Family, lines: list[str]) -> dict[Labels, str]:
        """Append a line for each series; returns what stands before each value."""
        before = self._written.get(family.name, {})
        heads = {key: before.get(key) or _head(family, key) for key in family.series}
        lines += [
            f"{heads[key]} {value!r}\n" if 0.0 <= value < _ALIKE else f"{heads[key]} {_far(value)}\n"
            for key, value in family.series.items()
        ]
        return heads


def _head(family: Family, values: Labels) -> str:
    """Name and labels of a series, the labels in the order of their names."""
    pairs = sorted(zip(family.labels, values, strict=True))
    said = ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs)
    return f"{family.exposed}{{{said}}}" if said else family.exposed


def _far(value: float) -> str:
    from prometheus_client.utils import floatToGoString  # a box that nobody scrapes does without

    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]
    return text


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
