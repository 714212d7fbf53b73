"""One table of operations: the admin socket, the web listener, the API document and the tests all read it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import unquote

from appliance.api.actor import scope_of
from appliance.api.contrib import Route
from appliance.api.errors import ApiError, NotFound, Refused, Starting, Unknown
from appliance.api.http import Line, Note, Reply, Request
from appliance.core.bodies import json_body, validated
from appliance.core.conditional import Changed, current, tag
from appliance.core.contained import contained
from appliance.core.path_template import PathTemplate
from appliance.core.plain_json import to_json
from appliance.core.tasks import current_plugin

__all__ = [
    "CrossSite",
    "Line",
    "Mounted",
    "Note",
    "Reply",
    "Request",
    "RouteTable",
    "TooLarge",
    "Witness",
    "authorise",
    "problem",
]

log = logging.getLogger("timeball.api")


@dataclass(frozen=True, slots=True)
class Mounted:
    """A route with the plugin that owns it and the full path it answers.

    Attributes:
        scope: in full, "area:verb" or "public".
    """

    plugin: str
    route: Route
    path: str
    template: PathTemplate
    scope: str

    @property
    def id(self) -> str:
        """Method and path: what the audit trail calls it."""
        return f"{self.route.method} {self.path}"


class Witness(Protocol):
    """Writes down what was done, or refused."""

    async def saw(self, request: Request, mounted: Mounted, status: int) -> None: ...


#: Says whose a thing is: the account, "" for nobody's or when there is no such thing.
OwnerOf = Callable[[str], str]
#: `Route.own` of a handler that leaves out what is not `request.only`'s.
NARROWED = "narrowed"


def authorise(
    request: Request, mounted: Mounted, owners: Mapping[str, OwnerOf] = MappingProxyType({})
) -> None:
    """The one place that decides who may do what.

    Args:
        request: who asks for what; `only` is set when he may no more than what is his own.
        mounted: the route that would answer.
        owners: by area of the scope, who says whose a thing is.

    Raises:
        Unknown: it takes somebody who signed in.
        Refused: this somebody may not, or the request does not come from our own pages.
        Unconfirmed: the password must be given again first.
    """
    actor, route = request.actor, mounted.route
    if not actor.may(mounted.scope) and not _is_own(request, mounted, owners):
        what = f"{request.method} {request.path} needs the scope {mounted.scope}"
        raise Unknown(f"{what}: sign in first") if actor.kind == "nobody" else Refused(what)
    # A token stands in a header that no browser adds by itself: a page elsewhere cannot make use of it.
    if route.same_origin and request.foreign and actor.kind != "token":
        raise CrossSite(f"nothing was changed: {request.foreign}")
    if route.confirm is True:
        request.needs_password()


def _is_own(request: Request, mounted: Mounted, owners: Mapping[str, OwnerOf]) -> bool:
    """Whether the actor may because it is about what is his own.

    Raises:
        Refused: it is about what is somebody else's, or nobody's, or is not there: which of these, he is not told.
    """
    actor, own = request.actor, mounted.route.own
    if not (own and actor.account and actor.may_own(mounted.scope)):
        return False
    if own != NARROWED:
        owner_of = owners.get(mounted.scope.partition(":")[0])
        if owner_of is None or owner_of(request.params[own]) != actor.account:
            raise Refused(f"{request.params[own]} is none of yours: {mounted.scope}-own reaches no further")
    request.only = actor.account
    return True


class RouteTable:
    """All routes of all plugins.

    Attributes:
        owners: by area, such as "servers": says whose a thing is. Put there by the plugin that keeps such things.
    """

    def __init__(self, failed: Callable[[str, str], None] | None = None) -> None:
        """No routes yet; `failed` is told the plugin whose operation raised what it may not, and which, in words."""
        self._failed = failed
        self._mounted: list[Mounted] = []
        self._described: bytes | None = None
        self.owners: dict[str, OwnerOf] = {}
        #: Between the look and the change of an update with a condition no other such update comes.
        self._one_by_one = asyncio.Lock()
        #: More routes are about to come: what is not here may be here in a moment.
        self.starting = False
        #: Sees every audited operation after it was done, and every refusal of one that changes something.
        self.witness: Witness | None = None

    def mount(self, plugin: str, routes: tuple[Route, ...]) -> None:
        """Add a plugin's routes, all or none.

        Raises:
            ValueError: a path is taken by another plugin, or a route says not who may.
        """
        added: list[Mounted] = []
        taken = {(m.route.method, m.template.shape): m.plugin for m in self._mounted}
        for route in routes:
            path = route.path if route.path.startswith("/") else f"/p/{plugin}/{route.path}"
            if not route.scope:
                raise ValueError(
                    f"the plugin {plugin} does not say who may use {route.method} {path}: a route needs a scope, such as "
                    f'"{plugin}:write" or "read"'
                )
            try:
                scope = scope_of(plugin, route.scope)
            except ValueError as error:
                raise ValueError(f"the plugin {plugin}, {route.method} {path}: {error}") from None
            template = PathTemplate(path)
            if route.own not in ("", NARROWED, *template.parameters):
                raise ValueError(
                    f"the plugin {plugin}, {route.method} {path}: there is no {{{route.own}}} in the path"
                )
            where = (route.method, template.shape)
            if where in taken:
                owner = "itself" if taken[where] == plugin else f"the plugin {taken[where]}"
                raise ValueError(f"{route.method} {path} is taken by {owner}")
            taken[where] = plugin
            added.append(Mounted(plugin, route, path, template, scope))
        self._mounted = sorted([*self._mounted, *added], key=lambda m: m.template.specificity)
        self._described = None

    def unmount(self, plugin: str) -> None:
        self._mounted = [m for m in self._mounted if m.plugin != plugin]
        self._described = None

    def routes(self) -> tuple[Mounted, ...]:
        return tuple(self._mounted)

    async def dispatch(self, request: Request) -> Any:
        """Answer one request: a `Reply`, or whatever aiohttp response the handler made. Never raises ApiError."""
        try:
            return await self._dispatch(request)
        except ApiError as error:
            return problem(error, request.id)

    async def _dispatch(self, request: Request) -> Any:
        if request.method == "OPTIONS":
            allowed = self.allowed(request.path)
            if not allowed:
                raise NotFound(f"there is nothing at {request.path}")
            return Reply(None, 204, {"Allow": allowed})
        mounted = self._match(request)
        try:
            authorise(request, mounted, self.owners)
        except ApiError as error:
            if self.witness is not None and mounted.route.unsafe:
                await self.witness.saw(request, mounted, error.status)
            raise
        if self.witness is None or not mounted.route.audited:
            return await self._do(request, mounted)
        try:
            value = await self._do(request, mounted)
        except ApiError as error:
            await self.witness.saw(request, mounted, error.status)
            raise
        except Exception:  # a fault of ours: how far it came nobody knows, but that it was tried
            await self.witness.saw(request, mounted, 500)
            raise
        await self.witness.saw(request, mounted, value.status)
        return value

    async def _do(self, request: Request, mounted: Mounted) -> Any:
        route = mounted.route
        if route.query is not None:
            request.query_model = validated(route.query, dict(request.query), "query")
        if route.body is not None:
            request.body = validated(route.body, json_body(request.content, request.headers), "body")
        if route.unsafe and "if-match" in request.headers:
            async with self._one_by_one:
                await self._check_precondition(request)
                return await self._call(request, mounted)
        return await self._call(request, mounted)

    async def _call(self, request: Request, mounted: Mounted) -> Any:
        token = current_plugin.set(mounted.plugin)
        try:
            with contained():
                value = await mounted.route.handler(request)
        except ApiError:
            raise
        except Exception as error:
            if self._failed is not None:
                template = f"{mounted.route.method} {mounted.path}"
                self._failed(mounted.plugin, f"{template} fails: {type(error).__name__}: {error}")
            log.exception(
                "%s %s of the plugin %s failed (incident %s)",
                request.method,
                request.path,
                mounted.plugin,
                request.id,
            )
            why = f"something went wrong inside; the log has it as incident {request.id}"
            return problem(_Unexpected(why), request.id)
        finally:
            current_plugin.reset(token)
        if not isinstance(value, Reply):
            if hasattr(value, "prepare"):
                return value
            value = Reply(value)
        if mounted.route.secret:
            return replace(value, headers={**value.headers, "Cache-Control": "no-store"})
        return value

    async def _check_precondition(self, request: Request) -> None:
        """Compare If-Match with what GET says at the same path.

        Raises:
            Changed: it is not what the sender has seen, or nobody can tell.
        """
        look = Request("GET", request.path, actor=request.actor, remote=request.remote, line=request.line)
        seen = await self.dispatch(look)
        if not isinstance(seen, Reply) or seen.status != 200:
            raise Changed(f"{request.path} cannot be compared with what you have seen; leave If-Match out")
        if not current(tag(seen.body(), seen.revision), request.headers["if-match"]):
            raise Changed("somebody changed it since you looked: look again, and decide again")

    def _match(self, request: Request) -> Mounted:
        method = "GET" if request.method == "HEAD" else request.method
        others: set[str] = set()
        for mounted in self._mounted:
            found = mounted.template.match(request.path)
            if found is None:
                continue
            if mounted.route.method == method:
                request.params = {name: unquote(value) for name, value in found.items()}
                return mounted
            others.add(mounted.route.method)
        if others:
            raise _WrongMethod(request, others)
        if self.starting:
            raise Starting(f"the appliance is still starting, and there is nothing at {request.path} yet")
        raise NotFound(f"there is nothing at {request.path}")

    def find(self, method: str, path: str) -> Mounted | None:
        """The route that would answer, without asking it."""
        method = "GET" if method == "HEAD" else method
        there = (m for m in self._mounted if m.route.method == method and m.template.match(path) is not None)
        return next(there, None)

    def allowed(self, path: str) -> str:
        """The methods that can be used at `path`, for an Allow header (RFC 9110 section 10.2.1); "" when none."""
        there = [m for m in self._mounted if m.template.match(path) is not None]
        if not there:
            return ""
        # The first is the most specific one; what a more general path also takes is about another thing.
        methods = {m.route.method for m in there if m.path == there[0].path}
        return ", ".join(sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())))

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI 3.1 document of everything that is not a page; yours to change."""
        found: dict[str, Any] = json.loads(self.openapi_json())
        return found

    def openapi_json(self) -> bytes:
        """The same as JSON. It takes a quarter of a second to make and anybody may ask for it, so it is made once."""
        if self._described is None:
            from appliance.core.openapi import document

            self._described = to_json(document([m for m in self._mounted if not m.route.page]))
        return self._described


