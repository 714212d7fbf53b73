"""The door to the network: sockets, then guards and limits around the one route table."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

from aiohttp import web

from appliance.api.actor import NOBODY, Actor
from appliance.api.errors import ApiError
from appliance.core.http import REQUEST_ID, answer, as_response, body_of
from appliance.core.routes import CrossSite, Mounted, Reply, RouteTable, problem
from appliance.dataplane import handed
from appliance.dataplane.interface import Endpoint
from appliance_web import framing, guard, leading, refusals
from appliance_web.answering import WAY, add_headers, as_page, finish, read_on, send, wants_page
from appliance_web.door import Door
from appliance_web.doorman import Doorman, Lobby
from appliance_web.limits import Allowance
from appliance_web.speaker import Speaker
from appliance_web.way import Way, address_of, neighbourhood, trusted, way_of

BODY_S = 20.0
#: A larger body may take longer, but no slower than this.
SLOWEST_BYTES_PER_S = 16 * 1024
#: Whoever may not do it anyway is not listened to for longer.
STRANGERS_BODY = 16 * 1024

log = logging.getLogger("timeball.web")
access = logging.getLogger("timeball.web.access")

ErrorPage = Callable[[int, str], str]


class Listener:
    """Answers HTTP and HTTPS on some addresses.

    Attributes:
        endpoints: what is really bound for plain HTTP, ports filled in.
        tls_endpoints: the same for HTTPS.
        unbound: why an address that nobody asked for by name is not served.
        lobby: the connections.
        book: who was refused.
        log_requests: one line for each request.
    """

    def __init__(self, table: RouteTable, error_page: ErrorPage, door: Door) -> None:
        self._table = table
        self._error_page = error_page
        self.door = door
        self.log_requests = False
        self.lobby = Lobby(door.most, door.most_each, self._is_proxy)
        self.book = refusals.Book()
        self.endpoints: tuple[Endpoint, ...] = ()
        self.tls_endpoints: tuple[Endpoint, ...] = ()
        self.unbound = ""

    @contextlib.asynccontextmanager
    async def serve(
        self,
        listen: Sequence[Endpoint],
        before_stop: Callable[[], Any] = lambda: None,
        *,
        tls: Sequence[Endpoint] = (),
        tls_if_free: bool = False,
    ) -> AsyncIterator[None]:
        """Listen until the context ends; `before_stop` ends the streams first.

        Args:
            listen: for plain HTTP.
            before_stop: called when it is time to end.
            tls: for HTTPS.
            tls_if_free: go on when one of those cannot be bound; `unbound` says why.

        Raises:
            OSError: an address cannot be bound.
        """
        app = web.Application(middlewares=[self._without_path])
        app.on_response_prepare.append(self._add_headers)
        app.router.add_route("*", r"/{tail:[\s\S]*}", self._handle, expect_handler=framing.later)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        assert runner.server is not None
        manager, loop = runner.server, asyncio.get_running_loop()
        servers: list[asyncio.Server] = []

        async def bind(endpoint: Endpoint, context: Callable[[], ssl.SSLContext] | None) -> Endpoint:
            def arrives() -> Doorman:
                def speaks() -> Speaker:
                    return Speaker(
                        manager, loop, lambda error, request: self._turned_away(error, doorman.peer, request=request)
                    )  # fmt: skip

                doorman = Doorman(self.lobby, speaks, context, self._too_slow)
                return doorman

            sock = handed.over(endpoint)
            if sock is not None:
                server = await loop.create_server(arrives, sock=sock)
            else:
                server = await loop.create_server(arrives, endpoint.host, endpoint.port, reuse_address=True)
            servers.append(server)
            name = server.sockets[0].getsockname()
            return Endpoint(name[0], name[1])

        try:
            self.endpoints = tuple([await bind(endpoint, None) for endpoint in listen])
            for endpoint in tls if self.door.context is not None else ():
                try:
                    self.tls_endpoints += (await bind(endpoint, self.door.context),)
                except OSError as error:
                    if not tls_if_free:
                        raise
                    self.unbound = f"{endpoint}: {error.strerror or error}"
            yield
        finally:
            for server in servers:
                server.close()
            before_stop()
            self.lobby.close()
            await runner.cleanup()
            self.endpoints = self.tls_endpoints = ()
            self.unbound = ""

    # -- one request ------------------------------------------------------------------------------------------------

    @web.middleware
    async def _without_path(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Also what has no path (CONNECT host:port, OPTIONS *) is answered by us and not by aiohttp, in our words."""
        return await (
            handler(request) if request.match_info.http_exception is None else self._handle(request)
        )

    async def _handle(self, raw: web.Request) -> web.StreamResponse:
        doorman = self.lobby.of(raw.transport)
        if doorman is None:  # it went away meanwhile
            raise ConnectionResetError
        doorman.content()
        doorman.requests += 1
        raw[REQUEST_ID] = secrets.token_hex(6)
        raw[WAY] = way = way_of(doorman.peer, raw.headers, self.door.rules, secure=doorman.secure)
        try:
            response = await self._respond(raw, way)
            if not response.prepared:
                finish(raw, response)
                await send(raw, response)
                if not raw.content.is_eof():
                    await read_on(raw)
        finally:
            doorman.requests -= 1
        if self.log_requests:
            access.info(
                "%s %s %s %d %s", way.remote, raw.method, raw.rel_url.raw_path_qs[:500], response.status,
                response.headers.get("X-Request-Id", ""),
            )  # fmt: skip
        return response

    async def _respond(self, raw: web.Request, way: Way) -> web.StreamResponse:
        allowance: Allowance | None = None
        actor = NOBODY
        try:
            self._check(raw, way)
            mounted = self._table.find(raw.method, raw.rel_url.raw_path)
            actor = await self.door.who_asks(raw, way)
            if not actor.grants:  # to sign in would help as little: there is nobody to sign in as
                raise refusals.Unclaimed(
                    "this box has no owner yet, and answers nothing until it has one. Set it up from a machine of its own network, "
                    "without a proxy in between, or on the box itself: timeball user add NAME --role owner"
                )
            if mounted is None or not mounted.path.startswith("/static/"):
                allowance = self._count(raw, way, actor)
            elsewhere = leading.off_the_line(raw, way, mounted, self.tls_endpoints)
            if elsewhere is not None:
                return elsewhere
            foreign = guard.foreign(raw.method, way.scheme, way.host, raw.headers) or ""
            if mounted is not None and mounted.route.stream:
                why = guard.foreign_stream(way.scheme, way.host, raw.headers)
                if why is not None:
                    raise CrossSite(f"nothing is told: {why}")
            streamed = mounted is not None and mounted.route.as_it_comes
            if streamed and mounted is not None and actor.may(mounted.scope):
                await framing.invite(raw)
            content = b"" if streamed else await self._body(raw, mounted, actor)
            if not self.door.still(actor):  # what came slowly is not done for who was sent away meanwhile
                actor = await self.door.who_asks(raw, way)

            async def first() -> web.StreamResponse:
                return await answer(
                    self._table, raw, actor=actor, line=way.line, foreign=foreign, content=content, remote=way.remote
                )  # fmt: skip

            mine = mounted is not None and actor.may(mounted.scope) and not foreign
            response = await (self._once(raw, way, actor, content, first) if mine else first())
        except ApiError as error:
            what = f"{raw.method} {raw.rel_url.raw_path[:100]}"
            self._turned_away(error, way.remote, what, raw[REQUEST_ID], actor)
            response = as_response(problem(error, raw[REQUEST_ID]))
            if isinstance(error, refusals.TooMany):
                allowance = error.allowance
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            log.exception("%s %s failed (%s)", raw.method, raw.rel_url.raw_path[:500], raw[REQUEST_ID])
            response = as_response(
                problem(refusals.Broken("something went wrong inside; the log has it"), raw[REQUEST_ID])
            )
        if not raw.content.is_eof() or framing.ends_anywhere(raw):
            response.force_close()  # what follows is the rest of the body, and no request
        if allowance is not None and not response.prepared:
            response.headers.update(allowance.headers())
        by_header = "Authorization" in raw.headers  # signing in would not help: the header would come along
        if response.status == 401 and not by_header and wants_page(raw):
            elsewhere = leading.to_sign_in(raw, actor, self._table)
            if elsewhere is not None:
                return elsewhere
        if response.status >= 400 and wants_page(raw) and isinstance(response, web.Response):
            return as_page(response, self._error_page)
        return response

    def _turned_away(
        self, error: ApiError, remote: str, what: str = "", request: str = "", actor: Actor = NOBODY
    ) -> None:
        """Count one that was refused before any operation saw it, and have it written down."""
        self.book.note(error.code, remote, f"{what}: {error}" if what else str(error), _now())
        if (witness := self.door.witness()) is not None:
            witness.refused(error.code, error.status, address=remote, what=what, request=request, actor=actor)

    def _too_slow(self, doorman: Doorman) -> None:
        self._turned_away(refusals.TooSlow("the head of the request did not come in time"), doorman.peer)

    async def _once(
        self,
        raw: web.Request,
        way: Way,
        actor: Actor,
        content: bytes,
        first: Callable[[], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Do it, or tell again what came of it when the request was sent before with the same Idempotency-Key."""
        key, repeats = raw.headers.get("Idempotency-Key"), self.door.repeats
        if raw.method != "POST" or key is None or repeats is None:
            return await first()
        owner = actor.account or f"{actor.name} {neighbourhood(address_of(way.remote))}"
        mounted = self._table.find(raw.method, raw.rel_url.raw_path)
        secret = mounted is not None and mounted.route.secret
        if secret:
            content = b""  # not even its hash is kept: a password could be guessed from it
        found = await repeats.begin(owner, key, raw.method, raw.rel_url.raw_path_qs, content)
        if isinstance(found, Reply):
            return as_response(found)
        kept: Reply | None = None
        try:
            response = await first()
            told_back = secret and response.status >= 400  # a refusal quotes what was sent
            if isinstance(response, web.Response) and isinstance(response.body, bytes) and not told_back:
                kept = Reply(response.body, response.status, dict(response.headers), response.content_type)
            return response
        finally:
            await repeats.end(found, kept)

    def _check(self, raw: web.Request, way: Way) -> None:
        """The guards that need no route, in order.

        Raises:
            ApiError: the request is not let in.
        """
        if (elsewhere := guard.target_elsewhere(raw.raw_path, raw.headers.get("Host", ""))) is not None:
            raise refusals.UnknownHost(elsewhere)
        if not guard.known_host(way.host, self.door.names()):
            raise refusals.UnknownHost(
                f'this box is not known by the name "{guard.host_name(way.host)[:100]}". Call it by its address, or add the '
                f"name to hosts under [plugins.web]"
            )
        if raw.method not in guard.METHODS:
            raise refusals.NoSuchMethod(raw.method[:20], self._table.allowed(raw.rel_url.raw_path))
        framing.check(raw)

    def _count(self, raw: web.Request, way: Way, actor: Actor) -> Allowance:
        """Take one request from the visitor's allowance.

        Raises:
            TooMany: it has none left.
        """
        visitor = actor.account or neighbourhood(address_of(way.remote))
        rates = self.door.reads if raw.method in guard.SAFE_METHODS else self.door.changes
        allowance = rates.take(visitor, _now())
        if not allowance.granted:
            raise refusals.TooMany(
                f"more than {rates.per_minute} requests a minute; the next one in {allowance.wait_s} s",
                allowance,
            )
        return allowance

    async def _body(self, raw: web.Request, mounted: Mounted | None, actor: Actor) -> bytes:
        """The body, as far as this actor may send one there.

        Raises:
            TooLarge, TooSlow: it is refused.
        """
        if not raw.body_exists:
            return b""
        most = STRANGERS_BODY
        if mounted is not None and (actor.may(mounted.scope) or mounted.route.max_body < most):
            most = mounted.route.max_body
        if (raw.content_length or 0) <= most:
            await framing.invite(raw)
        try:
            async with asyncio.timeout(BODY_S + most / SLOWEST_BYTES_PER_S):
                with self._awaited(raw, actor):
                    return await body_of(raw, most)
        except TimeoutError:
            raise refusals.TooSlow("the body did not come in time") from None
        except web.RequestPayloadError:
            raise ApiError("the body is not what its head announced") from None

    @contextlib.contextmanager
    def _awaited(self, raw: web.Request, actor: Actor) -> Iterator[None]:
        """While the body of somebody whom nobody knows is on its way, its place is the next to be given to another."""
        doorman = None if actor.account else self.lobby.of(raw.transport)
        if doorman is None:
            yield
            return
        doorman.awaited = True
        try:
            yield
        finally:
            doorman.awaited = False

    def _is_proxy(self, peer: str) -> bool:
        return trusted(address_of(peer), self.door.rules.proxies)

    async def _add_headers(self, raw: web.Request, response: web.StreamResponse) -> None:
        add_headers(raw, response, hsts=self.door.hsts())


def _now() -> float:
    return asyncio.get_running_loop().time()
