"""What is done with the servers that were chosen in the table: pause, resume, weight and tags; each one's result is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from appliance.api.errors import Invalid
from appliance.api.model import Member
from appliance.api.pages import refusal
from appliance.core.routes import Reply, Request
from appliance_web import words
from appliance_web.actions import read_form, redirect
from appliance_web.journal import called
from appliance_web.site import Site

_MOST_FIELDS = 220
#: Of what is sent by the Enter key no button says what it is for.
TYPED = "typed"
_TITLES = {
    "pause": "Pause servers", "resume": "Resume servers", "weight": "Set the weight", "tag": "Add tags",
    "untag": "Take tags away",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Order:
    """What to do with each of them.

    Attributes:
        verb: a key of `_TITLES`.
        body: of pause: for how long.
        netspeed: the weight.
        tags: words to add or to take away.
    """

    verb: str
    body: Mapping[str, Any]
    netspeed: int = 0
    tags: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return _TITLES[self.verb]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one of them.

    Attributes:
        key: id of the server.
        called: what people call it.
        done: whether it is now as was asked.
        said: what changed, or why nothing did; hostile text possible: escape it.
        status: of the operation.
    """

    key: str
    called: str
    done: bool
    said: str
    status: int = 200


class Chosen:
    """The handler of the form below the table."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def bulk(self, request: Request) -> Reply:
        """Do it for each that is chosen, whatever became of the others; then back to the table, or to what became of each."""
        form = read_form(request, most_fields=_MOST_FIELDS)
        order = order_of(form)
        keys = [name.removeprefix("m-") for name in form if name.startswith("m-")]
        if not keys:
            raise Invalid("no server was chosen")
        outcomes = [await self._do(request, key, order) for key in keys]
        refused = [one for one in outcomes if not one.done]
        if not refused and order.verb in ("pause", "resume"):
            return redirect(f"/members?done={order.verb}d-many")
        status = 200 if len(refused) < len(outcomes) else refused[0].status
        return await self._site.page(
            request, "chosen.html", order.title, here="/members", topic="web", status=status,
            same=[("CLI", "timeball member set ADDRESS --netspeed 500"), ("API", 'PATCH /api/v1/members/{id} {"netspeed": 500}')],
            outcomes=sorted(outcomes, key=lambda one: one.done), refused=len(refused),
        )  # fmt: skip

    async def _do(self, request: Request, key: str, order: Order) -> Outcome:
        member = (self._site.members(request) or {}).get(key)
        name = key if member is None else called(member)
        path = f"/api/v1/members/{quote(key, safe='')}"
        ask = self._site.operations.ask
        if order.verb in ("pause", "resume"):
            reply = await ask(request, "POST", f"{path}/{order.verb}", body=dict(order.body))
            said = f"{order.verb}d"
        elif member is None:
            return Outcome(key, name, done=False, said="it is not there", status=404)
        else:
            change, said = changed(member, order)
            if not change:
                return Outcome(key, name, done=True, said=said)
            reply = await ask(request, "PATCH", path, body=change)
        if reply.status < 300:
            return Outcome(key, name, done=True, said=said)
        why, fields = refusal(reply)
        said = "; ".join(fields.values()) or why
        return Outcome(key, name, done=False, said=said, status=reply.status)


def order_of(form: Mapping[str, str]) -> Order:
    """What a form asks for.

    Raises:
        Invalid: it does not say what, or not all of it.
    """
    verb, weight = form.get("verb", ""), form.get("netspeed", "")
    tags = tuple(dict.fromkeys(form.get("tags", "").replace(",", " ").split()))
    if verb == TYPED and bool(weight) != bool(tags):
        verb = "weight" if weight else "tag"
    if verb not in _TITLES:
        raise Invalid(f"say what to do with them: {', '.join(_TITLES)}")
    if verb == "weight" and not (weight.isascii() and weight.isdigit() and len(weight) <= 9):
        raise Invalid(
            "Nothing was changed.", errors={"netspeed": "a whole number, such as 500; 0 is watched only"}
        )
    if verb in ("tag", "untag") and not tags:
        raise Invalid("Nothing was changed.", errors={"tags": "a word, or several with spaces between"})
    hours = form.get("hours", "")
    limited = verb == "pause" and hours.isascii() and hours.isdigit() and len(hours) <= 4 and int(hours) > 0
    return Order(
        verb,
        {"for_s": int(hours) * 3600.0} if limited else {},
        int(weight) if verb == "weight" else 0,
        tags,
    )


def changed(member: Member, order: Order) -> tuple[dict[str, Any], str]:
    """The fields that change, none when it is so already, and what to say of it."""
    if order.verb == "weight":
        if member.netspeed == order.netspeed:
            return {}, f"its weight was {words.count(order.netspeed)} already"
        note = "" if order.netspeed else ": watched only, never answered"
        was = words.count(member.netspeed)
        return {"netspeed": order.netspeed}, f"weight {words.count(order.netspeed)}, was {was}{note}"
    adding = order.verb == "tag"
    moved = [tag for tag in order.tags if (tag in member.tags) != adding]
    if not moved:
        return (
            {},
            f"it {'had' if adding else 'had none of'} {', '.join(order.tags)}{' already' if adding else ''}",
        )
    tags = [*member.tags, *moved] if adding else [tag for tag in member.tags if tag not in moved]
    left = f"tags {', '.join(tags)}" if tags else "no tags"
    return {"tags": tags}, f"{left}; {'added' if adding else 'taken away'}: {', '.join(moved)}"
