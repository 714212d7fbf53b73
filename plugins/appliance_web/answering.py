"""What every answer gets on its way out: headers, a tag when it can be asked for again, compression, a page for people, and an end to waiting."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Callable

from aiohttp import web

from appliance.core.conditional import tag, unchanged
from appliance.core.http import REQUEST_ID, as_response
from appliance.core.routes import Reply
from appliance_web import guard
from appliance_web.way import Way

#: How the request came, kept with it.
WAY = web.RequestKey("way", Way)
WRITE_S = 30.0
#: Of a body that was refused, so much more is read, for so long.
MOST_IGNORED = 1024 * 1024
IGNORED_S = 2.0
_WORTH_PACKING = 1024
_PACKABLE = ("text/", "application/json", "application/problem+json", "image/svg+xml")


def add_headers(raw: web.Request, response: web.StreamResponse, *, hsts: bool) -> None:
    """What every response carries, streams too."""
    response.headers.update(guard.headers_for(raw.rel_url.raw_path))
    response.headers["Server"] = "timeball"
    response.headers["X-Request-Id"] = raw.get(REQUEST_ID) or secrets.token_hex(6)
    response.headers.setdefault("Cache-Control", "no-store")
    way = raw.get(WAY)
    if hsts and way is not None and way.scheme == "https":
        response.headers["Strict-Transport-Security"] = guard.HSTS


def finish(raw: web.Request, response: web.StreamResponse) -> None:
    """An unchanged body is not sent again, a long one is packed."""
    if not isinstance(response, web.Response) or not isinstance(response.body, bytes):
        return
    headers = response.headers
    if raw.method in ("GET", "HEAD") and response.status == 200 and "Cache-Control" not in headers:
        headers["Cache-Control"] = "no-cache, private"  # kept by the reader alone, and asked for each time
    if response.status != 200 or "no-store" in headers.get("Cache-Control", ""):
        headers.pop("ETag", None)
    storable = "no-store" not in headers.get("Cache-Control", "no-store")
    if raw.method in ("GET", "HEAD") and response.status == 200 and storable:
        headers.setdefault("ETag", tag(response.body))
        if unchanged(headers["ETag"], raw.headers.get("If-None-Match", "")):
            response.set_status(304)
            response.body = None
            return
    packable = response.content_type.startswith(_PACKABLE) and "Content-Encoding" not in headers
    if packable and len(response.body) >= _WORTH_PACKING:
        headers["Vary"] = "Accept-Encoding"
        response.enable_compression()


def wants_page(raw: web.Request) -> bool:
    """Whether a person looks at the answer in a browser."""
    path = raw.rel_url.raw_path
    return "text/html" in raw.headers.get("Accept", "") and not path.startswith(("/api/", "/static/"))


def as_page(response: web.Response, error_page: Callable[[int, str], str]) -> web.Response:
    """The same refusal as a page for people."""
    if response.content_type != "application/problem+json" or not isinstance(response.body, bytes):
        return response
    value = json.loads(response.body)
    fields = [f"{e['field']}: {e['message']}" for e in value.get("errors", ())]
    detail = ". ".join([str(value.get("detail", "")), *fields])
    kept = {name: response.headers[name] for name in ("Allow", "Retry-After", "RateLimit", "RateLimit-Policy",
            "WWW-Authenticate") if name in response.headers}  # fmt: skip
    page = as_response(
        Reply(error_page(response.status, detail), response.status, kept, content_type="text/html")
    )
    if response.keep_alive is False:
        page.force_close()
    return page


async def send(raw: web.Request, response: web.StreamResponse) -> None:
    """Sent here and not by aiohttp afterwards, so that a reader who never reads is given up."""
    try:
        async with asyncio.timeout(WRITE_S):
            await response.prepare(raw)
            await response.write_eof()
    except TimeoutError:
        if raw.transport is not None:
            raw.transport.abort()


async def read_on(raw: web.Request) -> None:
    """Read some of a body that was refused: whoever still sends would lose the answer to a connection reset."""
    rest = MOST_IGNORED
    with contextlib.suppress(TimeoutError, web.RequestPayloadError, ConnectionError):
        async with asyncio.timeout(IGNORED_S):
            while rest > 0 and (chunk := await raw.content.readany()):
                rest -= len(chunk)
