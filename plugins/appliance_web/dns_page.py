"""The page of zones and DNS: what the zone is, who finds it, and what a client would be told and why."""

from __future__ import annotations

import contextlib
from typing import Any
from urllib.parse import urlencode

from appliance.api.errors import ApiError
from appliance.api.services import AnswerTable
from appliance.core.routes import Reply, Request
from appliance_web.site import Site
from appliance_web.views import dns as dns_view
from appliance_web.views import draws as draws_view
from appliance_web.views import traffic as traffic_view
from appliance_web.views import zone as zone_view
from appliance_web.views.member import DEFAULT_RANGE, RANGES
from appliance_web.views.standing import is_beginning

#: Draws that the page's own link asks for.
_DRAWS = 1000


class DnsPage:
    """Handler of /dns."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def show(self, request: Request) -> Reply:
        site = self._site
        answers = site.ctx.find(AnswerTable)  # type: ignore[type-abstract]
        running = answers is not None
        zone, told, why = None, None, ""
        if answers is not None:
            with contextlib.suppress(ApiError, LookupError, AssertionError):
                zone = zone_view.zone(
                    answers.explain("@", "SOA", None), await site.operations.value(request, "/api/v1/dns")
                )
        asked = dns_view.Question.parse(request.query, zone.name if zone else "")
        if answers is not None and asked.name:
            try:
                told = dns_view.answer(
                    answers.explain(asked.name, asked.rrtype, asked.client or request.remote or None)
                )
            except ApiError as error:
                why = str(error)
        number = draws_view.wanted(request.query)
        chosen = RANGES.get(request.query.get("range", ""), RANGES[DEFAULT_RANGE])
        traffic = (
            await site.operations.value(request, "/api/v1/traffic", range=chosen.key) if running else None
        )
        return await site.page(
            request, "dns.html", "Zones & DNS", here="/dns", live="answers verdict", topic="dns",
            same=dns_view.same(asked, zone),
            said=dns_view.sentence(
                zone, running=running, begins=is_beginning(site.rows(None, recent=False) or ())
            ),
            zone=zone,
            may_configure=request.actor.may("config:write"),
            running=running,
            asked=asked,
            told=told,
            why=why,
            types=dns_view.TYPES,
            draws=await self._draws(request, asked, number) if told and told.candidates and number else None,
            draw_link=f"/dns?{urlencode(_question(asked) | {'draws': str(_DRAWS)})}#draws",
            share_link=f"/dns?{urlencode(_question(asked, request.remote) | ({'draws': str(number)} if number else {}))}",
            delegation=await self._delegation(request) if running else None,
            queries=traffic_view.line(traffic, "dns_per_s", chosen, "DNS queries a second"),
            ranges=RANGES.values(),
            chosen=chosen,
            ranged=lambda key: f"/dns?{urlencode(_question(asked) | {'range': key})}#queries",
        )  # fmt: skip

    async def _draws(self, request: Request, asked: dns_view.Question, number: int) -> draws_view.Draws:
        query = {
            "name": asked.name,
            "type": asked.rrtype,
            "from": asked.client or request.remote,
            "draws": str(number),
        }
        reply = await self._site.operations.ask(
            request, "GET", "/api/v1/dns/simulation", query={k: v for k, v in query.items() if v}
        )
        names = {m.address: m.name for m in (self._site.members(request) or {}).values() if m.name}
        return draws_view.draws(reply.value, number, names)

    async def _delegation(self, request: Request) -> draws_view.Delegated | None:
        look = {"look": "true"} if request.query.get("delegation") == "look" else {}
        value: Any = await self._site.operations.value(request, "/api/v1/dns/delegation", **look)
        return draws_view.delegated(value)


def _question(asked: dns_view.Question, remote: str = "") -> dict[str, str]:
    """The query string of a question; with `remote` also who asked, so that another reader sees the same."""
    values = {
        "name": asked.name,
        "type": asked.rrtype if asked.rrtype != "A" else "",
        "from": asked.client or remote,
    }
    return {k: v for k, v in values.items() if v}
