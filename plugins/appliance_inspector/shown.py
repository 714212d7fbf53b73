"""What the inspector contributes to the overview page, to /metrics and to /health."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.api.contrib import HealthCheck, Metric, Panel
from appliance.api.model import Level
from appliance_inspector.service import Inspector

_SHOWN = 3
#: So many deaths of the child are more than chance.
_MANY_DEATHS = 3


def panel(inspector: Inspector) -> Panel:
    """The card "Inspector"."""

    async def data() -> Mapping[str, Any]:
        counts, alerts = inspector.counts, inspector.alerts.all()
        facts = [
            ["Samples judged", f"{counts.judged:,}"],
            ["Skipped or lost", f"{counts.skipped + counts.lost:,}"],
            ["Ignored networks", f"{len(inspector.ignored.all())}"],
        ]
        if inspector.warden and inspector.warden.last:
            facts.append(["Memory of the child", f"{inspector.warden.last.memory_bytes / 1e6:.0f} MB"])
        facts += [[alert.rule.title, alert.prefix] for alert in alerts[:_SHOWN]]
        said = f"{len(alerts)} things were noticed" if alerts else "nothing was noticed"
        said = "one thing was noticed" if len(alerts) == 1 else said
        return {
            "verdict": f"{said}; {inspector.sentence()}",
            "level": "ok" if inspector.warden else "degraded",
            "facts": facts,
        }

    return Panel("inspector", "Inspector", data, order=60, link="/inspector")


def health_checks(inspector: Inspector) -> list[HealthCheck]:
    """Does the child live?"""

    async def child() -> str | None:
        if inspector.warden is None and inspector.counts.deaths >= _MANY_DEATHS:
            return f"the child that judges packets does not stay alive: {inspector.why_dead}"
        return None

    return [
        HealthCheck(
            "inspector child", child, level=Level.DEGRADED, why="attacks on the services are not noticed",
            remedy="see the log; the services themselves are not affected", well="the inspector's child judges packets",
        )
    ]  # fmt: skip


def metrics(inspector: Inspector) -> list[Metric]:
    """Samples by what became of them, alerts, and how the child does."""
    counts = inspector.counts
    return [
        Metric(
            "inspector_samples_total", "Sampled packets by what became of them", "counter",
            lambda: [(("judged",), counts.judged), (("lost",), counts.lost), (("skipped",), counts.skipped)], ("outcome",),
        ),
        Metric("inspector_child_deaths_total", "Deaths of the child process", "counter", lambda: counts.deaths),
        Metric("inspector_alerts", "Alerts that are remembered", "gauge", lambda: len(inspector.alerts)),
    ]  # fmt: skip
