"""The pages of people: signing in, the own account, users, the audit trail. Each form does one operation of the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from appliance.api.actor import ABOUT_ROLES
from appliance.api.contrib import Menu, Route
from appliance.api.errors import ApiError, NotFound
from appliance.api.pages import ask_confirmed, refusal
from appliance.api.services import Frame
from appliance.core.routes import Reply, Request
from appliance_people.accounts import ROLES_OF_PEOPLE, may_give
from appliance_people.browsers import called
from appliance_people.forms import chosen, inside, read, redirect
from appliance_people.people import People
from appliance_people.tokens import DEFAULT_DAYS

AUDIT_ROWS = 100
#: What a token of a page's form may do: the usual wishes; the API and the command line know all.
_OFFERED = (
    ("metrics:read", "Read the metrics, for Prometheus"),
    ("*:read", "Look at everything that is no secret"),
    ("servers:read", "Look at servers"),
    ("servers:write", "Add, change and remove servers"),
    ("dns:read", "Look at DNS answers"),
    ("config:read", "Read the configuration"),
    ("audit:read", "Read the audit trail"),
)


class Pages:
    """Handlers."""

    def __init__(self, frame: Frame, people: People) -> None:
        self._frame = frame
        self._people = people

    # -- signing in -------------------------------------------------------------------------------------------------

    async def sign_in_form(self, request: Request) -> Reply:
        if request.actor.kind == "session":
            return redirect(inside(request.query.get("next", "/")))
        if request.actor.may("setup:run"):
            return redirect("/setup")
        return await self._sign_in_page(request, after=request.query.get("next", ""))

    async def sign_in(self, request: Request) -> Reply:
        form = read(request)
        body = {"name": form.get("name", ""), "password": form.get("password", "")}
        reply = await self._frame.ask(request, "POST", "/api/v1/session", body=body)
        if reply.status != 200:
            why, _ = refusal(reply)
            return await self._sign_in_page(
                request, after=form.get("next", ""), name=body["name"], why=why, status=reply.status
            )
        where = inside(form.get("next", "/"))
        if reply.value.get("notice"):
            where = "/account?notice=reset"
        return redirect(where, reply.headers["Set-Cookie"])

    async def sign_out(self, request: Request) -> Reply:
        reply = await self._frame.ask(request, "DELETE", "/api/v1/session")
        return redirect("/login", reply.headers.get("Set-Cookie", ""))

    async def _sign_in_page(
        self, request: Request, *, after: str, name: str = "", why: str = "", status: int = 200
    ) -> Reply:
        return await self._frame.page(  # type: ignore[no-any-return]
            request, "people/login.html", "Sign in", topic="security", status=status,
            next=inside(after) if after else "/", name=name, why=why,
        )  # fmt: skip

    # -- the own account --------------------------------------------------------------------------------------------

    async def account(self, request: Request) -> Reply:
        return await self._account(request)

    async def change_password(self, request: Request) -> Reply:
        form = read(request)
        body = {"old_password": form.get("old_password", ""), "new_password": form.get("new_password", "")}
        reply = await self._frame.ask(request, "POST", "/api/v1/session/password", body=body)
        return await self._account_after(
            request, reply, "Your password is changed; all other sessions are over."
        )

    async def end_session(self, request: Request) -> Reply:
        key = read(request).get("id", "")
        path = f"/api/v1/sessions/{quote(key, safe='')}" if key else "/api/v1/sessions"
        reply = await self._frame.ask(request, "DELETE", path)
        return await self._account_after(request, reply, "Signed out there.")

    async def add_token(self, request: Request) -> Reply:
        form = read(request)
        days = form.get("days", "")
        body = {
            "label": form.get("label", ""),
            "scopes": chosen(request, "scope") + form.get("scopes", "").replace(",", " ").split(),
            "days": int(days) if days.isascii() and days.isdigit() and len(days) < 6 and int(days) else None,
            "addresses": form.get("addresses", "").replace(",", " ").split(),
        }
        reply = await ask_confirmed(self._frame, request, form, "POST", "/api/v1/tokens", body)
        if reply.status != 201:
            why, fields = refusal(reply)
            kept = form | {"ticked": chosen(request, "scope")}
            return await self._account(request, why=why, fields=fields, form=kept, status=reply.status)
        return await self._account(request, made=reply.value)

    async def revoke_token(self, request: Request) -> Reply:
        key = read(request).get("id", "")
        reply = await self._frame.ask(request, "DELETE", f"/api/v1/tokens/{quote(key, safe='')}")
        return await self._account_after(request, reply, "The token works no more.")

    async def _account_after(self, request: Request, reply: Reply, said: str) -> Reply:
        if reply.status >= 300:
            why, fields = refusal(reply)
            return await self._account(request, why=why, fields=fields, status=reply.status)
        return await self._account(request, done=said)

    async def _account(self, request: Request, *, why: str = "", fields: Mapping[str, str] | None = None, done: str = "",
                       made: Any = None, form: Mapping[str, Any] | None = None, status: int = 200) -> Reply:  # fmt: skip
        sessions = (await self._frame.ask(request, "GET", "/api/v1/sessions")).value
        tokens = (await self._frame.ask(request, "GET", "/api/v1/tokens")).value
        user = self._people.users.get(request.actor.account)
        return await self._frame.page(  # type: ignore[no-any-return]
            request, "people/account.html", "Your account", here="/account", topic="security", status=status,
            same=[("CLI", "timeball token new metrics:read --label prometheus"), ("API", "GET /api/v1/sessions"), ("API", "POST /api/v1/tokens")],
            called=called, user=user, role=request.actor.role, about=ABOUT_ROLES[request.actor.role], sessions=sessions, tokens=tokens,
            confirmed=request.actor.confirmed, why=why, fields=fields or {}, said=done, made=made, days=DEFAULT_DAYS, form=form or {},
            offered=[(scope, text) for scope, text in _OFFERED if request.actor.may(scope)],
            was_reset=request.query.get("notice") == "reset",
        )  # fmt: skip

    # -- users ------------------------------------------------------------------------------------------------------

    async def users(self, request: Request) -> Reply:
        return await self._users(request)

    async def add_user(self, request: Request) -> Reply:
        form = read(request)
        body = {
            "name": form.get("name", ""),
            "role": form.get("role", "viewer"),
            "password": form.get("password", ""),
        }
        return await self._user_done(request, form, "POST", "/api/v1/users", body, "was added")

    async def change_role(self, request: Request) -> Reply:
        form = read(request)
        return await self._user_done(
            request,
            form,
            "PATCH",
            self._user_path(request),
            {"role": form.get("role", "")},
            "has another role now",
        )

    async def reset_password(self, request: Request) -> Reply:
        return await self._user_done(
            request, read(request), "POST", f"{self._user_path(request)}/reset", {}, "has a new password"
        )

    async def remove_user(self, request: Request) -> Reply:
        return await self._user_done(
            request, read(request), "DELETE", self._user_path(request), None, "was removed"
        )

    def _user_path(self, request: Request) -> str:
        user = self._people.users.get(request.params["id"])
        if user is None:
            raise NotFound("there is no such user any more")
        return f"/api/v1/users/{quote(user.id, safe='')}"

    async def _user_done(
        self, request: Request, form: Mapping[str, str], method: str, path: str, body: Any, said: str
    ) -> Reply:
        user = self._people.users.get(request.params.get("id", ""))
        reply = await ask_confirmed(self._frame, request, form, method, path, body)
        if reply.status >= 300:
            why, fields = refusal(reply)
            tried = request.path.removeprefix("/users")
            return await self._users(
                request, why=why, fields=fields, form=form, tried=tried, status=reply.status
            )
        value = reply.value if isinstance(reply.value, Mapping) else {}
        name = user.name if user else value.get("name", "")
        return await self._users(
            request, done=f"{name} {said}.", made=value.get("password", ""), made_for=name
        )

    async def _users(self, request: Request, *, why: str = "", fields: Mapping[str, str] | None = None, done: str = "", made: str = "",
                     made_for: str = "", form: Mapping[str, str] | None = None, tried: str = "-", status: int = 200) -> Reply:  # fmt: skip
        reply = await self._frame.ask(request, "GET", "/api/v1/users")
        users = reply.value if reply.status == 200 else []
        return await self._frame.page(  # type: ignore[no-any-return]
            request, "people/users.html", "People", here="/users", topic="security", status=status,
            same=[("CLI", "timeball user list"), ("CLI", "timeball user add NAME --role operator"), ("API", "GET /api/v1/users")],
            users=users, roles=[(role, ABOUT_ROLES[role]) for role in ROLES_OF_PEOPLE], writes=request.actor.may("users:write"),
            gives=[role for role in ROLES_OF_PEOPLE if may_give(request.actor, role)],
            me=request.actor.account, confirmed=request.actor.confirmed, why=why, fields=fields or {}, form=form or {}, tried=tried,
            said=done, made=made, made_for=made_for,
        )  # fmt: skip

    # -- audit ------------------------------------------------------------------------------------------------------

    async def audit(self, request: Request) -> Reply:
        check = None
        if request.query.get("verify"):
            check = (await self._frame.ask(request, "GET", "/api/v1/audit/verify")).value
        query = {
            name: request.query[name] for name in ("before", "actor", "words") if request.query.get(name)
        }
        reply = await self._frame.ask(
            request, "GET", "/api/v1/audit", query=query | {"limit": str(AUDIT_ROWS)}
        )
        if reply.status != 200:
            error = ApiError(*refusal(reply)[:1])
            error.status = reply.status
            raise error
        keep = "&".join(f"{name}={quote(query[name])}" for name in ("actor", "words") if name in query)
        return await self._frame.page(  # type: ignore[no-any-return]
            request, "people/audit.html", "Audit", here="/audit", topic="security",
            same=[("CLI", "timeball audit list"), ("CLI", "timeball audit verify"), ("API", "GET /api/v1/audit"), ("CSV", "GET /api/v1/audit.csv")],
            verified=reply.value["verified"], rows=reply.value["rows"], older=reply.value["next_before"], query=query, keep=keep, check=check,
        )  # fmt: skip


def page_routes(pages: Pages) -> tuple[Route, ...]:
    """All pages. Their forms leave the audit trail to the operations that they do."""

    def page(method: str, path: str, handler: Any, scope: str, menu: Menu | None = None) -> Route:
        return Route(
            method,
            path,
            handler,
            scope,
            page=True,
            audit=False,
            plain=False,
            secret=method == "POST",
            menu=menu,
        )

    return (
        page("GET", "/login", pages.sign_in_form, "public"),
        page("POST", "/login", pages.sign_in, "public"),
        page("POST", "/logout", pages.sign_out, "self:write"),
        page("GET", "/account", pages.account, "self:read"),
        page("POST", "/account/password", pages.change_password, "self:write"),
        page("POST", "/account/sessions", pages.end_session, "self:write"),
        page("POST", "/account/tokens", pages.add_token, "self:write"),
        page("POST", "/account/tokens/revoke", pages.revoke_token, "self:write"),
        page("GET", "/users", pages.users, "users:read", Menu("People", "box", 50)),
        page("POST", "/users", pages.add_user, "users:write"),
        page("POST", "/users/{id}/role", pages.change_role, "users:write"),
        page("POST", "/users/{id}/reset", pages.reset_password, "users:write"),
        page("POST", "/users/{id}/remove", pages.remove_user, "users:write"),
        page("GET", "/audit", pages.audit, "audit:read", Menu("Audit", "box", 60)),
    )
