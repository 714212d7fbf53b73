"""For plugins with pages of their own: what an operation refused, and operations that want the reader's password anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from appliance.api.http import Reply, Request
from appliance.api.services import Frame


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
    frame: Frame, request: Request, form: Mapping[str, str], method: str, path: str, body: Any
) -> Reply:
    """Do an operation that wants the password of the last minutes; the form brings it as `my_password` when it is needed.

    Returns:
        The operation's reply, or that of the confirmation when the password was not taken.
    """
    asker = request
    if not request.actor.confirmed and form.get("my_password"):
        confirmed: Reply = await frame.ask(
            request, "POST", "/api/v1/session/confirm", body={"password": form["my_password"]}
        )
        if confirmed.status != 200:
            return confirmed
        asker = replace(request, actor=replace(request.actor, confirmed=True))
    reply: Reply = await frame.ask(asker, method, path, body=body)
    return reply
