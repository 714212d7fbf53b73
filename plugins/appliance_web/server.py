"""A server's page and what one can do there; each form does one operation of the API as the reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from appliance.api.errors import Invalid, NotFound
from appliance.api.model import Member
from appliance.api.services import Members
from appliance.core.routes import Reply, Request
from appliance_web import charts, words
from appliance_web.actions import as_error, member_body, read_form, redirect
from appliance_web.charts.scale import Span
from appliance_web.check_api import asked
from appliance_web.drawing import Drawing
from appliance_web.site import Site
from appliance_web.views import member as member_view
from appliance_web.views import preview, sightings
from appliance_web.views.look import target
from appliance_web.views.public import badge
from appliance_web.views.standing import Probe, Row, member_sentence, row

_RECENT = 20
_EVENTS = 10
#: Points of a drawing made here; with a script the browser asks for as many as it has pixels. Beyond a day they are summaries,
#: of which one for every three or four pixels is enough: hours of a week, four hours of a month, two days of a year.
_POINTS, _WIDE_POINTS = 400, 240
DAY_S = 86400.0


class ServerPage:
    """Handlers of /members/{id} and below."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._drawing = Drawing(site)

    async def show(self, request: Request) -> Reply:
        """The page."""
        found = self._asked(request)
        if found.id != request.params["id"]:
            return redirect(f"/members/{found.id}")
        return await self._page(request, found)

    async def badge(self, request: Request) -> Reply:
        """The state as a picture for other pages; it may be shown anywhere, and is asked for again after a minute."""
        found = self._asked(request)
        one = self._row(found)
        word = one.word + (f", {words.score(one.score)}" if one.score is not None else "")
        headers = {"Cache-Control": "public, max-age=60"}
        return Reply(badge("NTP server", word, one.shape), headers=headers, content_type="image/svg+xml")

    async def probe(self, request: Request) -> Reply:
        """Look at a member besides its schedule; its page shows what is found as it comes. No score moves."""
        member, site = self._asked(request), self._site
        body = asked([{"address": member.address, "port": member.port}])
        reply = await site.operations.ask(request, "POST", "/api/v1/checks", body=body)
        if reply.status < 300:
            return redirect(f"/members/{quote(member.id)}?check={reply.value['id']}#check")
        if reply.status != 503:
            raise as_error(reply)
        # Nobody here can look line by line; somebody elsewhere may look at once.
        reply = await site.operations.ask(request, "POST", "/api/v1/probe", body={"target": target(member)})
        if reply.status >= 300:
            raise as_error(reply)
        site.looks.keep(member.id, site.now(), reply.value)
        return redirect(f"/members/{quote(member.id)}#look")

    async def change(self, request: Request) -> Reply:
        """Weight, zones and words about it. A field that is not in the form stays as it is."""
        form = read_form(request)
        body, errors = member_body({"address": "-", **form})
        del body["address"]
        for name in ("operator", "note"):
            if name in form:
                body[name] = form[name]
        for name in ("tags", "zones"):
            if name in form:
                body[name] = form[name].replace(",", " ").split()
        if errors:
            raise Invalid("Nothing was changed.", errors=errors)
        return await self._do(request, "PATCH", "", "changed", body)

    async def remove_at(self, request: Request) -> Reply:
        """Remove it in some days."""
        days = read_form(request).get("days", "")
        if not (days.isascii() and days.isdigit() and 0 < int(days[:5]) <= 3650):
            raise Invalid("Nothing was changed.", errors={"days": "a number of days from 1 to 3650, please"})
        return await self._do(request, "POST", "/remove-at", "leaving", {"in_s": int(days) * DAY_S})

    async def keep(self, request: Request) -> Reply:
        """Call a scheduled removal off."""
        return await self._do(request, "POST", "/cancel-removal", "kept")

    async def verify(self, request: Request) -> Reply:
        """Vouch for it, or get what its operator has to do to prove that it is his."""
        method = read_form(request).get("method", "admin")
        member = self._asked(request)
        path = f"/api/v1/members/{quote(member.id, safe='')}/verify"
        reply = await self._site.operations.ask(request, "POST", path, body={"method": method})
        if reply.status >= 300:
            raise as_error(reply)
        value = reply.value if isinstance(reply.value, Mapping) else {}
        if value.get("verified"):
            return redirect(f"/members/{quote(member.id)}?done=vouched")
        return await self._page(request, member, ticket=value)

    async def give(self, request: Request) -> Reply:
        """Give it to a user, or to nobody."""
        owner = read_form(request).get("owner", "")
        return await self._do(request, "PUT", "/owner", "given" if owner else "taken", {"owner": owner})

    # -- parts ------------------------------------------------------------------------------------------------------

    async def _page(
        self, request: Request, found: Member, *, ticket: Mapping[str, Any] | None = None
    ) -> Reply:
        site, now = self._site, self._site.now()
        registry = site.members(request) or {}
        one = self._row(found)
        look = site.looks.fresh(found.id, now)
        classic = found.address if found.port == 123 else found.id  # addresses may be shared by ports
        chosen = member_view.RANGES.get(
            request.query.get("range", ""), member_view.RANGES[member_view.DEFAULT_RANGE]
        )
        most = _POINTS if chosen.length_s <= DAY_S else _WIDE_POINTS
        drawn = await self._drawing.gather(request, found.id, now - chosen.length_s, now, most)
        points = drawn.all_points
        start = member_view.beginning(points, now, chosen)
        span, limits = Span(start, now), drawn.lines
        number = member_view.cell_count(drawn.points)
        events = site.journal.latest(_EVENTS, member=found.id)
        flags = [charts.Flag(m.ts, m.kind, words.printable(m.text)) for m in drawn.marks]
        return await site.page(
            request, "member.html", one.called, here="/members", live="verdict probes member", topic="web",
            same=_same(found, one, classic),
            row=one,
            look=look,
            check=site.checks.get(request.query.get("check", ""), request),
            ticket=ticket,
            samples=[(s, member_view.shape(s, limits)) for s in look.samples] if look else [],
            cell_s=(now - start) / number,
            classic=classic,
            said=member_view.since(member_sentence(one, now), one, site.journal.latest(1, member=found.id, kind="verdict"), now),
            facts=member_view.facts(one, now, site.owner_name(found)),
            share=await self._share(request, found),
            siblings=[self._row(m) for m in member_view.siblings(found, registry.values())],
            ranges=member_view.RANGES.values(),
            chosen=chosen,
            csv=f"/api/v1/members/{found.id}/history.csv?range={chosen.key}",
            points=points,
            limits=limits,
            marks=drawn.marks,
            offset_chart=charts.offset_chart(points, span, limits, flags=flags),
            offset_legend=charts.offset_legend(points),
            summed=any(p.span_s for p in points),
            score_chart=charts.score_chart(points, span, limits),
            rtt_chart=charts.rtt_chart(points, span),
            strips=[
                (str(s["monitor"]), charts.strip(
                    member_view.cells(found_of, start, now, limits, number),
                    f"The last {chosen.label} as {words.printable(s['monitor'])} saw them, cell by cell",
                ))
                for s, found_of in zip(drawn.series, drawn.points, strict=True)
            ],
            probes=[Probe.read(p) for p in site.recent(found.id, _RECENT)],
            sightings=sightings.rows(await site.operations.value(request, "/api/v1/sightings/latest", member=found.id)),
            events=events,
            may_change=request.actor.may_own("servers:write"),
            may_configure=request.actor.may("config:write"),
            may_give=request.actor.may("servers:write"),
            owner=site.owner_name(found),
            may_vouch=request.actor.may("servers:vouch"),
            status=200,
        )  # fmt: skip

    async def _share(self, request: Request, member: Member) -> preview.Share | None:
        """Its part of the answers of its first zone."""
        zone = next(iter(member.zones), "@")
        kind = "AAAA" if member.family == 6 else "A"
        value = await self._site.operations.value(request, "/api/v1/dns/answer", name=zone, type=kind)
        return preview.now(value.get("candidates"), member.id) if isinstance(value, Mapping) else None

    async def _do(self, request: Request, method: str, verb: str, notice: str, body: Any = None) -> Reply:
        key = quote(request.params["id"], safe="")
        reply = await self._site.operations.ask(
            request, method, f"/api/v1/members/{key}{verb}", body=body or {}
        )
        if reply.status >= 300:
            raise as_error(reply)
        return redirect(f"/members/{key}?done={notice}")

    def _asked(self, request: Request) -> Member:
        registry = self._site.ctx.find(Members)  # type: ignore[type-abstract]
        if registry is None:
            raise NotFound("the member registry is not running")
        return registry.find(request.params["id"])

    def _row(self, member: Member) -> Row:
        verdict = self._site.verdicts().get(member.id)
        return row(member, verdict, next(iter(self._site.recent(member.id, 1)), None))


def _same(found: Member, one: Row, classic: str) -> Sequence[tuple[str, str]]:
    return [
        ("CLI", f"timeball member show {found.id}"),
        ("CLI", f"timeball probe {one.place}"),
        ("CLI", f"timeball member pause {found.id} --for 8h"),
        ("API", f"GET /api/v1/members/{found.id}"),
        ("API", f'PATCH /api/v1/members/{found.id} {{"netspeed": 500}}'),
        ("API", f"GET /api/v1/members/{found.id}/chart?range=1d"),
        ("NTP Pool", f"GET /scores/{classic}/json"),
    ]
