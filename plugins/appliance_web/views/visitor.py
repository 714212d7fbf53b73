"""Who reads the page, in the head of it."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.api.actor import Actor


@dataclass(frozen=True, slots=True)
class Visitor:
    """What the head shows.

    Attributes:
        name: of who signed in, or "".
        setup: the box has no owner, and this reader may become it.
    """

    name: str = ""
    setup: bool = False


def visitor(actor: Actor, *, known: bool) -> Visitor | None:
    """The head for `actor`; None where nobody can sign in because no plugin knows people."""
    if not known:
        return None
    return Visitor(
        actor.name if actor.kind == "session" and actor.account else "",
        actor.may("setup:run"),
    )
