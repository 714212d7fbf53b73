"""Between aiohttp and the route table: the same few lines serve the admin socket and the web listener."""

from __future__ import annotations

from aiohttp import web

from appliance.api.actor import Actor
from appliance.core.routes import Line, Reply, Request, RouteTable, TooLarge, problem

#: Larger bodies are refused: nothing we take is larger than a list of members.
MAX_BODY = 4 * 1024 * 1024

#: Where the id of a request is kept for who makes the answer's headers.
REQUEST_ID = web.RequestKey("request_id", str)


async def answer(
    table: RouteTable, raw: web.Request, *, actor: Actor, line: Line = "local", foreign: str = ""
) -> web.StreamResponse:
    """Answer one aiohttp request from the table.

    Args:
        table: all routes.
        raw: the request; its id is kept in `raw[REQUEST_ID]`.
        actor: who asks.
        line: how safe its way here is.
        foreign: why it cannot be taken for a request of our own pages, or "".
    """
    try:
        content = await raw.read()
    except web.HTTPRequestEntityTooLarge:
        return as_response(problem(TooLarge(f"the body is larger than {MAX_BODY} bytes")))
    request = Request(
        method=raw.method,
        path=raw.rel_url.raw_path,
        query=dict(raw.query),
        content=content,
        headers={name.lower(): value for name, value in raw.headers.items()},
        actor=actor,
        remote=raw.remote or "",
        line=line,
        foreign=foreign,
        raw=raw,
    )
    raw[REQUEST_ID] = request.id
    value = await table.dispatch(request)
    return value if isinstance(value, web.StreamResponse) else as_response(value)


def as_response(reply: Reply) -> web.Response:
    """A `Reply` as aiohttp response."""
    charset = "utf-8" if reply.content_type.startswith("text/") else None
    return web.Response(
        body=reply.body(),
        status=reply.status,
        headers=dict(reply.headers),
        content_type=reply.content_type,
        charset=charset,
    )
