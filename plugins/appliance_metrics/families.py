"""From what plugins contribute to metric families; a metric that fails costs itself and nothing else."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from appliance.api.contrib import Metric
from appliance.api.foreign import visible
from appliance_metrics.text import Family, Labels

PREFIX: Final = "timeball_"
ERRORS: Final = "metric_errors_total"
#: A family with more series than this is a mistake of its author, and a danger to the database that scrapes it.
MAX_SERIES: Final = 20_000

_NAME = re.compile(r"[a-z][a-z0-9_]*[a-z0-9]")
_LABEL = re.compile(r"[a-z][a-z0-9_]*")


class BadMetric(ValueError):
    """A metric that cannot be shown; the message says why."""


class Collector:
    """Reads all metrics.

    Attributes:
        failing: for each (plugin, metric) that could not be read last time, why.
    """

    def __init__(self, log: logging.Logger) -> None:
        self.failing: dict[tuple[str, str], str] = {}
        self._errors: dict[tuple[str, str], int] = {}
        self._log = log
        #: Series of the last time, whose labels need no second look.
        self._series: dict[str, Mapping[Labels, float]] = {}

    def collect(self, contributed: Iterable[tuple[str, Metric]]) -> Iterator[Family]:
        """Every family that can be read, then the count of those that could not."""
        owners: dict[str, str] = {}
        failing: dict[tuple[str, str], str] = {}
        series: dict[str, Mapping[Labels, float]] = {}
        for plugin, metric in contributed:
            try:
                family = family_of(metric, self._series.get(metric.name, {}))
                # "x" and "x_total" are one name in the exposition format, so compare what the format compares.
                if family.name in owners:
                    raise BadMetric(f"its name is taken by the plugin {owners[family.name]}")
                owners[family.name] = plugin
            except Exception as error:  # noqa: BLE001 - a stranger's function may raise anything
                self._note(failing, plugin, metric.name, error)
            else:
                series[metric.name] = family.series
                yield family
        self.failing = failing
        self._series = series
        yield self._error_family()

    def _note(self, failing: dict[tuple[str, str], str], plugin: str, name: str, error: Exception) -> None:
        key = (plugin, name)
        failing[key] = str(error) if isinstance(error, BadMetric) else f"{type(error).__name__}: {error}"
        self._errors[key] = self._errors.get(key, 0) + 1
        if key not in self.failing:  # the change of state, not the state for ever
            self._log.error("the metric %s of the plugin %s cannot be read: %s", name, plugin, failing[key],
                            exc_info=None if isinstance(error, BadMetric) else error)  # fmt: skip

    def _error_family(self) -> Family:
        return Family(
            PREFIX + ERRORS.removesuffix("_total"),
            "Failed attempts to read a metric, by the plugin that contributes it",
            "counter",
            ("plugin", "metric"),
            {key: float(count) for key, count in self._errors.items()},
        )


def family_of(metric: Metric, known: Collection[Labels] = ()) -> Family:
    """Read one metric; `known` are label values that were found good before.

    Raises:
        BadMetric: its name, labels or values cannot be shown.
        Exception: whatever its `read` raises.
    """
    _check_names(metric)
    values = metric.read()
    if not metric.labels:
        if not isinstance(values, int | float):
            raise BadMetric(f"expected a number, got {type(values).__name__}")
        series: Mapping[Labels, float] = {(): _number(metric, values)}
    elif isinstance(values, int | float):
        raise BadMetric("it has labels: expected pairs of label values and a number")
    else:
        series = _series(metric, values, known)
    name = PREFIX + metric.name.removesuffix("_total")
    return Family(name, metric.help, metric.kind, tuple(metric.labels), series)


def _check_names(metric: Metric) -> None:
    if metric.name.startswith(PREFIX) or not _NAME.fullmatch(metric.name):
        raise BadMetric("a name has lower-case letters, digits and underscores, and leaves the prefix away")
    if not isinstance(metric.help, str) or not metric.help.isprintable():
        raise BadMetric("its help is not one line of text")
    if metric.kind not in {"counter", "gauge"}:
        raise BadMetric(f"unknown kind {metric.kind!r}")
    if (metric.kind == "counter") != metric.name.endswith("_total"):
        raise BadMetric("counters end in _total, and nothing else does")
    if any(not _LABEL.fullmatch(label) or label in {"le", "quantile"} for label in metric.labels):
        raise BadMetric(f"labels {metric.labels} are not all lower-case words")


def _series(
    metric: Metric, values: Iterable[tuple[Labels, float]], known: Collection[Labels]
) -> Mapping[Labels, float]:
    """Values by labels, each combination once: a scrape with a series twice is refused as a whole."""
    series: dict[Labels, float] = {}
    for labels, value in values:
        key = labels if type(labels) is tuple and labels in known else _key(metric, labels)
        if key in series:
            raise BadMetric(f"the series {key} comes twice")
        series[key] = _number(metric, value)
        if len(series) > MAX_SERIES:
            raise BadMetric(f"more than {MAX_SERIES} series")
    return series


def _key(metric: Metric, labels: Labels) -> Labels:
    # A lone surrogate, such as from a file name, would break the page when it is encoded. The format itself lets everything
    # through that a terminal obeys.
    key = tuple(visible(str(label).encode("utf-8", "replace").decode(), keep="\n") for label in labels)
    if isinstance(labels, str) or len(key) != len(metric.labels):
        raise BadMetric(f"expected values for the labels {metric.labels}, got {labels!r}")
    return key


def _number(metric: Metric, value: Any) -> float:
    number = float(value)
    if metric.kind == "counter" and not (math.isfinite(number) and number >= 0):
        raise BadMetric(f"a counter cannot be {number}")
    return number
