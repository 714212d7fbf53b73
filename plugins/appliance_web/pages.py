"""The pages one looks at. Each handler gathers, hands to a view, and renders."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from appliance.api.contrib import Panel
from appliance.api.errors import NotFound, StoreError
from appliance.api.services import Members
from appliance.core.routes import Reply, Request
from appliance_web import charts, words, zone_log
from appliance_web.actions import redirect
from appliance_web.charts.scale import Arcsinh, offset_axis
from appliance_web.drawing import Drawing
from appliance_web.site import Site
from appliance_web.views import member as member_view
from appliance_web.views import members as members_view
from appliance_web.views import overview as overview_view
from appliance_web.views import pulse
from appliance_web.views.standing import Row, worst_first

#: A card that is not ready by then says so; the page does not wait for it.
PANEL_S = 2.0
_SHORT = 8
_RECENT = 20
#: Cells of a row's strip, one for each of the last probes.
_CELLS = 48
#: Drawn rows that are kept, some hundred bytes each.
_MOST_DRAWN = 2000
#: Points of a drawing made here; with a script the browser asks for as many as it has pixels.
_POINTS = 400


class Pages:
    """Handlers of the overview and of the members' pages."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._drawn: dict[str, tuple[object, object]] = {}
        self._drawing = Drawing(site)

    async def overview(self, request: Request) -> Reply:
        site = self._site
        rows = site.rows(request)
        box = await site.box(request)
        shown = worst_first(rows)[:_SHORT] if rows else rows
        return await site.page(
            request, "overview.html", "Overview", here="/", live="verdict probes clock health plugin member",
            same=[("CLI", "timeball member list"), ("API", "GET /api/v1/members"), ("API", "GET /api/v1/health")],
            said=site.pool(rows),
            tally=overview_view.tally(rows or ()),
            mine=bool(request.only),
            may_add=request.actor.may_own("servers:write"),
            may_examine=request.actor.may("doctor:read"),
            problems=[
                *overview_view.servers(rows or ()),
                *overview_view.problems(overview_view.health(box)),
            ],
            cards=[] if request.only else [*await self._cards(), *await self._machine(request)],
            figures=[*await self._pool_figure(request, rows), *await self._figures(request)],
            zones=pulse.zone_lines(rows or ()),
            rows=shown,
            total=len(rows or ()),
            sparks=self._sparks(shown or ()),
            events=site.journal.latest(12, among=[r.member.id for r in rows or ()] if request.only else None),
        )  # fmt: skip

    async def members(self, request: Request) -> Reply:
        site = self._site
        rows = site.rows(request)
        page = (
            members_view.choose(rows, members_view.Query.parse(request.query)) if rows is not None else None
        )
        return await site.page(
            request, "members.html", "Servers", here="/members", live="verdict probes member",
            same=[("CLI", "timeball member list"), ("CLI", "timeball member list --json"), ("API", "GET /api/v1/members")],
            said=site.pool(rows),
            page=page,
            states=members_view.STATES,
            columns=_COLUMNS,
            sizes=members_view.SIZES,
            sparks=self._histories(page.rows if page else (), await site.thresholds(request)),
            problems=self._last_problems(page.rows if page else ()),
            may_change=request.actor.may_own("servers:write"),
            mine=bool(request.only),
        )  # fmt: skip

    async def scores(self, request: Request) -> Reply:
        """The NTP Pool's address of a server's page."""
        registry = self._site.ctx.find(Members)  # type: ignore[type-abstract]
        if registry is None:
            raise NotFound("the member registry is not running")
        key = request.params["ip"]
        try:
            return redirect(f"/members/{registry.find(key).id}")
        except NotFound:
            # Several ports on one address: the pool's own addresses know no port, so the first one is meant.
            found = next((m for m in registry.table.get().values() if m.address == key), None)
            if found is None:
                raise
            return redirect(f"/members/{found.id}")

    # -- parts ------------------------------------------------------------------------------------------------------

    def _histories(self, rows: Sequence[Row], limits: charts.Thresholds | None) -> dict[str, object]:
        """For each row the latest offsets, all on one axis so that rows compare, over the last probes as cells."""
        recents = {r.member.id: list(reversed(self._site.recent(r.member.id, _CELLS))) for r in rows}
        lines = {key: [p.get("offset_s") for p in probes[-_RECENT:]] for key, probes in recents.items()}
        wide = offset_axis([v for values in lines.values() for v in values if v is not None], (), 16.0)
        axis = Arcsinh(max(wide.limit, 0.1), wide.knee, 16.0)
        drawn: dict[str, tuple[object, object]] = {}
        for key, probes in recents.items():
            if probes:
                # A row is drawn anew only when something in it is new: most of a page of many servers is not.
                same = (probes[0].get("ts"), probes[-1].get("ts"), len(probes), axis, limits)
                kept = self._drawn.get(key)
                drawn[key] = (
                    kept
                    if kept is not None and kept[0] == same
                    else (same, _history(probes, lines[key], axis, limits))
                )
        self._drawn.update(drawn)
        if len(self._drawn) > _MOST_DRAWN:
            self._drawn = drawn
        return {key: markup for key, (_, markup) in drawn.items()}

    def _last_problems(self, rows: Sequence[Row]) -> dict[str, str]:
        """For each row whose newest probe is good, what was wrong last and when, as far as memory reaches."""
        now, found = self._site.now(), {}
        for row in rows:
            bad = next((p for p in self._site.recent(row.member.id, _CELLS) if p.get("error")), None)
            if bad is not None and not row.last.error:
                found[row.member.id] = f"{bad['error']} {words.ago(bad.get('ts'), now)}"
        return found

    def _sparks(self, rows: Sequence[Row]) -> dict[str, object]:
        """A line of the latest offsets for each row, all on one axis so that rows compare."""
        recents = {
            r.member.id: [p.get("offset_s") for p in reversed(self._site.recent(r.member.id, _RECENT))]
            for r in rows
        }
        known = [v for values in recents.values() for v in values if v is not None]
        wide = offset_axis(known, (), 16.0)
        axis = Arcsinh(max(wide.limit, 0.1), wide.knee, 16.0)
        return {
            key: charts.sparkline(
                values, f"Latest offsets; the last is {words.offset(values[-1])}", axis, zero=0.0
            )
            for key, values in recents.items()
            if values
        }

    async def _figures(self, request: Request) -> list[pulse.Figure]:
        value = self._site.operations.value
        return pulse.figures(
            await value(request, "/api/v1/traffic", range="1h", points="2"),
            await value(request, "/api/v1/clock"),
            await value(request, "/api/v1/clock/history", range="1h", points="60"),
        )

    async def _pool_figure(self, request: Request, rows: Sequence[Row] | None) -> list[pulse.Figure]:
        """The whole pool over a day; a member sees no more than the own servers, whose past is on their pages."""
        if not rows or request.only:
            return []
        now = self._site.now()
        try:
            series = await self._site.ctx.store.read(lambda db: zone_log.day(db, "@", now))
        except StoreError:
            series = []
        return [pulse.pool_figure(rows, series)]

    async def _machine(self, request: Request) -> list[overview_view.Card]:
        card = pulse.machine_card(await self._site.operations.value(request, "/api/v1/machine"))
        return [card] if card else []

    async def _cards(self) -> list[overview_view.Card]:
        panels = sorted(self._site.ctx.contributions(Panel), key=lambda p: (p.order, p.title))
        return list(await asyncio.gather(*(self._card(panel) for panel in panels)))

    async def _card(self, panel: Panel) -> overview_view.Card:
        try:
            async with asyncio.timeout(PANEL_S):
                return overview_view.card(panel, await panel.data())
        except TimeoutError:
            return overview_view.broken_card(panel, "It did not answer in time.")
        except Exception:
            self._site.ctx.log.exception("the card %r cannot be shown", panel.title)
            return overview_view.broken_card(panel, "It cannot be shown; the log says why.")


def _history(
    probes: Sequence[Mapping[str, Any]],
    line: Sequence[float | None],
    axis: Arcsinh,
    limits: charts.Thresholds | None,
) -> object:
    """A row's line and strip."""
    cells = ["none"] * (_CELLS - len(probes)) + [member_view.cell(p.get("offset_s"), limits) for p in probes]
    good = sum(cell == "ok" for cell in cells)
    title = (
        f"{good} of the last {words.plural(len(probes), 'probe')} good; the latest {words.offset(line[-1])}"
    )
    return charts.history(line, cells, title, axis, zero=0.0)


#: Key, heading and class of the sortable columns.
_COLUMNS = (
    ("server", "Server", ""),
    ("state", "State", ""),
    ("score", "Score", "n"),
    ("offset", "Offset", "n"),
    ("rtt", "Round trip", "n"),
    ("stratum", "Stratum", "n"),
    ("weight", "Weight", "n"),
)
