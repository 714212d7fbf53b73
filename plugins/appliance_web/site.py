"""What all pages share: the services they look at, each of which may be missing, and the frame around each page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from appliance.api.context import SetupContext
from appliance.api.model import Member, Verdict
from appliance.api.services import HostView, Identity, Members, ScoreBoard, TimeSource
from appliance.core.derived import Derived
from appliance.core.routes import Reply, Request, RouteTable
from appliance_web import manual
from appliance_web.assets import Assets
from appliance_web.charts import Thresholds
from appliance_web.checking import Checks
from appliance_web.journal import Journal
from appliance_web.operations import Operations
from appliance_web.render import Renderer
from appliance_web.views import errors, overview, scoring
from appliance_web.views.look import Looks
from appliance_web.views.menu import navigation
from appliance_web.views.standing import Row, Sentence, pool_sentence, row
from appliance_web.views.visitor import visitor

#: What a form that worked says on the page it leads to; the address line carries only the word.
NOTICES = {
    "added": "The server was added. It is watched from now on and answered once its score is high enough.",
    "changed": "The change is made.",
    "leaving": "The server will be removed then. Until it leaves the answers it is used as before.",
    "kept": "The server stays.",
    "given": "The server has an owner now, who sees it and may change it.",
    "taken": "The server belongs to nobody now: operators look after it.",
    "vouched": "The server is vouched for.",
    "imported": "The servers were added.",
    "paused-many": "The servers are paused: they are watched, but not answered.",
    "resumed-many": "The servers are active again.",
    "paused": "The server is paused: it is watched, but not answered.",
    "resumed": "The server is active again.",
    "mended": "Mended. The checks below were made after it.",
    "unmended": "Taken back. The checks below were made after it.",
    "rolled-back": "The plugins before are in force when the appliance starts again.",
    "safe-mode-left": "Safe mode ends when the appliance starts again.",
    "restarting": "The appliance starts again. This page comes back in a few seconds.",
    "certificate-renewed": "A new certificate is served from now on. Your browser may ask again whether it trusts this box.",
    "certificate-reset": "The box's own certificate is served again.",
    "certificate-uploaded": "Your certificate is served from now on.",
}


class Site:
    """The pages' view of the box.

    Attributes:
        operations: the API, asked from inside.
        journal: what happened lately.
        looks: what single looks at members found.
        checks: live checks, running and lately finished.
    """

    def __init__(self, ctx: SetupContext, journal: Journal) -> None:
        self.ctx = ctx
        self.journal = journal
        self.looks = Looks()
        self.checks = Checks()
        self._rows = Derived(row)
        self._last_box: Mapping[str, Any] = {}
        self.assets = Assets()
        self.renderer = Renderer(self.assets)
        self.operations = Operations(ctx.get(RouteTable))

    def now(self) -> float:
        """Epoch seconds."""
        return self.ctx.clock.wall_ns() / 1e9

    # -- what it sees -----------------------------------------------------------------------------------------------

    def members(self, reader: Request | None) -> Mapping[str, Member] | None:
        """Everybody whom the reader may see (None: everybody), or None when there is no registry."""
        registry = self.ctx.find(Members)  # type: ignore[type-abstract]
        if registry is None:
            return None
        table = registry.table.get()
        if reader is None or not reader.only:
            return table
        return {key: member for key, member in table.items() if member.owner == reader.only}

    def owner_name(self, member: Member) -> str:
        """What a member's owner is called, or ""."""
        people = self.ctx.find(Identity) if member.owner else None  # type: ignore[type-abstract]
        return people.name_of(member.owner) if people else ""

    def rows(self, reader: Request | None, *, recent: bool = True) -> list[Row] | None:
        """As `members`, with verdict and newest probe."""
        table = self.members(reader)
        if table is None:
            return None
        board = self.ctx.find(ScoreBoard)  # type: ignore[type-abstract]
        if board is None:
            return [row(member, None) for member in table.values()]
        verdicts, last, of = board.verdicts.get(), board.recent, self._rows.of
        if not recent:
            return [row(m, verdicts.get(key)) for key, m in table.items()]
        return [of(key, m, verdicts.get(key), next(iter(last(key, 1)), None)) for key, m in table.items()]

    def monitor(self) -> str:
        """One word for the monitor: "ok", "quiet" (no verdict yet), "stale" or "missing"."""
        board = self.ctx.find(ScoreBoard)  # type: ignore[type-abstract]
        if board is None:
            return "missing"
        age_s = board.verdicts.age_s()
        if age_s == float("inf"):
            return "quiet"
        return "stale" if age_s > board.stale_after_s() else "ok"

    def pool(self, rows: Sequence[Row] | None) -> Sentence:
        """These servers in one sentence: the same on every page that says it."""
        host = self.ctx.find(HostView)  # type: ignore[type-abstract]
        started = None if host is None else self.now() - host.uptime_s()
        return pool_sentence(rows, self.monitor(), started)

    def verdicts(self) -> Mapping[str, Verdict]:
        """How everybody stands, by member id; nothing while no monitor is there."""
        board = self.ctx.find(ScoreBoard)  # type: ignore[type-abstract]
        return {} if board is None else board.verdicts.get()

    def recent(self, member_id: str, limit: int) -> Sequence[Mapping[str, Any]]:
        """A member's last probes from memory, newest first."""
        board = self.ctx.find(ScoreBoard)  # type: ignore[type-abstract]
        return [] if board is None else board.recent(member_id, limit)

    async def thresholds(self, request: Request) -> Thresholds | None:
        """Where the scorer draws its lines, or None when it cannot be asked."""
        return scoring.thresholds(await self.operations.value(request, "/api/v1/scoring"))

    async def box(self, request: Request) -> Mapping[str, Any]:
        """The host's status: version, health, store, loop_lag, bus_dropped."""
        value = await self.operations.value(request, "/api/v1/status")
        self._last_box = value if isinstance(value, Mapping) else {}
        return self._last_box

    async def ask(
        self,
        asker: Request,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> Reply:
        """See `appliance.api.services.Frame`."""
        return await self.operations.ask(asker, method, path, query=query, body=body)

    def add_templates(self, plugin: str, folder: Path) -> None:
        """See `appliance.api.services.Frame`."""
        self.renderer.add_templates(plugin, folder)

    # -- the frame --------------------------------------------------------------------------------------------------

    async def page(
        self,
        request: Request,
        template: str,
        title: str,
        *,
        here: str = "",
        live: str = "",
        topic: str = "web",
        same: Sequence[tuple[str, str]] = (),
        status: int = 200,
        **values: Any,
    ) -> Reply:
        """A page inside the frame.

        Args:
            request: of the reader.
            template: file name.
            title: of the window.
            here: address of the navigation's entry that is the current one.
            live: names of the events after which the page wants to be fresh, separated by spaces.
            topic: page of the manual that explains this one.
            same: (kind, line) pairs: how to get the same from the command line or the API.
            status: HTTP status.
            values: for the template.

        Raises:
            TypeError: one of `values` has a name that the frame around the page uses itself.
        """
        frame = self._frame(title, await self.box(request), here=here, live=live, topic=topic, same=same)
        frame["banner"] = request.line == "lan"
        frame["navigation"] = navigation(request.actor, self.ctx.get(RouteTable).routes(), here)
        if frame["safe_mode"]:
            frame["safe_mode"] = {**frame["safe_mode"], "may_leave": request.actor.may("plugins:write")}
        if not request.actor.may("box:read"):
            frame["health"] = None
        frame["visitor"] = visitor(request.actor, known=self.ctx.find(Identity) is not None)  # type: ignore[type-abstract]
        frame["notice"] = NOTICES.get(request.query.get("done", ""), "")
        if taken := sorted(values.keys() & (frame.keys() | self.renderer.names)):
            # It would stand in the frame in place of what is true: a version, a name, who is signed in.
            raise TypeError(
                f"the page {template} is given {', '.join(taken)}, which the frame around it says itself: call it otherwise"
            )
        return self.renderer.page(template, frame | values, status)

    def error_page(self, status: int, detail: str) -> str:
        """The page for a refusal or a fault, in plain words."""
        said = errors.sentence(status)
        frame = self._frame(said.text.rstrip("."), self._last_box, topic="web")
        return self.renderer.text(
            "error.html",
            frame
            | {
                "said": said,
                "detail": detail,
                "notice": "",
                "banner": False,
                "visitor": None,
                "safe_mode": None,
            },
        )

    def _frame(self, title: str, box: Mapping[str, Any], *, here: str = "", live: str = "", topic: str = "web",
               same: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:  # fmt: skip
        source = self.ctx.find(TimeSource)  # type: ignore[type-abstract]
        return {
            "navigation": navigation(None, self.ctx.get(RouteTable).routes()),
            "title": title,
            "here": here,
            "live": live,
            "help": f"/help/{topic}" if manual.exists(topic) else "/help",
            "same": same,
            "now": self.now(),
            "clock": overview.clock_chip(
                source.state.get() if source else None, self.ctx.clock.monotonic_ns()
            ),
            "health": overview.health_chip(overview.health(box)),
            "version": box.get("version", ""),
            "safe_mode": box.get("safe_mode"),
        }
