"""Gathers what the charts of a server draw, for the page and for the script that makes them move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pydantic import Field

from appliance.api.config import PluginConfig
from appliance.api.errors import Invalid, NotFound
from appliance.api.services import Members
from appliance.api.shapes import FLAG, NUMBER, TEXT, TEXTS, list_of, maybe, obj, said
from appliance.core.routes import Request
from appliance_web.charts import Thresholds
from appliance_web.charts.history import Point
from appliance_web.site import Site
from appliance_web.views import picture
from appliance_web.views.member import DEFAULT_RANGE, RANGES, beginning

#: As many single probes from memory as are worth drawing when the database cannot be asked.
_REMEMBERED = 500
#: Entries of the journal that may concern one server.
_TOLD = 400


class ChartQuery(PluginConfig):
    """A window: `range` back from now, or `from`..`to` in epoch seconds."""

    range: str = Field(
        DEFAULT_RANGE, description=f"one of {', '.join(RANGES)}", pattern=f"^({'|'.join(RANGES)})$"
    )
    from_ts: float | None = Field(None, alias="from", ge=0, le=2**40)
    to_ts: float | None = Field(None, alias="to", ge=0, le=2**40)
    points: int = Field(600, ge=2, le=picture.MOST_POINTS)


_COLUMN = list_of(maybe(NUMBER))
_AXIS = {
    "low": NUMBER, "high": NUMBER, "at": said(list_of(NUMBER), "where its ticks are"),
    "words": said(list_of(TEXT), "what is written beside each tick"),
}  # fmt: skip
CHART = obj({
    "member": TEXT, "from": NUMBER, "to": NUMBER, "step_s": said(NUMBER, "width of a point; 0 when each is one probe"),
    "lines": maybe(obj({
        "good_s": NUMBER, "limit_s": NUMBER, "enter_score": NUMBER, "top": NUMBER, "bottom": NUMBER,
    })),
    "axes": obj({
        "offset": obj({**_AXIS, "knee": said(NUMBER, "linear up to it, logarithmic far above it")}),
        "rtt": obj(_AXIS), "score": obj(_AXIS),
    }),
    "legend": said(TEXT, "what a point of the offsets is, in words; empty without one"),
    "offsets": said(list_of(obj({"columns": TEXTS, "words": TEXTS, "old": FLAG})), "what is drawn: a line, the ends of its band, their names"),
    "series": list_of(obj(
        {"monitor": TEXT, **dict.fromkeys(picture.COLUMNS, _COLUMN)},
        dict.fromkeys(picture.OLD_COLUMNS, said(_COLUMN, "of summaries from before medians were kept")),
    )),
    "marks": list_of(obj({"ts": NUMBER, "kind": TEXT, "letter": TEXT, "text": TEXT})),
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was found in a window.

    Attributes:
        start, end: epoch seconds.
        step_s: width of a point; 0 when each is a single probe.
        points: those of each series.
    """

    start: float
    end: float
    step_s: float
    series: list[dict[str, Any]]
    points: list[list[Point]]
    marks: list[picture.Mark]
    lines: Thresholds | None

    @property
    def all_points(self) -> list[Point]:
        """Of all series, in the order of time."""
        if len(self.points) == 1:
            return self.points[0]
        return sorted((p for found in self.points for p in found), key=lambda p: p.ts)

    def as_json(self) -> dict[str, Any]:
        return picture.picture(
            self.start, self.end, self.series, self.lines, self.marks, self.all_points, step_s=self.step_s
        )


class Drawing:
    """Asks the monitor, the scorer and the journal."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def chart(self, request: Request) -> dict[str, Any]:
        """Answer GET /api/v1/members/{id}/chart."""
        registry = self._site.ctx.find(Members)  # type: ignore[type-abstract]
        if registry is None:
            raise NotFound("the member registry is not running")
        member = registry.find(request.params["id"])
        query: ChartQuery = request.query_model
        end = query.to_ts if query.to_ts is not None else self._site.now()
        chosen = RANGES[query.range]
        start = query.from_ts if query.from_ts is not None else end - chosen.length_s
        if start >= end:
            raise Invalid("the window is empty", errors={"from": "must lie before to"})
        drawn = await self.gather(request, member.id, start, end, query.points)
        if query.from_ts is None and query.to_ts is None:
            begun = beginning(drawn.all_points, end, chosen)
            return {"member": member.id, **drawn.as_json(), "from": begun}
        return {"member": member.id, **drawn.as_json()}

    async def gather(self, request: Request, member_id: str, start: float, end: float, points: int) -> Drawn:
        """From the database, or what the monitor has in memory when the database cannot be asked."""
        site, key = self._site, quote(member_id, safe="")
        window = {"from": f"{start:.3f}", "to": f"{end:.3f}"}
        history = await site.operations.value(
            request, f"/api/v1/members/{key}/history", **window, points=str(points), columns="true"
        )
        step_s = 0.0
        if isinstance(history, Mapping):
            series, step_s = picture.series_of_columns(history), float(history.get("step_s") or 0)
        else:
            rows = site.recent(member_id, _REMEMBERED)
            series = picture.series_of_rows(r for r in rows if start <= float(r.get("ts") or 0) <= end)
        turns = await site.operations.value(request, f"/api/v1/members/{key}/turns", **window)
        marks = picture.marks(turns, site.journal.latest(_TOLD, member=member_id), start, end)
        points_of = [picture.points([one]) for one in series]
        return Drawn(start, end, step_s, series, points_of, marks, await site.thresholds(request))
