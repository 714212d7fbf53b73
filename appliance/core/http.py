"""Between aiohttp and the route table: the same few lines serve the admin socket and the web listener."""

from __future__ import annotations

from aiohttp import web

from appliance.api.actor import Actor
from appliance.core.conditional import tag
from appliance.core.routes import Line, Reply, Request, RouteTable, TooLarge, problem

#: Larger bodies are refused: nothing we take is larger than a list of members.
MAX_BODY = 4 * 1024 * 1024

#: Where the id of a request is kept for who makes the answer's headers.
REQUEST_ID = web.RequestKey("request_id", str)


async def body_of(raw: web.Request, most: int) -> bytes:
    """The whole body, never more of it in memory than `most` bytes and a chunk.

    Raises:
        TooLarge: it is larger, or says that it is.
    """
    too_large = TooLarge(f"the body is larger than the {most} bytes that are taken here")
    if (raw.content_length or 0) > most:
        raise too_large
    content = bytearray()
    async for chunk in raw.content.iter_any():
        content += chunk
        if len(content) > most:
            raise too_large
    return bytes(content)


async def answer(
    table: RouteTable,
    raw: web.Request,
    *,
    actor: Actor,
    line: Line = "local",
    foreign: str = "",
    content: bytes | None = None,
    remote: str | None = None,
) -> web.StreamResponse:
    """Answer one aiohttp request from the table.

    Args:
        table: all routes.
        raw: the request; its id is kept in `raw[REQUEST_ID]`.
        actor: who asks.
        line: how safe its way here is.
        foreign: why it cannot be taken for a request of our own pages, or "".
        content: its body, where that was read already.
        remote: the address it comes from, where that is another one than the connection's.
    """
    mounted = table.find(raw.method, raw.rel_url.raw_path) if content is None else None
    if mounted is not None and mounted.route.as_it_comes:
        content = b""
    if content is None:
        try:
            content = await body_of(raw, MAX_BODY)
        except TooLarge as error:
            return as_response(problem(error))
    request = Request(
        method=raw.method,
        path=raw.rel_url.raw_path,
        query=dict(raw.query),
        content=content,
        headers={name.lower(): value for name, value in raw.headers.items()},
        actor=actor,
        remote=(raw.remote or "") if remote is None else remote,
        line=line,
        foreign=foreign,
        raw=raw,
    )
    request.id = raw.setdefault(REQUEST_ID, request.id)
    value = await table.dispatch(request)
    if isinstance(value, web.StreamResponse):
        return value
    response = as_response(value)
    if request.method in ("GET", "HEAD") and value.status == 200 and isinstance(response.body, bytes):
        response.headers.setdefault("ETag", tag(response.body, value.revision))
    return response


def as_response(reply: Reply) -> web.Response:
    """A `Reply` as aiohttp response."""
    kind = reply.content_type
    charset = "utf-8" if kind.startswith("text/") or kind.endswith("+xml") else None
    return web.Response(
        body=reply.body(),
        status=reply.status,
        headers=dict(reply.headers),
        content_type=kind,
        charset=charset,
    )
