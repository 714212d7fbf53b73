"""What may be done with users, and by whom."""

from __future__ import annotations

from dataclasses import replace

from appliance.api.actor import Actor, Role
from appliance.api.errors import Conflict, Invalid, Refused
from appliance_people import keeping, passwords
from appliance_people.accounts import User, checked_name, may_give, new_id, owners
from appliance_people.people import People, SignedIn
from appliance_people.throttle import account_key


class Users:
    """Changes who may sign in."""

    def __init__(self, people: People) -> None:
        self._people = people

    async def add_user(
        self, by: Actor, name: str, role: Role, password: str, *, password_hash: str = ""
    ) -> User:
        """Make a user.

        Args:
            by: who does it; nobody makes somebody who may more.
            name: to sign in with.
            role: what it may do.
            password: checked against the rules.
            password_hash: an Argon2id hash in place of a password.

        Raises:
            Invalid, Conflict, Refused.
        """
        name = checked_name(name)
        if self._people.find(name) is not None:
            raise Conflict(f"there is a user {name} already")
        self._check_gift(by, role)
        if password_hash and not passwords.is_hash(password_hash):
            raise Invalid(
                "this is no Argon2id hash", errors={"password_hash": "a PHC string: $argon2id$v=19$..."}
            )
        kept = password_hash or await self._people.hash_new(password, name)
        async with self._people.one_by_one:
            if self._people.find(name) is not None:  # somebody else was faster
                raise Conflict(f"there is a user {name} already")
            now = self._people.now()
            user = User(new_id(), name, role, kept, now, now)
            await self._people.store.write(keeping.put_user(user))
            self._people.users[user.id] = user
        if role == "owner":
            self._people.leave_mark()
        return user

    async def claim(
        self, name: str, password: str, remote: str, agent: str, *, password_hash: str = ""
    ) -> SignedIn:
        """Make the first owner and sign it in. The caller has checked the setup code.

        Raises:
            Conflict: somebody was faster.
            Invalid: name or password are not taken.
        """
        if self._people.claimed:
            raise Conflict("this box has an owner already")
        name = checked_name(name)
        kept = password_hash or await self._people.hash_new(password, name)
        if self._people.claimed:
            raise Conflict("this box has an owner already")
        now = self._people.now()
        user = User(new_id(), name, "owner", kept, now, now, signed_in=now)
        self._people.users[user.id] = user  # at once: from here on it is claimed, whoever else is on the way
        try:
            await self._people.store.write(keeping.put_user(user))
        except BaseException:
            del self._people.users[user.id]
            raise
        self._people.leave_mark()
        return await self._people.begin_session(user, remote, agent)

    async def change_role(self, by: Actor, user: User, role: Role) -> User:
        """Give somebody another role, effective with the next request.

        Raises:
            Refused: it is not `by`'s to give.
            Conflict: nobody would own the box.
            NotFound: the user was removed meanwhile.
        """
        async with self._people.one_by_one:
            fresh = self._people.there(user)
            self._check_gift(by, fresh.role)
            self._check_gift(by, role)
            if role != "owner":
                self._check_last(fresh)
            return await self._people.keep_user(replace(fresh, role=role))

    async def set_password(
        self,
        user: User,
        password: str,
        *,
        by: Actor | None = None,
        notice: str = "",
        keep: str = "",
        instead: str = "",
    ) -> User:
        """Set a password; every session of the user ends, but the one with the id `keep`.

        Args:
            user: whose.
            password: checked against the rules.
            by: who does it to somebody else; None for the user.
            notice: what the next sign-in shows.
            keep: id of the session that goes on.
            instead: the hash that it takes the place of; "" for whichever is there.

        Raises:
            Invalid: it is not taken. NotFound: the user was removed meanwhile. Conflict: another one was set meanwhile.
            Refused: meanwhile the user may more than `by`.
        """
        kept = await self._people.hash_new(password, user.name)
        async with self._people.one_by_one:
            fresh = self._people.there(user)
            if by is not None:
                self._check_gift(by, fresh.role)
            if instead and fresh.password != instead:
                raise Conflict("your password was set by somebody else at this moment; nothing was changed")
            ended = [s.id for s in self._people.sessions.values() if s.account == user.id and s.id != keep]
            changed = replace(fresh, password=kept, changed=self._people.now(), notice=notice)
            self._people.drop_sessions(ended)
            await self._people.store.write(
                keeping.together(keeping.put_user(changed), keeping.drop("session", ended))
            )
            self._people.users[user.id] = changed
        self._people.throttle.forget(account_key(user.name))
        await self._people.write_quietly(keeping.put_tallies({account_key(user.name): None}))
        return changed

    async def reset_password(self, by: Actor, user: User, password: str) -> User:
        """Set somebody's password without the old one; the next sign-in tells.

        Raises:
            Refused: `by` may not touch somebody with this role. Invalid: it is not taken.
        """
        self._check_gift(by, user.role)
        return await self.set_password(
            user,
            password,
            by=by,
            notice=f"Your password was set anew by {by.name}. If you did not ask for that, find out who did.",
        )

    async def remove_user(self, by: Actor, user: User) -> None:
        """Remove somebody with all sessions, and all tokens that are his or were made by him: he has seen them.

        Raises:
            Refused, Conflict: as `change_role`.
        """
        async with self._people.one_by_one:
            fresh = self._people.there(user)
            self._check_gift(by, fresh.role)
            self._check_last(fresh)
            ended = [s.id for s in self._people.sessions.values() if s.account == user.id]
            revoked = [t.id for t in self._people.tokens.values() if user.id in (t.account, t.maker)]
            self._people.drop_sessions(ended)
            await self._people.store.write(
                keeping.together(
                    keeping.drop("user", [user.id]),
                    keeping.drop("session", ended),
                    keeping.drop("token", revoked),
                )
            )
            self._people.users.pop(user.id, None)
            for key in revoked:
                self._people.tokens.pop(key, None)

    async def seen_notice(self, account: str) -> str:
        """The sentence that waits for somebody; it is told once."""
        async with self._people.one_by_one:
            user = self._people.users.get(account)
            if user is None or not user.notice:
                return ""
            await self._people.keep_user(replace(user, notice=""))
            return user.notice

    def check_rank(self, by: Actor, account: str) -> None:
        """Nobody acts upon somebody who may more than he: not on the account, nor on its sessions, tokens and failed tries.

        Args:
            by: who acts; on what is his own he always may.
            account: whose it is; one that is not there any more has no rank.

        Raises:
            Refused: the account may more than `by`.
        """
        user = self._people.users.get(account)
        if user is not None and account != by.account and not may_give(by, user.role):
            raise Refused(
                f"{user.name} is {_a(user.role)}, which is more than {by.name} may: {user.name} does that, or another {user.role}"
            )

    def _check_gift(self, by: Actor, role: Role) -> None:
        if not may_give(by, role):
            raise Refused(
                f"{by.name} may not make or change somebody with the role {role}: that is more than {by.name} may"
            )

    def _check_last(self, user: User) -> None:
        if user.role == "owner" and len(owners(self._people.users)) == 1:
            raise Conflict(
                f"{user.name} is the only owner; make another one first: timeball user add NAME --role owner"
            )


def _a(role: Role) -> str:
    return f"an {role}" if role[0] in "ao" else f"a {role}"
