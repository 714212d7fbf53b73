"""The page of the clock."""

from __future__ import annotations

from collections.abc import Mapping

from appliance.core.routes import Reply, Request
from appliance_web.site import Site
from appliance_web.views import clock as clock_view
from appliance_web.views.member import RANGES

_REMEDY = (
    "Start chronyd and give it servers that it can reach (`chronyc sources` tells), or on an island without any better time "
    'set `[plugins.clock] source = "local"`.'
)


class ClockPage:
    """Handler of /clock."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def show(self, request: Request) -> Reply:
        site, now = self._site, self._site.now()
        chosen = clock_view.chosen_range(request.query)
        clock = await site.operations.value(request, "/api/v1/clock")
        told = clock if isinstance(clock, Mapping) else None
        receiver = await site.operations.value(request, "/api/v1/gps") if told else None
        history = (
            await site.operations.value(request, "/api/v1/clock/history", range=chosen.key) if told else None
        )
        return await site.page(
            request, "clock.html", "Clock", here="/clock", live="clock health", topic="clock",
            same=clock_view.same(chosen),
            said=clock_view.sentence(clock),
            told=told,
            facts=clock_view.facts(told, now) if told else (),
            distance=clock_view.distance(told) if told else (),
            sources=clock_view.sources(told, now) if told else (),
            receiver=clock_view.receiver(receiver),
            past=clock_view.past(history, chosen),
            ranges=RANGES.values(),
            chosen=chosen,
            remedy=_REMEDY,
        )  # fmt: skip
