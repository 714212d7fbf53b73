"""Updates as the service sees them: what the agent tells, what lies ready to be installed, and the one installation that runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from appliance.api.agent import Agent, AgentRefusal
from appliance.api.context import RunContext, SetupContext
from appliance.api.errors import ApiError, Conflict, Invalid
from appliance_updates import here
from appliance_updates.uploads import Uploads

#: The longest silence of the agent: reading a whole bundle on a slow card, or copying a large database.
SILENCE_S = 900.0
_EXPIRE_S = 600.0
#: Cards and checks, which look every few seconds, ask the agent anew after so long: it may sleep in between.
FRESH_S = 300.0

PLAIN_DEBIAN = (
    "this is no image of ours: Debian's own tools bring updates here (sudo apt update && sudo apt upgrade)"
)


class NotAnImage(Conflict):
    """A plain Debian."""

    code = "not_an_image"


class NotInstallable(ApiError):
    """A bundle that is refused, before anything was touched."""

    status = 422
    code = "refused_bundle"


@dataclass(slots=True)
class Job:
    """An installation, the last or the one that runs.

    Attributes:
        state: "idle", "running", "done", "failed".
        name: of the bundle's file.
        doing: in words.
        share: of it that is done, 0 to 1.
        error: why it failed.
        remedy: what a person can do.
        result: what was installed.
    """

    state: str = "idle"
    name: str = ""
    doing: str = ""
    share: float = 0.0
    error: str = ""
    remedy: str = ""
    result: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Updates:
    """Everything that pages, API and commands need."""

    def __init__(self, ctx: SetupContext) -> None:
        self._ctx = ctx
        self.image = here.image()
        self.uploads = Uploads(ctx.state_dir / "uploads", self.now_s)
        self.job = Job()
        self._run: RunContext | None = None
        self._told: tuple[float, Mapping[str, Any]] | None = None
        self._trouble = ""

    def now_s(self) -> float:
        return self._ctx.clock.wall_ns() / 1e9

    @property
    def folders(self) -> tuple[str, ...]:
        return tuple(self._ctx.config.folders)

    async def run(self, ctx: RunContext) -> None:
        """Keep the uploads in order until cancelled."""
        self._run = ctx
        ctx.on_stop(self._leave)
        keep_s = ctx.config.keep_uploads_h * 3600

        async def tidy() -> None:
            if self.job.state != "running":
                await ctx.to_thread(self.uploads.expire, keep_s)

        ctx.every(_EXPIRE_S, tidy)
        ctx.status(
            f"{self.image.release.version} in slot {self.image.slot or '?'}"
            if self.image
            else "a plain Debian: apt brings updates"
        )
        ctx.ready()
        await asyncio.Event().wait()

    def _leave(self) -> None:
        self._run = None

    # -- what there is ----------------------------------------------------------------------------------------------

    async def status(self, *, fresh: bool = False) -> dict[str, Any]:
        """As GET /api/v1/updates shows it."""
        if self.image is None:
            return {"image": False, "why": PLAIN_DEBIAN, "job": self.job.as_dict()}
        told, trouble = await self._ask_status(fresh=fresh)
        return {"image": True, "why": trouble, "job": self.job.as_dict(), **told}

    async def _ask_status(self, *, fresh: bool) -> tuple[Mapping[str, Any], str]:
        now_s = self._ctx.clock.monotonic_ns() / 1e9
        if self._told is not None and not fresh and now_s - self._told[0] < FRESH_S:
            return self._told[1], ""
        try:
            told = await self._agent().do("updates.status")
        except AgentRefusal as refusal:
            return {}, _sentence(refusal)
        self._told = (now_s, told)
        return told, ""

    async def candidates(self) -> dict[str, Any]:
        """Bundles that lie ready, and what could not be looked into.

        Raises:
            NotAnImage: there is no use in them.
        """
        self._need_image()
        uploaded = await self._in_thread(self.uploads.all)
        found = [
            {"file": f"upload:{one.id}", "name": one.name, "bytes": one.bytes, "where": "uploaded"}
            for one in uploaded
            if one.complete
        ]
        try:
            more = await self._agent().do("updates.find", {"folders": list(self.folders)}, timeout_s=180)
        except AgentRefusal as refusal:
            return {"found": found, "wrong": [_sentence(refusal)]}
        return {"found": [*found, *more["found"]], "wrong": list(more["wrong"])}

    async def check(self, file: str, *, local: bool, **wishes: bool) -> dict[str, Any]:
        """What a bundle brings, and what speaks against it.

        Raises:
            NotInstallable: it cannot even be read.
            NotAnImage, Conflict, Invalid.
        """
        self._need_image()
        place = await self._place(file, local=local)
        try:
            told = await self._agent().do("updates.check", {"file": place, **wishes}, timeout_s=SILENCE_S)
        except AgentRefusal as refusal:
            raise NotInstallable(_sentence(refusal)) from None
        return {"file": file, **told}

    async def install(self, file: str, *, local: bool, **wishes: bool) -> Job:
        """Begin an installation; it goes on when nobody looks.

        Raises:
            NotAnImage, Conflict (one runs already), Invalid.
        """
        self._need_image()
        place = await self._place(file, local=local)
        if self.job.state == "running":
            raise Conflict(f"{self.job.name} is being installed: one at a time")
        if self._run is None:
            raise Conflict("the plugin is not running")
        self.job = job = Job("running", place.rpartition("/")[2], "Beginning")
        if file.startswith("upload:"):
            job.name = (await self._in_thread(self.uploads.find, file.partition(":")[2])).name
        self._run.spawn("install", self._install(job, place, wishes))
        return job

    async def _install(self, job: Job, place: str, wishes: Mapping[str, bool]) -> None:
        def told(values: Mapping[str, Any]) -> None:
            job.doing = str(values.get("doing", job.doing))
            job.share = float(values.get("done", job.share))

        try:
            job.result = dict(
                await self._agent().do(
                    "updates.install", {"file": place, **wishes}, progress=told, timeout_s=SILENCE_S
                )
            )
            job.state, job.share, job.doing = "done", 1.0, "Installed: it starts when the box restarts"
        except AgentRefusal as refusal:
            job.state, job.error, job.remedy = "failed", refusal.message, refusal.remedy
            self._ctx.log.warning("the update %s was not installed: %s", job.name, refusal.message)
        except asyncio.CancelledError:
            job.state, job.error = (
                "failed",
                "the appliance was stopped meanwhile; the agent may have gone on: look at the slots",
            )
            raise
        finally:
            self._told = None

    async def do(self, action: str, **arguments: Any) -> dict[str, Any]:
        """One of the agent's small actions.

        Raises:
            NotAnImage, Conflict: it was refused.
        """
        self._need_image()
        if self.job.state == "running":
            raise Conflict("an update is being installed: wait until it is done")
        try:
            return dict(await self._agent().do(action, arguments, timeout_s=SILENCE_S))
        except AgentRefusal as refusal:
            raise Conflict(_sentence(refusal)) from None
        finally:
            self._told = None

    # -- parts ------------------------------------------------------------------------------------------------------

    async def _place(self, file: str, *, local: bool) -> str:
        """What the agent calls it. Only who has a shell here may name any file.

        Raises:
            NotFound, Conflict, Invalid.
        """
        if file.startswith("upload:"):
            upload = await self._in_thread(self.uploads.find, file.partition(":")[2])
            if not upload.complete:
                raise Conflict(
                    f"{upload.name} is not complete: {upload.received} of {upload.bytes} bytes are there"
                )
            return str(self.uploads.path(upload))
        path = Path(file)
        if file.startswith("stick:") or local or ("/.." not in file and str(path.parent) in self.folders):
            return file
        raise Invalid(
            "that is no bundle that lies ready",
            errors={"file": "see GET /api/v1/updates/candidates for what is there"},
        )

    def _agent(self) -> Agent:
        """Raises AgentRefusal: nobody provides one."""
        agent = self._ctx.find(Agent)  # type: ignore[type-abstract]
        if agent is None:
            raise AgentRefusal("no_agent", "the plugin box does not run, which asks the agent", "enable it")
        return agent

    def _need_image(self) -> None:
        if self.image is None:
            raise NotAnImage(PLAIN_DEBIAN)

    async def _in_thread(self, fn: Any, *arguments: Any) -> Any:
        if self._run is None:
            raise Conflict("the plugin is not running")
        return await self._run.to_thread(fn, *arguments)

    async def in_thread(self, fn: Any, *arguments: Any) -> Any:
        """Await a blocking call.

        Raises:
            Conflict: the plugin does not run.
        """
        return await self._in_thread(fn, *arguments)


def _sentence(refusal: AgentRefusal) -> str:
    return f"{refusal.message}: {refusal.remedy}" if refusal.remedy else refusal.message
