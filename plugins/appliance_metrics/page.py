"""The page that a Prometheus server fetches."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from appliance.api.contrib import Metric
from appliance.api.services import HostView
from appliance.core.routes import Reply, Request
from appliance_metrics.families import Collector

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family


class MetricsPage:
    """Reads everything anew for each request."""

    def __init__(self, host: HostView, log: logging.Logger) -> None:
        self._host = host
        self._collector = Collector(log)

    def collect(self) -> Iterator[Family]:
        """All families, as the encoders of `prometheus_client` want them."""
        return self._collector.collect(self._host.contributed(Metric))

    async def answer(self, request: Request) -> Reply:
        """The classic text format, or OpenMetrics for who asks for it."""
        from prometheus_client.exposition import choose_encoder  # a box that nobody scrapes does without

        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        # The web layer adds the character set by itself.
        parts = [part for part in content_type.split("; ") if not part.startswith("charset")]
        return Reply(encode(self), content_type="; ".join(parts))

    async def faults(self) -> str | None:
        """Which metrics could not be read last time."""
        failing = self._collector.failing
        told = "; ".join(f"{name} of {plugin}: {why}" for (plugin, name), why in list(failing.items())[:5])
        return f"{len(failing)} cannot be read: {told}" if failing else None
