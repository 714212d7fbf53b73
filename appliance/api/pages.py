"""For plugins with pages of their own: what an operation refused, and operations that want the reader's password anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from appliance.api.http import Reply, Request


class Asking(Protocol):
    """Whoever does operations of the API in the reader's name, such as `Frame`."""

    async def ask(self, asker: Any, method: str, path: str, *, body: Any = None) -> Any:
        """Do one; see `Frame.ask`."""
        ...


def refusal(reply: Reply) -> tuple[str, dict[str, str]]:
    """What an operation refused with: a sentence, and one for each field that is wrong."""
    value = reply.value if isinstance(reply.value, Mapping) else {}
    fields = {
        str(error.get("field", "")): str(error.get("message", ""))
        for error in value.get("errors", ())
        if isinstance(error, Mapping)
    }
    return str(value.get("detail", f"it failed with status {reply.status}")), fields


async def ask_confirmed(
    frame: Asking, request: Request, form: Mapping[str, str], method: str, path: str, body: Any
) -> Reply:
    """Do an operation that wants the password of the last minutes; the form brings it as `my_password` when it is needed.

    Returns:
        The operation's reply, or that of the confirmation when the password was not taken.
    """
    if not request.actor.confirmed and form.get("my_password"):
        confirmed: Reply = await frame.ask(
            request, "POST", "/api/v1/session/confirm", body={"password": form["my_password"]}
        )
        if confirmed.status != 200:
            return confirmed
        # Also when the operation is refused for another reason: the form that is shown again must not ask once more.
        request.actor = replace(request.actor, confirmed=True)
    reply: Reply = await frame.ask(request, method, path, body=body)
    return reply
