"""Handing out tokens, never with more rights than whoever hands them out."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.api.actor import ROLES, Actor, covers, is_grant
from appliance.api.errors import Invalid, Refused
from appliance_people import keeping, tokens
from appliance_people.accounts import may_give
from appliance_people.people import People
from appliance_people.tokens import Token


class Issuing:
    """Makes and revokes tokens."""

    def __init__(self, people: People) -> None:
        self._people = people

    async def add_token(
        self,
        by: Actor,
        account: str,
        label: str,
        grants: Sequence[str],
        days: int | None,
        networks: Sequence[str] = (),
    ) -> tuple[str, Token]:
        """Make a token; its text is told only now.

        Args:
            by: who makes it.
            account: id of the user that it belongs to.
            label: what it is for.
            grants: what it may do.
            days: how long it works; None: for ever.
            networks: from where; empty: from everywhere.

        Raises:
            Invalid: there is no such grant, or it makes no sense.
            Refused: it would exceed who makes it, or who has it.
        """
        user = self._people.users[account]
        maker = by.account if by.account != account else ""
        if by.account != account and not may_give(by, user.role):
            raise Refused(
                f"{user.name} may more than {by.name}, and a token of {user.name} would act under that name"
            )
        wrong = [grant for grant in grants if not is_grant(grant)]
        if wrong or not grants:
            what = f"no such scope: {', '.join(wrong)}" if wrong else "say what it may do"
            raise Invalid(f'{what}; a scope is "area:verb" as in servers:read', errors={"scopes": what})
        try:
            places = tuple(tokens.network(text) for text in networks)
        except ValueError as error:
            raise Invalid(
                f"an address list holds addresses and prefixes: {error}", errors={"addresses": str(error)}
            ) from None
        above = [g for g in grants if not (covers(by.grants, g) and covers(ROLES[user.role], g))]
        if above:
            raise Refused(f"a token may not do more than you: {', '.join(above)}")
        text, key, kept = tokens.make()
        now = self._people.now()
        token = Token(key, kept, account, " ".join(label.split())[:100], tuple(grants), now,
                      None if days is None else now + days * 86400.0, places, maker=maker)  # fmt: skip
        await self._people.store.write(keeping.put_token(token))
        self._people.tokens[key] = token
        return text, token

    async def revoke(self, token: Token) -> None:
        """It stops working at once."""
        self._people.tokens.pop(token.id, None)
        await self._people.store.write(keeping.drop("token", [token.id]))
