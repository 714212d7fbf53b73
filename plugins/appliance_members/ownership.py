"""Whose members are: who gets a new one, how many somebody may have, and names for accounts.

That nobody reaches what is not his is not decided here but where a request enters (`appliance.core.routes.authorise`);
there an operator gets in to all, and somebody with the role member only to his own, with `request.only` set.
"""

from __future__ import annotations

from collections.abc import Iterable

from appliance.api.context import SetupContext
from appliance.api.errors import Invalid, Refused
from appliance.api.http import Request
from appliance.api.model import Member
from appliance.api.services import Identity
from appliance_members.bodies import ManyMembers, NewMember
from appliance_members.config import Config
from appliance_members.registry import Holder
from appliance_members.roster import Roster


class Ownership:
    """Joins the registry's accounts with the people who have them."""

    def __init__(self, ctx: SetupContext, roster: Roster) -> None:
        self._ctx = ctx
        self._roster = roster

    def seen_by(self, request: Request) -> Iterable[Member]:
        """The members that the asker may see."""
        members = self._roster.table.get().values()
        return [m for m in members if m.owner == request.only] if request.only else members

    def name_of(self, member: Member) -> str:
        """What its owner is called; "" when nobody owns it, or the account is gone."""
        people = self._ctx.find(Identity)  # type: ignore[type-abstract]
        return people.name_of(member.owner) if people and member.owner else ""

    def account_of(self, name: str) -> str:
        """The account of the user `name`; "" stands for nobody.

        Raises:
            Invalid: there is no such user.
        """
        if not name.strip():
            return ""
        people = self._ctx.find(Identity)  # type: ignore[type-abstract]
        account = people.account_of(name) if people else ""
        if not account:
            why = "there is no such user: timeball user list"
            raise Invalid(f"there is no user {name!r}", errors={"owner": why})
        return account

    def of_new(self, request: Request, body: NewMember | ManyMembers) -> Holder:
        """Who gets new members: the asker himself when he may have no others, else the user he names, or nobody.

        Raises:
            Refused: they would be somebody else's, or he has to accept what the live check finds. Invalid: no such user.
        """
        if not request.only:
            return Holder(self.account_of(body.owner or ""))
        if body.owner and self.account_of(body.owner) != request.only:
            raise Refused("what you add is your own: only an operator gives servers to others")
        if body.force:
            raise Refused(
                "what the live check finds holds for you; an operator may add a server in spite of it"
            )
        config: Config = self._ctx.config
        return Holder(request.only, config.max_members_each)
