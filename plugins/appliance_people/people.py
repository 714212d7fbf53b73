"""The people of this box: everybody by id, kept in memory and written through.

The database comes first, so that what it refuses did not happen; only what takes rights away happens in memory first.
Nobody is known before all was read, and the box counts as claimed until then: not knowing must not open the setup.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.api.errors import ApiError, Invalid, NotFound, Unknown
from appliance.api.services import Store
from appliance.core.clock import Clock
from appliance_people import failures, keeping, passwords, sessions
from appliance_people.accounts import User, folded, owners
from appliance_people.failures import TooOften
from appliance_people.hashing import Hashing
from appliance_people.sessions import Session
from appliance_people.throttle import FORGET_S, Throttle, account_key, address_key
from appliance_people.tokens import Token

log = logging.getLogger("timeball.people")


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a sign-in leads to: the user, the session, and the cookie's value, which is told only now."""

    user: User
    session: Session
    value: str


#: Sessions bear what is smaller.
_NOTICED_STEP_S = 30.0


class People:
    """Everybody, and the pieces that all operations on them are made of.

    Attributes:
        users, sessions, tokens: everybody by id. Read only.
        throttle: failed tries.
        one_by_one: held from the look at a user until the change is written: of two changes at one moment none is made
            from what the other has just changed, and none is undone by it.
    """

    def __init__(
        self, store: Store, clock: Clock, hashing: Hashing, folder: Path, *, setup_anywhere: bool = False
    ) -> None:
        self.store = store
        self._clock = clock
        self.hashing = hashing
        self._mark = folder / "claimed"
        self._known = False
        self._since = 0.0
        self.users: dict[str, User] = {}
        self.sessions: dict[str, Session] = {}
        self.tokens: dict[str, Token] = {}
        self.throttle = Throttle()
        self.one_by_one = asyncio.Lock()
        self.by_hash: dict[str, str] = {}

    async def recall(self) -> None:
        """Read everything; until then nobody is known."""
        users, open_sessions, open_tokens, tallies = await self.store.read(keeping.everything)
        self.users = {user.id: user for user in users}
        self.sessions = {session.id: session for session in open_sessions}
        self.tokens = {token.id: token for token in open_tokens}
        self.by_hash = {session.hash: session.id for session in open_sessions}
        self.throttle.recall(tallies)
        self._known = True
        self._since = self.now()
        if owners(self.users):
            self.leave_mark()
        elif self.claimed:
            log.error(
                "the box had an owner, and the database has none: nobody can claim it over the network. Make a new one on "
                "the box: timeball user add NAME --role owner"
            )

    @property
    def known(self) -> bool:
        """Whether everybody who is kept has been read."""
        return self._known

    @property
    def claimed(self) -> bool:
        """Whether there is an owner, or was one: a database that was lost must not open the box to the next who comes."""
        return not self._known or bool(owners(self.users)) or self._mark.exists()

    def now(self) -> float:
        """Epoch seconds."""
        return self._clock.wall_ns() / 1e9

    async def stepped(self, step_s: float) -> None:
        """The clock was set: who is signed in stays it, and new tokens last as long as was said.

        A board without a clock is set by years when a network comes, maybe while somebody sets it up. What is from before this
        start keeps its times: how long the box was off is not known.
        """
        since, self._since = self._since, self._since + step_s
        if abs(step_s) < _NOTICED_STEP_S:
            return
        moved = [session.moved(step_s) for session in self.sessions.values() if session.seen >= since]
        given = [token.moved(step_s) for token in self.tokens.values() if token.created >= since]
        self.sessions |= {session.id: session for session in moved}
        self.tokens |= {token.id: token for token in given}
        if moved or given:
            await self.write_quietly(
                keeping.together(*map(keeping.put_session, moved), *map(keeping.put_token, given))
            )

    async def sweep(self) -> None:
        """Forget what is over."""
        now = self.now()
        over = [
            session.id
            for session in self.sessions.values()
            if (user := self.users.get(session.account)) is None or not session.lives(now, user.role)
        ]
        if over:
            await self.forget_sessions(over)
        self.throttle.sweep(now)
        await self.write_quietly(keeping.drop_tallies(now - FORGET_S))

    def find(self, key: str) -> User | None:
        """By name (in any case) or id."""
        wanted = folded(key)
        return next((u for u in self.users.values() if wanted == folded(u.name)), self.users.get(key))

    def asked(self, key: str) -> User:
        """As `find`.

        Raises:
            NotFound: there is no such user.
        """
        if (user := self.find(key)) is None:
            raise NotFound(f"there is no user {key}")
        return user

    def there(self, user: User) -> User:
        """The same user as it stands now; ask with `one_by_one` held before it is changed.

        Raises:
            NotFound: it was removed meanwhile.
        """
        if (fresh := self.users.get(user.id)) is None:
            raise NotFound(f"there is no user {user.name} any more")
        return fresh

    # -- sessions ---------------------------------------------------------------------------------------------------

    def sessions_of(self, account: str) -> list[Session]:
        """Somebody's sessions that are not over, the newest first."""
        user = self.users.get(account)
        if user is None:
            return []
        now = self.now()
        found = [s for s in self.sessions.values() if s.account == account and s.lives(now, user.role)]
        return sorted(found, key=lambda s: -s.seen)

    async def begin_session(self, user: User, remote: str, agent: str, *, password: str = "") -> SignedIn:
        """Sign in somebody whose password was compared with that of `user`.

        Args:
            user: as it was when that began.
            remote: where it is typed.
            agent: what the browser says it is.
            password: its hash as it is kept from now on; "" for the same.

        Raises:
            Unknown: the user was removed, or has another password by now.
        """
        value, key, kept = sessions.make()
        async with self.one_by_one:
            fresh, now = self.users.get(user.id), self.now()
            if fresh is None or fresh.password != user.password:
                raise Unknown("the name or the password is wrong")
            fresh = replace(fresh, password=password or fresh.password, signed_in=now)
            session = Session(
                key, kept, user.id, now, now, now, remote, "".join(c for c in agent if c.isprintable())[:200]
            )
            mine = sorted((s for s in self.sessions.values() if s.account == user.id), key=lambda s: s.seen)
            surplus = [s.id for s in mine[: max(0, len(mine) - sessions.MOST_PER_ACCOUNT + 1)]]
            await self.store.write(
                keeping.together(
                    keeping.put_user(fresh), keeping.put_session(session), keeping.drop("session", surplus)
                )
            )
            self.users[user.id] = fresh
            self.drop_sessions(surplus)
            self.sessions[key] = session
            self.by_hash[kept] = key
        return SignedIn(fresh, session, value)

    async def end_sessions(self, ids: Sequence[str]) -> None:
        """Sign out. They are over at once, whatever the disk does: nothing can write them again behind our back."""
        self.drop_sessions(ids)
        await self.store.write(keeping.drop("session", ids))

    def drop_sessions(self, ids: Sequence[str]) -> None:
        for key in ids:
            if (session := self.sessions.pop(key, None)) is not None:
                self.by_hash.pop(session.hash, None)

    async def forget_sessions(self, ids: Sequence[str]) -> None:
        self.drop_sessions(ids)
        await self.write_quietly(keeping.drop("session", ids))

    async def keep_quietly(self, session: Session) -> None:
        self.sessions[session.id] = session
        await self.write_quietly(keeping.put_session(session))

    # -- passwords --------------------------------------------------------------------------------------------------

    async def hash_new(self, password: str, name: str) -> str:
        if (why := passwords.refusal(password, (name, *self.hashing.words))) is not None:
            raise Invalid(f"the password is {why}", errors={"password": why})
        return await self.hashing.hashed(password)

    async def unlock(self, key: str) -> bool:
        """Let an account or address try again at once: "account:NAME" or "address:ADDRESS"."""
        found = self.throttle.forget(key)
        await self.store.write(keeping.put_tallies({key: None}))
        return found

    async def admit(self, keys: Sequence[str], remote: str, name: str) -> None:
        """Charge one try.

        Raises:
            TooOften: it is too early for one.
        """
        if (wait_s := self.throttle.wait_s(keys, self.now())) > 0:
            failures.tell(remote, "too often", name)
            raise TooOften(wait_s)
        await self.charge(keys)

    async def charge(self, keys: Sequence[str]) -> None:
        # Before anything is waited for: tries at one moment are all counted.
        forgotten = self.throttle.charge(keys, self.now())
        # The disk keeps no more of them than the memory: strangers have as many names and addresses as they like.
        await self.write_quietly(
            keeping.put_tallies({key: self.throttle.tally(key) for key in [*keys, *forgotten]})
        )

    async def check_password(self, user: User, password: str, remote: str) -> None:
        account, address = account_key(user.name), address_key(remote)
        await self.admit([account, address], remote, user.name)
        if not await self.hashing.matches(password, user.password or None):
            failures.tell(remote, "wrong password", user.name)
            raise Invalid("the password is wrong", errors={"password": "wrong"})
        await self.passed(account, address)

    async def passed(self, account: str, address: str) -> None:
        self.throttle.passed(account, address)
        await self.write_quietly(keeping.put_tallies({k: self.throttle.tally(k) for k in (account, address)}))

    # -- keeping ----------------------------------------------------------------------------------------------------

    async def keep_user(self, user: User) -> User:
        await self.store.write(keeping.put_user(user))
        self.users[user.id] = user
        return user

    async def write_quietly(self, change: keeping.Change) -> None:
        """Write what can be lost: a disk that is full must not keep people out."""
        try:
            await self.store.write(change)
        except ApiError as error:
            log.debug("not kept: %s", error)

    def leave_mark(self) -> None:
        try:
            self._mark.touch(mode=0o600)
        except OSError as error:
            log.warning("%s cannot be written: %s", self._mark, error.strerror)
