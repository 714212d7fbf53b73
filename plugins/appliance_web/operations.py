"""Asks the API from inside, as the page's reader: pages and forms have no power that the API does not have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from appliance.core.plain_json import plain
from appliance.core.routes import Reply, Request, RouteTable

#: What an operation may want to know of the reader's browser.
_PASSED_ON = ("cookie", "user-agent")


class Operations:
    """The route table, asked in-process on behalf of a request."""

    def __init__(self, table: RouteTable) -> None:
        self._table = table

    async def ask(
        self,
        asker: Request,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> Reply:
        """Do one operation; never raises for what the operation refuses: look at the reply's status.

        Returns:
            The reply, its value reduced to what JSON can say.
        """
        inner = Request(
            method=method,
            path=path,
            query=dict(query or {}),
            content=b"" if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"}
            | {name: value for name in _PASSED_ON if (value := asker.headers.get(name))},
            actor=asker.actor,
            remote=asker.remote,
            line=asker.line,
            id=asker.id,
        )
        reply = await self._table.dispatch(inner)
        if not isinstance(reply, Reply):
            return Reply({"detail": f"{path} answers with a stream"}, 501)
        if "json" in reply.content_type:
            return Reply(plain(reply.value), reply.status, reply.headers, reply.content_type)
        return reply

    async def value(self, asker: Request, path: str, **query: str) -> Any:
        """What GET `path` says, or None when it cannot be had (no such plugin, not running, refused)."""
        reply = await self.ask(asker, "GET", path, query=query)
        return reply.value if reply.status == 200 else None
