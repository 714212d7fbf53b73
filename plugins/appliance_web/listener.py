"""The door to the network: guards, headers, compression and limits around the one route table."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Any

from aiohttp import web

from appliance.api.actor import visiting
from appliance.api.errors import ApiError
from appliance.core.http import MAX_BODY, REQUEST_ID, answer, as_response
from appliance.core.routes import Reply, RouteTable, TooLarge, problem
from appliance.dataplane.interface import Endpoint
from appliance_web import guard
from appliance_web.doorman import Doorman, Lobby

#: Loopback only, so far: whoever can reach it may look and manage members, but not administer the box.
VISITOR = visiting("operator")
BODY_S = 20.0
WRITE_S = 30.0
_WORTH_PACKING = 1024
_PACKABLE = ("text/", "application/json", "application/problem+json", "image/svg+xml")

log = logging.getLogger("timeball.web")
access = logging.getLogger("timeball.web.access")

ErrorPage = Callable[[int, str], str]


class _Misdirected(ApiError):
    status = 421
    code = "unknown_host"


class _TooSlow(ApiError):
    status = 408
    code = "too_slow"


class _Broken(ApiError):
    status = 500
    code = "internal"


class _NotAllowed(ApiError):
    status = 405
    code = "method_not_allowed"


class Listener:
    """Answers HTTP on some addresses.

    Attributes:
        endpoints: what is really bound, ports filled in.
        lobby: the connections.
    """

    def __init__(
        self, table: RouteTable, error_page: ErrorPage, *, hosts: Collection[str] = (), most: int = 256
    ) -> None:
        self._table = table
        self._error_page = error_page
        self._hosts = hosts
        self.log_requests = False
        self.lobby = Lobby(most)
        self.endpoints: tuple[Endpoint, ...] = ()

    @contextlib.asynccontextmanager
    async def serve(
        self, listen: Sequence[Endpoint], before_stop: Callable[[], Any] = lambda: None
    ) -> AsyncIterator[None]:
        """Listen on `listen` until the context ends; `before_stop` ends the streams first.

        Raises:
            OSError: an address cannot be bound.
        """
        app = web.Application(client_max_size=MAX_BODY)
        app.on_response_prepare.append(_add_headers)
        app.router.add_route("*", "/{tail:.*}", self._handle)
        runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=1.0, keepalive_timeout=30.0
        )
        await runner.setup()
        make = runner.server
        assert make is not None
        loop = asyncio.get_running_loop()
        servers: list[asyncio.Server] = []
        try:
            for host, port in listen:
                servers += [
                    await loop.create_server(
                        lambda: Doorman(self.lobby, make), host, port, reuse_address=True
                    )
                ]
            names = [s.getsockname() for server in servers for s in server.sockets]
            self.endpoints = tuple(Endpoint(name[0], name[1]) for name in names)
            yield
        finally:
            for server in servers:
                server.close()
            before_stop()
            await runner.cleanup()
            self.endpoints = ()

    async def _handle(self, raw: web.Request) -> web.StreamResponse:
        self.lobby.spoke(raw.transport)
        response = await self._respond(raw)
        if not response.prepared:
            _finish(raw, response)
            # Sent here and not by aiohttp afterwards, so that a reader who never reads is given up.
            try:
                async with asyncio.timeout(WRITE_S):
                    await response.prepare(raw)
                    await response.write_eof()
            except TimeoutError:
                if raw.transport is not None:
                    raw.transport.abort()
        if self.log_requests:
            access.info(
                "%s %s %s %d %s",
                raw.remote,
                raw.method,
                raw.rel_url.raw_path_qs[:500],
                response.status,
                response.headers["X-Request-Id"],
            )
        return response

    async def _respond(self, raw: web.Request) -> web.StreamResponse:
        try:
            self._check(raw)
            async with asyncio.timeout(BODY_S):
                await raw.read()
            foreign = guard.foreign(raw.method, raw.scheme, raw.headers) or ""
            response = await answer(self._table, raw, actor=VISITOR, foreign=foreign)
        except ApiError as error:
            response = as_response(problem(error))
        except web.HTTPRequestEntityTooLarge:
            # What was read is a part: nobody may see it as a body.
            response = as_response(problem(TooLarge(f"the body is larger than {MAX_BODY} bytes")))
            response.force_close()
        except TimeoutError:
            response = as_response(problem(_TooSlow("the body did not come in time")))
            response.force_close()
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            log.exception("%s %s failed", raw.method, raw.rel_url.raw_path[:500])
            response = as_response(problem(_Broken("something went wrong inside; the log has it")))
        if response.status >= 400 and _wants_page(raw) and isinstance(response, web.Response):
            return self._as_page(response)
        return response

    def _check(self, raw: web.Request) -> None:
        """The guards, in order.

        Raises:
            ApiError: the request is not let in.
        """
        host = raw.headers.get("Host", "")
        if not guard.known_host(host, self._hosts):
            raise _Misdirected(
                f'this box is not known by the name "{guard.host_name(host)[:100]}". Call it by its address, or add the '
                f"name to hosts under [plugins.web]"
            )
        if raw.method not in guard.METHODS:
            raise _NotAllowed(f"the method {raw.method[:20]} is not used here")

    def _as_page(self, response: web.Response) -> web.Response:
        """The same refusal as a page for people."""
        detail = ""
        if response.content_type == "application/problem+json" and isinstance(response.body, bytes):
            value = json.loads(response.body)
            detail = ". ".join(
                [
                    str(value.get("detail", "")),
                    *(f"{e['field']}: {e['message']}" for e in value.get("errors", ())),
                ]
            )
        elif response.content_type == "text/html":
            return response
        page = Reply(self._error_page(response.status, detail), response.status, content_type="text/html")
        return as_response(page)


async def _add_headers(raw: web.Request, response: web.StreamResponse) -> None:
    """What every response carries, streams too."""
    response.headers.update(guard.SECURITY_HEADERS)
    response.headers["Server"] = "timeball"
    response.headers["X-Request-Id"] = raw.get(REQUEST_ID) or secrets.token_hex(6)
    response.headers.setdefault("Cache-Control", "no-store")


def _finish(raw: web.Request, response: web.StreamResponse) -> None:
    """An unchanged body is not sent again, a long one is packed."""
    if not isinstance(response, web.Response) or not isinstance(response.body, bytes):
        return
    headers = response.headers
    storable = "no-store" not in headers.get("Cache-Control", "no-store")
    if raw.method in ("GET", "HEAD") and response.status == 200 and storable:
        etag = f'W/"{hashlib.blake2b(response.body, digest_size=8).hexdigest()}"'
        headers["ETag"] = etag
        if etag in (part.strip() for part in raw.headers.get("If-None-Match", "").split(",")):
            response.set_status(304)
            response.body = None
            return
    packable = response.content_type.startswith(_PACKABLE) and "Content-Encoding" not in headers
    if packable and len(response.body) >= _WORTH_PACKING:
        headers["Vary"] = "Accept-Encoding"
        response.enable_compression()


def _wants_page(raw: web.Request) -> bool:
    """Whether a person looks at the answer in a browser."""
    path = raw.rel_url.raw_path
    return "text/html" in raw.headers.get("Accept", "") and not path.startswith(("/api/", "/static/"))
