"""The operations of the API: signing in, users, sessions, tokens, the audit trail, and the setup."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from appliance.api.actor import ABOUT_ROLES, ROLES, Actor
from appliance.api.errors import Conflict, NotFound, Refused
from appliance.api.events import AccountRemoved
from appliance.api.foreign import csv_cell
from appliance.api.services import Store
from appliance.core.bus import Bus
from appliance.core.paging import link
from appliance.core.routes import Reply, Request, RouteTable
from appliance_people import bodies, keeping, passwords, sessions
from appliance_people.accounts import User, owners
from appliance_people.audit import Row
from appliance_people.claim import Claim
from appliance_people.failures import PlainHttp
from appliance_people.issuing import Issuing
from appliance_people.people import People, SignedIn
from appliance_people.sessions import Session
from appliance_people.signing_in import SigningIn
from appliance_people.throttle import account_key, address_key
from appliance_people.tokens import Token
from appliance_people.trail import Trail
from appliance_people.users import Users


class Operations:
    """Handlers."""

    def __init__(
        self, people: People, claim: Claim, trail: Trail, store: Store, table: RouteTable, bus: Bus
    ) -> None:
        self._people = people
        self._users = Users(people)
        self._signing_in = SigningIn(people, self._users)
        self._issuing = Issuing(people)
        self._claim = claim
        self._trail = trail
        self._store = store
        self._table = table
        self._bus = bus

    # -- the own account --------------------------------------------------------------------------------------------

    async def sign_in(self, request: Request) -> Reply:
        body: bodies.SignIn = request.body
        request.note.target = body.name
        old = sessions.shown(request.headers.get("cookie", ""), request.line)
        agent = request.headers.get("user-agent", "")
        done = await self._signing_in.sign_in(
            body.name, body.password, request.remote, request.line, agent, old
        )
        return await self._signed_in(request, done)

    async def sign_out(self, request: Request) -> Reply:
        if request.actor.kind == "session":
            await self._people.end_sessions([request.actor.via])
        return Reply(None, 204, {"Set-Cookie": sessions.drop_cookie(request.line)})

    async def who_am_i(self, request: Request) -> dict[str, Any]:
        actor = request.actor
        return {
            "name": actor.name,
            "kind": actor.kind,
            "role": actor.role,
            "scopes": sorted(actor.grants),
            "confirmed": actor.confirmed,
            "session": actor.via if actor.kind == "session" else None,
        }

    async def confirm(self, request: Request) -> dict[str, Any]:
        await self._signing_in.confirm(request.actor, request.body.password, request.remote)
        return {"confirmed": True, "for_s": sessions.CONFIRMED_S}

    async def change_password(self, request: Request) -> dict[str, Any]:
        body: bodies.OwnPassword = request.body
        await self._signing_in.change_own_password(
            request.actor, body.old_password, body.new_password, request.remote
        )
        request.note.target = request.actor.name
        return {"changed": True}

    async def claim(self, request: Request) -> Reply:
        body: bodies.ClaimBody = request.body
        request.note.target = body.name
        if request.line == "plain":
            raise PlainHttp
        agent = request.headers.get("user-agent", "")
        done = await self._claim.claim(body.code, body.name, body.password, request.remote, agent)
        return await self._signed_in(request, done)

    async def setup_state(self, request: Request) -> dict[str, Any]:
        return {"claimed": self._people.claimed}

    async def setup_code(self, request: Request) -> dict[str, Any]:
        code, left_s = self._claim.current()
        return {"code": code, "good_for_s": round(left_s)}

    # -- sessions ---------------------------------------------------------------------------------------------------

    async def list_sessions(self, request: Request) -> list[dict[str, Any]]:
        query: bodies.WhoseQuery = request.query_model
        if query.all and not request.actor.may("users:read"):
            raise Refused("everybody's sessions need the scope users:read")
        wanted = self._people.users if query.all else {request.actor.account: None}
        return [
            self._session(session, request.actor)
            for account in wanted
            for session in self._people.sessions_of(account)
        ]

    async def end_session(self, request: Request) -> Reply:
        session = self._people.sessions.get(request.params["id"])
        if session is None or not self._may_see(request.actor, session.account):
            raise NotFound("there is no such session of yours")
        self._users.check_rank(request.actor, session.account)
        request.note.target = f"{self._name(session.account)} {session.id}"
        await self._people.end_sessions([session.id])
        return Reply(None, 204)

    async def end_other_sessions(self, request: Request) -> dict[str, Any]:
        """Everything of the own account but the session that asks."""
        mine = [s.id for s in self._people.sessions_of(request.actor.account) if s.id != request.actor.via]
        await self._people.end_sessions(mine)
        return {"ended": len(mine)}

    # -- tokens -----------------------------------------------------------------------------------------------------

    async def list_tokens(self, request: Request) -> list[dict[str, Any]]:
        query: bodies.WhoseQuery = request.query_model
        if query.all and not request.actor.may("users:read"):
            raise Refused("everybody's tokens need the scope users:read")
        return [
            self._token(token)
            for token in sorted(self._people.tokens.values(), key=lambda t: t.created)
            if query.all or token.account == request.actor.account
        ]

    async def add_token(self, request: Request) -> Reply:
        body: bodies.NewToken = request.body
        account = self._whose(request.actor, body.user)
        text, token = await self._issuing.add_token(
            request.actor, account, body.label, body.scopes, body.days, body.addresses
        )
        request.note.target = f"{self._name(account)} {token.id}"
        return Reply({**self._token(token), "token": text}, 201)

    async def revoke_token(self, request: Request) -> Reply:
        token = self._people.tokens.get(request.params["id"])
        if token is None or not self._may_see(request.actor, token.account):
            raise NotFound("there is no such token of yours")
        self._users.check_rank(request.actor, token.account)
        request.note.target = f"{self._name(token.account)} {token.id}"
        request.note.before = self._token(token)
        await self._issuing.revoke(token)
        return Reply(None, 204)

    # -- users ------------------------------------------------------------------------------------------------------

    async def list_users(self, request: Request) -> list[dict[str, Any]]:
        return [
            self._user(user) for user in sorted(self._people.users.values(), key=lambda u: u.name.casefold())
        ]

    async def add_user(self, request: Request) -> Reply:
        body: bodies.NewUser = request.body
        request.note.target = body.name
        made = "" if body.password or body.password_hash else passwords.generated()
        user = await self._users.add_user(
            request.actor, body.name, body.role, body.password or made, password_hash=body.password_hash
        )
        return Reply({**self._user(user), **({"password": made} if made else {})}, 201)

    async def change_user(self, request: Request) -> dict[str, Any]:
        user = self._people.asked(request.params["id"])
        request.note.target, request.note.before = user.name, {"role": user.role}
        return self._user(await self._users.change_role(request.actor, user, request.body.role))

    async def reset_password(self, request: Request) -> dict[str, Any]:
        user = self._people.asked(request.params["id"])
        request.note.target = user.name
        body: bodies.Reset = request.body
        made = "" if body.password else passwords.generated()
        changed = await self._users.reset_password(request.actor, user, body.password or made)
        return {**self._user(changed), **({"password": made} if made else {})}

    async def remove_user(self, request: Request) -> Reply:
        user = self._people.asked(request.params["id"])
        request.note.target, request.note.before = user.name, {"role": user.role}
        await self._users.remove_user(request.actor, user)
        self._bus.publish(AccountRemoved(user.id))
        return Reply(None, 204)

    async def unlock(self, request: Request) -> dict[str, Any]:
        body: bodies.Unlock = request.body
        keys = [account_key(body.user)] if body.user else []
        keys += [address_key(body.address)] if body.address else []
        request.note.target = " ".join(keys)
        if body.user and (user := self._people.find(body.user)) is not None:
            self._users.check_rank(request.actor, user.id)
        return {"unlocked": [key for key in keys if await self._people.unlock(key)]}

    async def list_roles(self, request: Request) -> dict[str, Any]:
        scopes = sorted({mounted.scope for mounted in self._table.routes()})
        return {
            "roles": [
                {"role": role, "grants": sorted(grants), "about": ABOUT_ROLES[role]}
                for role, grants in ROLES.items()
            ],
            "scopes": scopes,
        }

    # -- audit ------------------------------------------------------------------------------------------------------

    async def list_audit(self, request: Request) -> Reply:
        rows = await self.rows(request.query_model)
        older = _older(rows, request.query_model.limit)
        verified = self._trail.verified
        return Reply(
            {
                "rows": [asdict(row) for row in rows],
                "next_before": older and older["before"],
                "verified": verified
                and {"at": verified.at_s, "whole": not verified.findings, "rows": verified.rows},
            },
            headers=link(request.path, request.query, next=older),
        )

    async def audit_csv(self, request: Request) -> Reply:
        rows = await self.rows(request.query_model)
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(Row.__dataclass_fields__)
        writer.writerows([csv_cell(value) for value in asdict(row).values()] for row in rows)
        older = _older(rows, request.query_model.limit)
        return Reply(
            out.getvalue(), headers=link(request.path, request.query, next=older), content_type="text/csv"
        )

    async def verify_audit(self, request: Request) -> dict[str, Any]:
        count, findings = await self._trail.verify()
        return {"whole": not findings, "rows": count, "findings": [asdict(f) for f in findings]}

    async def rows(self, query: bodies.AuditQuery) -> list[Row]:
        """The rows that a query asks for, newest first."""
        return await self._store.read(
            keeping.some_rows(
                before=query.before,
                since=query.since,
                until=query.until,
                actor=query.actor,
                words=query.words,
                limit=query.limit,
            )
        )

    # -- parts ------------------------------------------------------------------------------------------------------

    async def _signed_in(self, request: Request, done: SignedIn) -> Reply:
        user = done.user
        request.note.actor = Actor(
            user.name, "session", ROLES[user.role], user.role, user.id, done.session.id
        )
        notice = await self._users.seen_notice(user.id)
        value = {"name": user.name, "role": user.role, "session": done.session.id, "notice": notice}
        return Reply(value, 200, {"Set-Cookie": sessions.set_cookie(done.value, request.line)})

    def _whose(self, actor: Actor, named: str) -> str:
        """Id of the user that a new token belongs to.

        Raises:
            Refused: somebody else's, without the right to users. Conflict: nobody is named and nobody is meant.
        """
        if named:
            user = self._people.asked(named)
            if user.id != actor.account and not actor.may("users:write"):
                raise Refused("tokens of others need the scope users:write")
            return user.id
        if actor.account in self._people.users:
            return actor.account
        found = owners(self._people.users)
        if not found:
            raise Conflict(
                "a token belongs to a user, and there is none yet: timeball user add NAME --role owner"
            )
        if len(found) != 1:
            raise Conflict("say whose token it is, such as --user NAME")
        return found[0].id

    def _may_see(self, actor: Actor, account: str) -> bool:
        """Whether somebody is told that there is such a thing of the account's."""
        return account == actor.account or actor.may("users:write")

    def _name(self, account: str) -> str:
        user = self._people.users.get(account)
        return user.name if user else account

    def _user(self, user: User) -> dict[str, Any]:
        return {
            "id": user.id,
            "name": user.name,
            "role": user.role,
            "created": user.created,
            "password_changed": user.changed,
            "signed_in": user.signed_in,
            "sessions": len(self._people.sessions_of(user.id)),
            "tokens": sum(t.account == user.id for t in self._people.tokens.values()),
        }

    def _session(self, session: Session, actor: Actor) -> dict[str, Any]:
        return {
            "id": session.id,
            "user": self._name(session.account),
            "created": session.created,
            "seen": session.seen,
            "address": session.address,
            "agent": session.agent,
            "this": session.id == actor.via,
        }

    def _token(self, token: Token) -> dict[str, Any]:
        return {
            "id": token.id,
            "user": self._name(token.account),
            "label": token.label,
            "scopes": list(token.grants),
            "created": token.created,
            "expires": token.expires,
            "expired": token.expires is not None and self._people.now() >= token.expires,
            "addresses": list(token.networks),
            "used": token.used,
            "used_from": token.used_from,
            "made_by": self._name(token.maker) if token.maker else "",
        }


def _older(rows: Sequence[Row], limit: int) -> dict[str, int] | None:
    """What asks for the page after these rows; None when they were the last."""
    return {"before": rows[-1].seq} if len(rows) == limit else None
