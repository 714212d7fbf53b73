"""The page that a Prometheus server fetches."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from appliance.api.contrib import Metric
from appliance.api.services import HostView
from appliance.core.routes import Reply, Request
from appliance_metrics.families import Collector
from appliance_metrics.text import Family, Scribe


class MetricsPage:
    """Reads everything anew for each request."""

    def __init__(self, host: HostView, log: logging.Logger) -> None:
        self._host = host
        self._collector = Collector(log)
        self._scribe = Scribe()

    def collect(self) -> Iterator[Family]:
        """All families; the encoders of `prometheus_client` take them too."""
        return self._collector.collect(self._host.contributed(Metric))

    async def answer(self, request: Request) -> Reply:
        """The classic text format, or OpenMetrics for who asks for it."""
        from prometheus_client.exposition import choose_encoder  # a box that nobody scrapes does without

        _, content_type = choose_encoder(request.headers.get("accept", ""))
        open_metrics = content_type.startswith("application/openmetrics-text")
        # The web layer adds the character set by itself.
        parts = [part for part in content_type.split("; ") if not part.startswith("charset")]
        text = self._scribe.page(self.collect(), open_metrics=open_metrics)
        return Reply(text, content_type="; ".join(parts))

    async def faults(self) -> str | None:
        """Which metrics could not be read last time."""
        failing = self._collector.failing
        told = "; ".join(f"{name} of {plugin}: {why}" for (plugin, name), why in list(failing.items())[:5])
        return f"{len(failing)} cannot be read: {told}" if failing else None
