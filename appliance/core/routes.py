"""One table of operations: the admin socket, the web listener, the API document and the tests all read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel


@dataclass(slots=True)
class Request:
    """What a route's handler receives.

    Attributes:
        params: parts of the path, decoded.
        query: the query string, last value of each key.
        query_model: the validated query when the route declares one.
        body: the validated JSON body when the route declares one.
        headers: case-insensitive.
        actor: who asks, for logs: "local:root", "anonymous", ...
        scope: the most this actor may do.
        remote: the address it comes from, "" on the admin socket.
        raw: the aiohttp request, for streams and pages.
    """

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    query_model: Any = None
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    actor: str = "anonymous"
    scope: str = "public"
    remote: str = ""
    raw: Any = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A handler's answer when 200 and plain JSON are not enough.

    Attributes:
        value: JSON-able, or `str`/`bytes` with `content_type`.
    """

    value: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


__all__ = ["BaseModel", "Reply", "Request"]
