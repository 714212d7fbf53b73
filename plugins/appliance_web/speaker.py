"""aiohttp's HTTP protocol with our manners: small heads, no unpacking of bodies, and errors that tell nothing of what runs here."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from appliance.api.errors import ApiError
from appliance.core.http import as_response
from appliance.core.routes import problem
from appliance_web.guard import SECURITY_HEADERS
from appliance_web.refusals import Broken

#: A request line of ours is short; a cookie and a token fit into a field.
LINE_BYTES = 8190
FIELD_BYTES = 8190
FIELDS = 64
KEEP_ALIVE_S = 30.0


class Malformed(ApiError):
    """It is no HTTP request."""

    code = "malformed"


class HeadTooLarge(ApiError):
    """A request line or header field is too long, or there are too many."""

    status = 431
    code = "head_too_large"


class Speaker(RequestHandler):
    """One connection.

    Args:
        manager: of the library.
        loop: that runs it.
        turned_away: told what was no request, with the request's id.
    """

    __slots__ = ("_turned_away",)

    def __init__(
        self,
        manager: web.Server,
        loop: asyncio.AbstractEventLoop,
        turned_away: Callable[[ApiError, str], None] = lambda _error, _request: None,
    ) -> None:
        self._turned_away = turned_away
        super().__init__(
            manager,
            loop=loop,
            access_log=cast("logging.Logger", None),  # None is what the library itself passes for "no log"
            keepalive_timeout=KEEP_ALIVE_S,
            lingering_time=0.0,  # the listener itself reads on for a moment where that helps
            auto_decompress=False,
            max_line_size=LINE_BYTES,
            max_field_size=FIELD_BYTES,
            max_headers=FIELDS,
        )

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What does not even parse is answered without a word on why: it is no reader of ours who sends it."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer was begun already")
        if isinstance(
            exc, ConnectionError
        ):  # it went away while it was heard: there is nobody to tell, and nothing to log
            raise exc
        error: ApiError = Malformed("this is not a request that HTTP knows")
        if status >= 500:
            self.log_exception("answering failed", exc_info=exc)
            error = Broken("something went wrong inside; the log has it")
        elif isinstance(exc, LineTooLong) or "too many headers" in str(exc).lower():
            error = HeadTooLarge("the head of the request is too large")
        request_id = secrets.token_hex(6)
        if status < 500:
            self._turned_away(error, request_id)
        response = as_response(problem(error, request_id))
        response.headers.update(SECURITY_HEADERS)
        response.headers.update(
            {"Server": "timeball", "X-Request-Id": request_id, "Cache-Control": "no-store"}
        )
        response.force_close()
        return response
