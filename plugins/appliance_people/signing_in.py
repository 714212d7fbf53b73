"""Signing in, giving the password again, and changing the own one."""

from __future__ import annotations

from dataclasses import replace

from appliance.api.actor import Actor
from appliance.api.errors import Refused, Unknown
from appliance.core.routes import Line
from appliance_people import failures, keeping, passwords, sessions
from appliance_people.failures import PlainHttp
from appliance_people.people import People, SignedIn
from appliance_people.throttle import account_key, address_key
from appliance_people.users import Users


class SigningIn:
    """What people do with their own passwords."""

    def __init__(self, people: People, users: Users) -> None:
        self._people = people
        self._users = users

    async def sign_in(
        self, name: str, password: str, remote: str, line: Line, agent: str, old: str = ""
    ) -> SignedIn:
        """A new session for who knows the password.

        Args:
            name: of the user.
            password: as typed.
            remote: where it is typed.
            line: how safe the way here is.
            agent: what the browser says it is.
            old: value of the cookie that was shown with it: that session ends.

        Raises:
            PlainHttp: not over this line.
            TooOften: 429 with the time to wait.
            Unknown: wrong; the answer is the same whether there is such a user or not, and takes the same work.
        """
        if line == "plain":
            raise PlainHttp
        user = self._people.find(name)
        # The count is the account's, by whichever of its names somebody calls it.
        account, address = account_key(user.name if user else name), address_key(remote)
        await self._people.admit([account, address], remote, name)
        if (
            not await self._people.hashing.matches(password, user.password or None if user else None)
            or user is None
        ):
            failures.tell(remote, "wrong password" if user else "unknown user", name)
            raise Unknown("the name or the password is wrong")
        await self._people.passed(account, address)
        kept = user.password
        if passwords.outdated(kept):
            kept = await self._people.hashing.hashed(password)
        fresh = self._people.users.get(user.id)
        if fresh is None or fresh.password != user.password:  # removed or reset while we were comparing
            raise Unknown("the name or the password is wrong")
        if old and (session := self._people.by_hash.get(sessions.digest(old))):
            await self._people.end_sessions([session])
        return await self._people.begin_session(user, remote, agent, password=kept)

    async def confirm(self, actor: Actor, password: str, remote: str) -> None:
        """Take note that the person at this session gave the password again.

        Raises:
            TooOften, Refused: not now, or not the password.
        """
        session, user = self._people.sessions.get(actor.via), self._people.users.get(actor.account)
        if session is None or user is None:
            raise Refused("only a session can be confirmed")
        await self._people.check_password(user, password, remote)
        if (session := self._people.sessions.get(actor.via)) is None:
            raise Refused("this session is over")
        session = replace(session, confirmed=self._people.now())
        self._people.sessions[session.id] = session
        await self._people.store.write(keeping.put_session(session))

    async def change_own_password(self, actor: Actor, old: str, new: str, remote: str) -> None:
        """Somebody changes the own password; all other sessions end.

        Raises:
            TooOften, Invalid: the old one is wrong, or the new one is not taken.
        """
        user = self._people.users.get(actor.account)
        if user is None:
            raise Refused("you have no password here")
        await self._people.check_password(user, old, remote)
        await self._users.set_password(user, new, keep=actor.via, instead=user.password)
