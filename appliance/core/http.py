"""Between aiohttp and the route table: the same few lines serve the admin socket and the web listener."""

from __future__ import annotations

from aiohttp import web

from appliance.api.contrib import Scope
from appliance.core.routes import Reply, Request, RouteTable, TooLarge, problem

#: Larger bodies are refused: nothing we take is larger than a list of members.
MAX_BODY = 4 * 1024 * 1024


async def answer(table: RouteTable, raw: web.Request, *, actor: str, scope: Scope) -> web.StreamResponse:
    """Answer one aiohttp request from the table."""
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
        scope=scope,
        remote=raw.remote or "",
        raw=raw,
    )
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
