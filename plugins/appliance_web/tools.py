"""Pages that answer a question: who asks for the time, and what did the probes find."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from appliance.api.errors import ApiError
from appliance.api.model import Member
from appliance.api.services import Members
from appliance.core import ordering
from appliance.core.routes import Reply, Request
from appliance_web.site import Site
from appliance_web.views import log as log_view
from appliance_web.views import packets as packets_view
from appliance_web.views import scoring
from appliance_web.views import time as time_view
from appliance_web.views.member import DEFAULT_RANGE, RANGES

#: A list to choose from has no more servers than this.
TO_CHOOSE = 200


class Tools:
    """Handlers of /time and /log."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def time(self, request: Request) -> Reply:
        site = self._site
        query = time_view.Query.parse(request.query)
        ntp = await site.operations.value(request, "/api/v1/ntp")
        reply = await site.operations.ask(request, "GET", "/api/v1/ntp/clients", query=query.asked)
        wrong = (
            f"{query.prefix} is no network: 10.0.0.0/8 or 2001:db8::/32 would be one."
            if reply.status == 422
            else ""
        )
        known = time_view.clients(reply.value if reply.status == 200 else None, query, wrong)
        serving = isinstance(ntp, Mapping)
        chosen = RANGES.get(request.query.get("range", ""), RANGES[DEFAULT_RANGE])
        came = await site.operations.value(request, "/api/v1/traffic/packets", range=chosen.key)
        return await site.page(
            request, "time.html", "Time", here="/time", live="clock health", topic="time",
            same=time_view.same(query),
            said=time_view.sentence(ntp, known),
            serving=serving,
            may_configure=request.actor.may("config:write"),
            facts=time_view.facts(ntp) if serving else (),
            outcomes=time_view.outcomes(ntp) if serving else (),
            clients=known,
            query=query,
            sorts=time_view.SORTS,
            packets=packets_view.packets(came, chosen),
            ranges=RANGES.values(),
            chosen=chosen,
        )  # fmt: skip

    async def log(self, request: Request) -> Reply:
        site = self._site
        asked = log_view.Question.parse(request.query)
        members = site.members(request) or {}
        registry = site.ctx.find(Members)  # type: ignore[type-abstract]
        if asked.member and registry is not None:
            with contextlib.suppress(ApiError):
                asked = replace(asked, member=registry.find(asked.member).id)
        known: list[log_view.Line] = []
        if asked.before is None:
            known = log_view.lines(self._recents(members), asked)
        query = (
            asked.asked
            | {"limit": str(log_view.SHOWN)}
            | ({"before": str(asked.before)} if asked.before else {})
        )
        older = log_view.tail(await site.operations.value(request, "/api/v1/log", **query), members, known)
        found = (known + list(older.rows))[: log_view.SHOWN]
        chosen = members.get(asked.member)
        return await site.page(
            request, "log.html", "Log", here="/log", topic="scoring",
            live="probes" if asked.follow and asked.before is None else "",
            same=log_same(chosen, asked),
            said=log_view.sentence(found, asked, site.monitor()),
            asked=asked,
            lines=found,
            older=older.before,
            shows=log_view.SHOWS,
            chosen=chosen,
            file=urlencode(asked.asked),
            members=_to_choose(members.values()),
            rules=scoring.rules(await site.operations.value(request, "/api/v1/scoring"))
            or log_view.rules(self._recents(members)),
        )  # fmt: skip

    def _recents(self, members: Mapping[str, Member]) -> Iterator[tuple[Member, Iterator[Mapping[str, Any]]]]:
        """Everybody's latest probes, newest first, each taken from the board only when it is looked at."""
        for member in members.values():
            yield member, self._latest(member.id)

    def _latest(self, member_id: str) -> Iterator[Mapping[str, Any]]:
        yield from (newest := self._site.recent(member_id, 1))
        if newest:
            yield from self._site.recent(member_id, log_view.SHOWN)[1:]


def _to_choose(members: Collection[Member]) -> Sequence[Member]:
    """Servers in the order of a list to choose from; none when there are too many for one, and an id is typed."""
    if len(members) > TO_CHOOSE:
        return ()
    return sorted(members, key=lambda m: ordering.server(m.name, m.address, m.port))


def log_same(chosen: Member | None, asked: log_view.Question) -> list[tuple[str, str]]:
    """The same from elsewhere."""
    query = urlencode(asked.asked)
    lines = [
        ("CLI", f"timeball log{f' --member {chosen.id}' if chosen else ''}"),
        ("API", f"GET /api/v1/log{'?' + query if query else ''}"),
        ("API", f"GET /api/v1/log/export?{query + '&' if query else ''}format=ndjson"),
    ]
    return [*lines, ("NTP Pool", f"GET /scores/{chosen.address}/log")] if chosen else lines
