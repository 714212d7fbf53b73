"""What a request says of its own form: versions, fields that are there twice, bodies that are packed, and bodies that wait to be asked for."""

from __future__ import annotations

from aiohttp import HttpVersion10, HttpVersion11, web

from appliance_web import guard, refusals
from appliance_web.speaker import Malformed


def check(raw: web.Request) -> None:
    """Refuse what another reader on the way might have read in another way.

    Raises:
        ApiError: with the reason.
    """
    if ends_anywhere(raw):
        raise Malformed(
            "HTTP/1.1 is spoken here; of what came in another version it is not certain where it ends"
        )
    if (twice := guard.twice(raw.headers)) != "":
        raise Malformed(f"the header {twice} stands there twice")
    if raw.headers.get("Expect", "100-continue").lower() != "100-continue":
        raise refusals.Unexpected("of Expect only 100-continue is known here")
    framing = raw.headers.get("Transfer-Encoding", "chunked").lower()
    if framing != "chunked" or raw.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise refusals.PackedBody("bodies are taken as they are, not compressed")


def ends_anywhere(raw: web.Request) -> bool:
    """Whether of two readers each may see another end of it: no version of ours, or chunks, which came with HTTP/1.1."""
    return raw.version != HttpVersion11 and (
        raw.version != HttpVersion10 or "Transfer-Encoding" in raw.headers
    )


async def later(_raw: web.Request) -> None:
    """In place of aiohttp's answer to Expect: whether a body is wanted is known when it is known who sends it."""


async def invite(raw: web.Request) -> None:
    """Tell somebody who asked first (RFC 9110 section 10.1.1) to send the body."""
    if raw.version == HttpVersion11 and "Expect" in raw.headers:
        await raw.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        raw.writer.output_size = 0  # as aiohttp does: the answer has not begun