class _Unexpected(ApiError):
    """A fault of ours; the log has it under the request's id."""

    status = 500
    code = "internal"


class _WrongMethod(ApiError):
    """The address is right, the method is not; the Allow header says which are."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, request: Request, others: set[str]) -> None:
        allow = ", ".join(sorted(others | ({"HEAD"} if "GET" in others else set())))
        super().__init__(f"{request.path} takes {allow}, not {request.method}")
        self.headers = {"Allow": allow}  # RFC 9110 section 15.5.6


class CrossSite(Refused):
    """A browser sent it from a page that is not ours."""

    code = "cross_site"


class TooLarge(ApiError):
    """The body is larger than the operation takes."""

    status = 413
    code = "too_large"


def problem(error: ApiError, request_id: str = "") -> Reply:
    """An error as RFC 9457 problem+json; its type is the page of the manual, on this box, that explains it."""
    where = f"/help/problems#{error.code.replace('_', '-')}"
    value: dict[str, Any] = {"type": where, "title": error.code.replace("_", " "), "status": error.status,
                             "detail": str(error), "code": error.code}  # fmt: skip
    if request_id:
        value["request_id"] = request_id
    if error.errors:
        value["errors"] = [{"field": name, "message": message} for name, message in error.errors.items()]
    headers = dict(error.headers)
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="timeball"'  # RFC 9110 section 15.5.2
    return Reply(value, error.status, headers=headers, content_type="application/problem+json")
