"""Who somebody is: by the cookie of a session or by a token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from appliance.api.actor import ROLES, Actor
from appliance.api.errors import Unknown
from appliance.core.routes import Line
from appliance_people import failures, keeping, sessions, tokens
from appliance_people.failures import PlainHttp, TooOften
from appliance_people.people import People
from appliance_people.sessions import Session
from appliance_people.throttle import address_key


class Recognition:
    """Implements `appliance.api.services.Identity`."""

    def __init__(self, people: People, *, setup_anywhere: bool = False) -> None:
        self._people = people
        self.setup_anywhere = setup_anywhere

    @property
    def claimed(self) -> bool:
        """Whether the box has an owner."""
        return self._people.claimed

    def name_of(self, account: str) -> str:
        """See `Identity`."""
        user = self._people.users.get(account)
        return user.name if user else ""

    def account_of(self, name: str) -> str:
        """See `Identity`."""
        user = self._people.find(name)
        return user.id if user else ""

    async def identify(self, headers: Mapping[str, str], remote: str, line: str) -> Actor | None:
        """See `Identity`."""
        way: Line = line  # type: ignore[assignment]
        if "authorization" in headers:
            scheme, _, shown = headers["authorization"].partition(" ")
            # What is no token names nobody, and then a cookie does not either: one request is of one asker.
            return await self._by_token(shown.strip(), remote, way) if scheme.lower() == "bearer" else None
        value = "" if way == "plain" else sessions.shown(headers.get("cookie", ""), way)
        return await self._by_session(value) if value else None

    def still(self, actor: Actor) -> bool:
        """See `Identity`."""
        if not actor.via:
            return True
        user = self._people.users.get(actor.account)
        shown = (self._people.sessions if actor.kind == "session" else self._people.tokens).get(actor.via)
        if user is None or shown is None or user.role != actor.role or shown.account != user.id:
            return False
        now = self._people.now()
        if isinstance(shown, Session):
            return shown.lives(now, user.role)
        return shown.expires is None or now < shown.expires

    async def _by_session(self, value: str) -> Actor | None:
        session = self._people.sessions.get(self._people.by_hash.get(sessions.digest(value), ""))
        user = self._people.users.get(session.account) if session else None
        if session is None or user is None:
            return None
        now = self._people.now()
        if not session.lives(now, user.role):
            await self._people.forget_sessions([session.id])
            return None
        if abs(now - session.seen) >= sessions.SEEN_EVERY_S:
            await self._people.keep_quietly(replace(session, seen=now))
        return Actor(
            user.name, "session", ROLES[user.role], user.role, user.id, session.id, session.is_confirmed(now)
        )

    async def _by_token(self, text: str, remote: str, line: Line) -> Actor:
        if line == "plain":
            raise PlainHttp
        key, now = address_key(remote), self._people.now()
        token = self._people.tokens.get(tokens.id_of(text) or "")
        user = self._people.users.get(token.account) if token else None
        maker = self._people.users.get(token.maker) if token and token.maker else user
        if token is None or user is None or maker is None or not tokens.same(text, token.hash):
            # Guesses become slow. What is right is no guess, whoever else guesses at the same address.
            if (wait_s := self._people.throttle.wait_s([key], now)) > 0:
                raise TooOften(wait_s)
            await self._people.charge([key])
            failures.tell(remote, "wrong token", token.id if token else "")
            raise Unknown("this token is not one of ours: it was revoked, or it is not complete")
        if not token.works(now, remote):
            over = token.expires is not None and now >= token.expires
            failures.tell(remote, "expired token" if over else "token from elsewhere", token.id)
            raise Unknown("this token is over" if over else "this token does not work from this address")
        if token.used is None or abs(now - token.used) >= sessions.SEEN_EVERY_S or token.used_from != remote:
            used = replace(token, used=now, used_from=remote)
            self._people.tokens[token.id] = used
            await self._people.write_quietly(keeping.put_token(used))
        # What everybody may who shows nothing, a token may too.
        grants = tokens.meet(tokens.meet(token.grants, ROLES[user.role]), ROLES[maker.role]) | {"public"}
        name = f"{user.name}'s token {token.label or token.id}"
        return Actor(name, "token", grants, user.role, user.id, token.id)
