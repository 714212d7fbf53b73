"""The doctor's page: what is wrong and what to do, with a button where the doctor can do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from appliance.api.errors import ApiError, NotFound
from appliance.api.foreign import json_text
from appliance.api.pages import ask_confirmed, refusal
from appliance.core.routes import Reply, Request
from appliance_web.actions import read_form, redirect
from appliance_web.site import Site
from appliance_web.views.standing import Sentence, Shape

_SHAPES: Mapping[str, Shape] = {"failing": "failing", "degraded": "degraded", "info": "none", "ok": "ok"}
_WORDS = {"failing": "failing", "degraded": "needs a look", "info": "worth knowing", "ok": "well"}


@dataclass(frozen=True, slots=True)
class Check:
    """One result; every text may hold what others wrote."""

    id: str
    shape: Shape
    word: str
    text: str
    why: str
    evidence: Sequence[str]
    remedy: str
    commands: Sequence[str]
    says: str
    root: bool
    for_good: bool


class DoctorPage:
    """Handlers."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def page(self, request: Request) -> Reply:
        found = await self._examine(request)
        checks = [check(c) for c in found["checks"]]
        return await self._site.page(
            request, "doctor.html", "Doctor", topic="doctor",
            same=[("CLI", "timeball doctor"), ("CLI", "timeball doctor --all --json"), ("API", "GET /api/v1/doctor")],
            said=Sentence(_SHAPES[str(found["status"])], str(found["verdict"])),
            wrong=[c for c in checks if c.shape in ("failing", "degraded")],
            known=[c for c in checks if c.shape == "none"],
            well=[c for c in checks if c.shape == "ok"],
            undoable=found["undoable"],
            may_fix=request.actor.may("doctor:fix"),
            may_report=request.actor.may("config:read"),
        )  # fmt: skip

    async def confirm(self, request: Request, *, why: str = "", wrong: str = "", status: int = 200) -> Reply:
        """Say what mending will do, and ask; also again, when it was refused."""
        key = request.params["id"]
        found = next((check(c) for c in (await self._examine(request))["checks"] if c["id"] == key), None)
        if found is None or not found.says:
            raise NotFound("there is nothing to mend about that any more")
        return await self._site.page(
            request, "doctor_fix.html", "Mend", topic="doctor", check=found, status=status,
            why=why, wrong=wrong, ask_password=found.for_good and not request.actor.confirmed,
            same=[("CLI", f"{'sudo ' * found.root}timeball doctor --fix {found.id}")],
        )  # fmt: skip

    async def mend(self, request: Request) -> Reply:
        return await self._do(request, "fix")

    async def undo(self, request: Request) -> Reply:
        return await self._do(request, "undo")

    async def report(self, request: Request) -> Reply:
        """Everything that somebody who helps needs, as a file: no secrets in it."""
        reply = await self._site.operations.ask(request, "GET", "/api/v1/doctor/report")
        if reply.status != 200:
            raise _as_error(reply)
        headers = {
            "Content-Disposition": 'attachment; filename="timeball-report.json"',
            "Cache-Control": "no-store",
        }
        return Reply(json_text(reply.value), headers=headers, content_type="text/plain")

    async def _do(self, request: Request, verb: str) -> Reply:
        form = read_form(request)
        path = f"/api/v1/doctor/{quote(request.params['id'], safe='')}/{verb}"
        reply = await ask_confirmed(self._site.operations, request, form, "POST", path, None)
        if reply.status >= 300:
            why, fields = refusal(reply)
            if verb == "fix" and reply.status != NotFound.status:
                return await self.confirm(
                    request, why=why, wrong=fields.get("password", ""), status=reply.status
                )
            raise _as_error(reply)
        return redirect(f"/doctor?done={'mended' if verb == 'fix' else 'unmended'}")

    async def _examine(self, request: Request) -> dict[str, Any]:
        reply = await self._site.operations.ask(request, "GET", "/api/v1/doctor")
        if reply.status != 200:
            raise _as_error(reply)
        value: dict[str, Any] = reply.value
        return value


def check(value: Mapping[str, Any]) -> Check:
    """From the API's answer."""
    level, fix = str(value["level"]), value.get("fix") or {}
    text = str(value["text"])
    return Check(
        id=str(value["id"]),
        shape=_SHAPES.get(level, "none"),
        word=_WORDS.get(level, level),
        text=text[:1].upper() + text[1:],
        why=str(value["why"]),
        evidence=[str(line) for line in value["evidence"]],
        remedy=str(value["remedy"]),
        commands=[str(line) for line in value["commands"]],
        says=str(fix.get("says", "")),
        root=bool(fix.get("root")),
        for_good=bool(fix) and not fix.get("undo"),
    )


def _as_error(reply: Reply) -> ApiError:
    why, errors = refusal(reply)
    error = ApiError(why, errors=errors)
    error.status = reply.status
    return error
