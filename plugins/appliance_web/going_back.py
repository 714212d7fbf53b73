"""Pages that take other people's plugins back, end safe mode, or start the appliance again: each says what it does, and asks."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.api.pages import ask_confirmed, refusal
from appliance.core.routes import Reply, Request
from appliance_web.actions import read_form, redirect
from appliance_web.site import Site


@dataclass(frozen=True, slots=True)
class Step:
    """Something to be asked about.

    Attributes:
        path: of the page.
        operation: that does it.
        cli: that does the same.
        title: of the window.
        question: what it is about.
        means: what will be different.
        verb: on the button.
        done: word of the notice that follows.
        confirm: whether it wants the password of the last minutes.
    """

    path: str
    operation: str
    cli: str
    title: str
    question: str
    means: str
    verb: str
    done: str
    confirm: bool


ROLL_BACK = Step(
    "/plugins/rollback", "/api/v1/plugins/installed/rollback", "timeball plugin rollback", "Go back",
    "Go back to the plugins before the last installation or removal?",
    "What runs now goes on running; the change takes effect, and safe mode ends, when the appliance starts again. "
    "The page Plugins offers that then.",
    "Go back", "rolled-back", confirm=True,
)  # fmt: skip
LEAVE = Step(
    "/plugins/safe-mode", "/api/v1/plugins/safe-mode/leave", "timeball plugin safe-mode off", "Leave safe mode",
    "Try other people's plugins again?",
    "They are loaded when the appliance starts again; the page Plugins offers that then. If the one that is suspected is still "
    "there, remove it or go back first. Three starts that do not last lead to safe mode again.",
    "Leave safe mode", "safe-mode-left", confirm=True,
)  # fmt: skip


RESTART = Step(
    "/plugins/restart", "/api/v1/restart", "timeball restart", "Start again",
    "Start the appliance again now?",
    "For a second or two nobody is answered, neither time nor names. What was installed, taken back or switched takes effect.",
    "Start again", "restarting", confirm=False,
)  # fmt: skip


class GoingBack:
    """Handlers of one step: the question, and the deed."""

    def __init__(self, site: Site, step: Step) -> None:
        self._site = site
        self._step = step

    async def ask(self, request: Request, *, why: str = "", wrong: str = "", status: int = 200) -> Reply:
        """Say what it means, and ask; also again, when it was refused."""
        step = self._step
        return await self._site.page(
            request, "going_back.html", step.title, here="/plugins", topic="plugins", step=step, status=status,
            same=[("CLI", step.cli), ("API", f"POST {step.operation}")],
            why=why, wrong=wrong, ask_password=step.confirm and not request.actor.confirmed,
        )  # fmt: skip

    async def do(self, request: Request) -> Reply:
        """Do it."""
        form = read_form(request)
        reply = await ask_confirmed(self._site.operations, request, form, "POST", self._step.operation, None)
        if reply.status >= 300:
            why, fields = refusal(reply)
            return await self.ask(request, why=why, wrong=fields.get("password", ""), status=reply.status)
        return redirect(f"/plugins?done={self._step.done}")
